"""What is of low confidence within rules that are not low as a whole, each beside what is surer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD: Final = "import os\nimport threading\n\nimport torch\nimport torch.distributed as dist\n\n\n"
_EXIT: Final = """def save(x, group):
    if dist.get_rank(group) == 0:
        return
    {call}


def share(x, group):
    dist.all_reduce(x, group=group)
"""
_RACE: Final = """def prepare(folder, group):
    if os.path.exists(folder):
        {then}
    os.makedirs(folder)
    dist.barrier(group=group)
"""


@pytest.mark.parametrize(
    ("code", "text", "confidence"),
    [
        pytest.param("CL202", _EXIT.format(call="dist.all_reduce(x, group=group)"), "high", id="exit"),
        pytest.param("CL202", _EXIT.format(call="share(x, group)"), "low", id="exit before a callee"),
        pytest.param(
            "CL205",
            "def run(x, group):\n    while dist.get_rank(group) > 0:\n        dist.all_reduce(x, group=group)\n",
            "high",
            id="loop of a rank",
        ),
        pytest.param(
            "CL205",
            "class Edges(torch.nn.Module):\n    def forward(self, edges, group):\n"
            "        for part in edges.split(self.size, dim=1):\n            dist.all_reduce(part, group=group)\n",
            "low",
            id="loop over own data",
        ),
        pytest.param(
            "CL404",
            "def prepare(folder, group):\n    if not os.path.exists(folder):\n        os.makedirs(folder)\n"
            "    dist.barrier(group=group)\n",
            "high",
            id="all ranks create",
        ),
        pytest.param("CL404", _RACE.format(then="raise FileExistsError(folder)"), "low", id="a check that raises"),
        pytest.param(
            "CL207",
            "def stop():\n    dist.barrier()\n\n\ndef start():\n    threading.Thread(target=stop).start()\n",
            "low",
            id="thread",
        ),
        pytest.param(
            "CL103",
            "def send(x):\n    group = dist.new_group([1, 2])\n    dist.broadcast(x, src=0, group=group)\n",
            "high",
            id="root outside a listed group",
        ),
        pytest.param(
            "CL103",
            "def send(x, group):\n    for src in range(dist.get_world_size(group)):\n"
            "        dist.broadcast(x, src=src, group=group)\n",
            "low",
            id="number inside a group that may be all ranks",
        ),
    ],
)
def test_confidence(project: Project, code: str, text: str, confidence: str) -> None:
    project.write(_HEAD + text)
    found = project.lint(select=[code]).findings
    assert [(finding.code, finding.confidence.word) for finding in found if finding.code == code] == [
        (code, confidence)
    ]
