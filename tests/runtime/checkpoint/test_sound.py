"""What must stay silent: real checkpoints of every kind."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.checkpoint.audit import opened
from collectivelint.runtime.checkpoint.checks.diff import compare

from .conftest import looked

if TYPE_CHECKING:
    from pathlib import Path

SOUND = (
    "fsdp", "replicas", "tensor_parallel", "two_dimensions", "odd", "later", "hugging_face", "no_collectives", "sizes/1", "sizes/2",
    "sizes/3", "sizes/4", "sizes/4-as-2", "sizes/4-as-3", "slots/2", "slots/6", "hand_made-ranks", "fsdp.pt", "fsdp.safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("headers_only", [True, False])
def test_nothing_is_said(made: Path, name: str, headers_only: bool) -> None:
    report = looked(made / name, headers_only=headers_only)
    assert [(problem.code, problem.where, problem.text) for problem in report.problems] == []
    assert report.chunks > 0
    assert (report.read > 0) != headers_only


def test_what_is_listed(made: Path) -> None:
    with opened(made / "odd") as (side, _):
        tensors = side.checkpoint.tensors
        values = side.values
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} == {
        "uneven": ("float32", (10, 3)),
        "few": ("float32", (2, 3)),
        "bf16": ("bfloat16", (7, 3)),
        "fp8": ("uint8", (16, 4)),
        "plain8": ("float8_e4m3fn", (4, 4)),
        "empty": ("float32", (0, 4)),
        "number": ("float32", ()),
        "turned": ("float32", (6, 4)),
        "images": ("float32", (2, 3, 4, 5)),
        "flags": ("bool", (2,)),
    }
    assert [chunk.offsets for chunk in tensors["uneven"].chunks] == [(0, 0), (3, 0), (6, 0), (9, 0)]
    assert [chunk.rank for chunk in tensors["uneven"].chunks] == [0, 1, 2, 3]
    assert set(side.checkpoint.objects) == {"progress.epoch", "progress.seen", "progress.name"}
    # What lies there in another order has no CRC-32 that could be compared with that of a contiguous tensor.
    assert not values[("turned", 0)].is_whole
    assert values[("uneven", 0)].is_whole


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sizes/1", "sizes/2"),
        ("sizes/3", "sizes/4"),
        ("sizes/4", "sizes/4-as-2"),
        ("sizes/4", "sizes/4-as-3"),
        ("fsdp.pt", "fsdp.safetensors"),
        ("odd", "odd"),
    ],
)
def test_the_same_at_another_sharding_and_in_another_format(made: Path, first: str, second: str) -> None:
    with opened(made / first) as (one, _), opened(made / second) as (two, _):
        assert list(compare(one, two)) == []


def test_differences_are_named(made: Path) -> None:
    with opened(made / "tensor_parallel") as (one, _), opened(made / "hand_made") as (two, _):
        found = [(item.kind, item.first, item.second) for item in compare(one, two)]
    assert found == [
        ("shape", "up", "up"),
        ("shape", "down", "down"),
        ("only in the first", "tied", ""),
        ("only in the first", "fresh", ""),
    ]
    with opened(made / "fsdp") as (one, _), opened(made / "later") as (two, _):
        found = [(item.kind, item.first, item.text) for item in compare(one, two)]
    assert found[0][:2] == ("values", "model.0.weight")
    assert found[0][2].startswith("384 of 384 elements differ, by at most ")
    assert found[0][2].endswith(", the first at [0, 0]")
    assert [item[0] for item in found].count("only in the first") == 12


@pytest.mark.parametrize(
    "name",
    ["fsdp.safetensors", "fsdp.pt", "fsdp-bf16.safetensors"],
)
def test_a_consolidated_file_that_is_right(made: Path, name: str) -> None:
    report = looked(made / "fsdp", headers_only=True, consolidated=made / name)
    assert report.is_sound
    notes = [problem.text for problem in report.problems]
    assert len(notes) == ("bf16" in name)


@pytest.mark.parametrize("without", ["", "zlib_ng", "numpy"])
def test_torch_is_not_imported(made: Path, without: str) -> None:
    """Neither for looking at all bytes, nor for comparing: only where dtypes differ. What the extra installs is not needed either."""
    code = (
        "import sys\nif sys.argv[3]: sys.modules[sys.argv[3]] = None\n"
        "from pathlib import Path\nfrom collectivelint.runtime.checkpoint.audit import Wanted, audit\n"
        "assert audit(Path(sys.argv[1]), Wanted(consolidated=Path(sys.argv[2]))).is_sound\nassert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(made / "fsdp"), str(made / "fsdp.safetensors"), without]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=made)
    assert ran.returncode == 0, ran.stderr
