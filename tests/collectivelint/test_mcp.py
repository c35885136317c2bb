"""The MCP server over its own protocol: the SDK's client starts it and calls its tools, in one session."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from click.testing import CliRunner
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.writer import Writer
from mcp import Client, StdioServerParameters

from collectivelint.cli.mcp import mcp
from collectivelint.mcp_server.calls import Call, CancelledError
from collectivelint.mcp_server.roots import Roots
from collectivelint.mcp_server.runs import read_trace
from collectivelint.mcp_server.sources import lint

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.types import CallToolResult, Tool

_MAIN = """\
import torch.distributed as dist


def save(group: dist.ProcessGroup, name):
    if dist.get_rank() == 0:
        dist.barrier(group=dist.group.WORLD)
    dist.all_reduce(name)
"""
_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "file": ("lint", {"paths": ["main.py"], "min_confidence": "low"}),
    "one": ("lint", {"limit": 1, "min_confidence": "low"}),
    "selected": ("lint", {"select": ["CL201"], "min_confidence": "high"}),
    "text": ("lint", {"source": "from main import save\n\nimport torch.distributed as dist\nif dist.get_rank() == 0:\n    save(None, 1)\n", "filename": "new.py"}),
    "broken text": ("lint", {"source": "import torch\nx = (\n"}),
    "unknown rule": ("lint", {"select": ["CL2O1"]}),
    "both": ("lint", {"source": "", "paths": ["main.py"]}),
    "outside": ("lint", {"paths": ["../secret.py"]}),
    "link": ("lint", {"paths": ["link.py"]}),
    "written outside": ("lint", {"source": "", "filename": "../new.py"}),
    "folder": ("lint", {"source": "", "filename": "elsewhere"}),
    "missing": ("lint", {"paths": ["missing.py"]}),
    "empty": ("lint", {"paths": ["trace"]}),
    "rule": ("explain", {"rule": "rank-conditional"}),
    "no rule": ("explain", {"rule": "CL2O1"}),
    "analysis": ("show_analysis", {"function": "save"}),
    "no function": ("show_analysis", {"function": "sav"}),
    "sound": ("verify_checkpoint", {"path": "sound.safetensors"}),
    "damaged": ("verify_checkpoint", {"path": "damaged.safetensors"}),
    "no checkpoint": ("verify_checkpoint", {"path": "main.py"}),
    "trace": ("read_trace", {"path": "trace"}),
    "no trace": ("read_trace", {"path": "elsewhere"}),
    "dashes": ("read_trace", {"path": "--help"}),
}  # fmt: skip


def _trace(folder: Path) -> None:
    """Two ranks that meet in different calls."""
    for rank, (op, line) in enumerate([("barrier", 6), ("all_reduce", 7)]):
        writer = Writer(folder, rank=rank, world_size=2, attempt=0, started=5.0, host="host")
        group = writer.name("group", {"ranks": [0, 1], "ordinal": 0, "description": "default_pg"})
        place = writer.name("place", {"path": "main.py", "line": line, "function": "save", "stack": []})
        signature = writer.name("signature", {"op": op})
        stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
        writer.end(writer.add(0, group, 1, signature, place, -1, False, 6.0, 0, stream, 3 + rank), State.DONE, 6.5)


def _safetensors(sizes: int) -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [sizes], "data_offsets": [0, 4 * sizes]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<4f", 1, 2, 3, 4)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Tool], dict[str, CallToolResult], set[str]]:
    """The tools, what each call gave, and the files that the session has left behind."""
    outer = tmp_path_factory.mktemp("mcp")
    root = outer / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "main.py").write_text(_MAIN)
    (outer / "secret.py").write_text(_MAIN)
    (root / "link.py").symlink_to(outer / "secret.py")
    (root / "sound.safetensors").write_bytes(_safetensors(4))
    (root / "damaged.safetensors").write_bytes(_safetensors(5))
    # A module of the user that ours must not be taken for.
    (root / "click.py").write_text("raise SystemExit('the wrong one')\n")
    (root / "elsewhere").mkdir()
    _trace(root / "trace")
    before = {str(path) for path in outer.rglob("*")}

    async def talk() -> tuple[list[Tool], dict[str, CallToolResult]]:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "collectivelint", "mcp", str(root)], cwd=str(outer)
        )
        async with Client(server, read_timeout_seconds=120) as client:
            tools = (await client.list_tools()).tools
            return tools, {name: await client.call_tool(tool, given) for name, (tool, given) in _CALLS.items()}

    tools, answers = asyncio.run(talk())
    return tools, answers, {str(path) for path in outer.rglob("*")} - before


def _data(answer: CallToolResult) -> dict[str, Any]:
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content


def _error(answer: CallToolResult) -> str:
    assert answer.is_error
    text: str = answer.content[0].text  # type: ignore[union-attr]
    assert "Traceback" not in text
    return text


def test_the_tools_are_typed_and_read_only(session: Any) -> None:
    tools, _, left = session
    assert [tool.name for tool in tools] == ["lint", "explain", "show_analysis", "verify_checkpoint", "read_trace"]
    assert all(tool.annotations.read_only_hint and tool.output_schema["properties"] for tool in tools)
    assert left == set()


def test_lint(session: Any) -> None:
    _, answers, _ = session
    found = _data(answers["file"])
    conditional, missing = found["findings"]
    assert (conditional["code"], conditional["confidence"], conditional["place"]) == ("CL201", "high", "main.py:6:9")
    assert [step["place"] for step in conditional["trail"]] == ["main.py:5", "main.py:6"]
    assert missing["fix"]["applicability"] == "unsafe"
    assert missing["fix"]["hunks"] == "@@ -7 +7 @@\n-    dist.all_reduce(name)\n+    dist.all_reduce(name, group=group)"
    assert found["problems"] == []
    assert (len(_data(answers["one"])["findings"]), _data(answers["one"])["total"]) == (1, 2)
    assert [item["code"] for item in _data(answers["selected"])["findings"]] == ["CL201"]
    text = _data(answers["text"])["findings"]
    assert [(item["code"], item["place"]) for item in text] == [("CL201", "new.py:5:5")]
    assert "main.py:6" in [step["place"] for step in text[0]["trail"]]
    assert [item["code"] for item in _data(answers["broken text"])["findings"]] == ["CL000"]


def test_what_cannot_be_answered_is_an_error(session: Any) -> None:
    _, answers, _ = session
    assert "unknown rule `CL2O1`; did you mean `CL201`?" in _error(answers["unknown rule"])
    assert "not both" in _error(answers["both"])
    for name in ("outside", "link", "written outside"):
        assert "outside of what this server may read" in _error(answers[name])
    assert "elsewhere: is a folder" in _error(answers["folder"])
    assert "missing.py: no such file or folder" in _error(answers["missing"])
    assert "nothing to check" in _error(answers["empty"])
    assert "did you mean `CL201`?" in _error(answers["no rule"])
    assert "did you mean save?" in _error(answers["no function"])
    assert "not a checkpoint" in _error(answers["no checkpoint"])
    assert "neither a trace nor dumps" in _error(answers["no trace"])
    assert "--help: no such file or folder" in _error(answers["dashes"])


def test_a_client_that_leaves_before_its_answer_is_no_error(tmp_path: Path) -> None:
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    command = [sys.executable, "-m", "collectivelint", "mcp"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=-1, stdout=-1, stderr=-1) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdout.close()
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.close()
        assert server.stderr.read() == b""


def test_without_the_sdk_one_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "collectivelint.mcp_server.app", raising=False)
    done = CliRunner().invoke(mcp, [])
    assert done.exit_code == 2
    assert done.output.endswith("Error: the MCP server needs the MCP SDK: pip install 'collectivelint[mcp]'\n")


def test_explain_and_analysis(session: Any) -> None:
    _, answers, _ = session
    rule = _data(answers["rule"])
    assert (rule["code"], rule["default"]) == ("CL201", True)
    assert "## What it does" in rule["text"]
    (text,) = _data(answers["analysis"])["functions"]
    assert "line 6: barrier on the default group" in text


def test_checkpoints(session: Any) -> None:
    _, answers, _ = session
    sound, damaged = _data(answers["sound"]), _data(answers["damaged"])
    assert (sound["sound"], sound["complete"], sound["tensors"], sound["problems"]) == (True, True, 1, [])
    assert not damaged["sound"]
    assert damaged["problems"][0]["severity"] == "error"


def test_a_trace_with_both_sides(session: Any) -> None:
    _, answers, _ = session
    found = _data(answers["trace"])
    assert found["diverged"]
    (verdict,) = found["verdicts"]
    assert verdict["verdict"] == "mismatch"
    sides = [(side["ranks"], side["call"], side["place"]) for side in verdict["sides"]]
    assert sorted(sides) == [([0], "barrier", "main.py:6"), ([1], "all_reduce", "main.py:7")]


def test_a_cancelled_call_stops_and_an_unchanged_project_is_not_analysed_again(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(_MAIN)
    call = Call(tmp_path / "cache")
    roots = Roots([tmp_path])
    first = lint(call, roots, [str(tmp_path / "main.py")], None, "", [], None, 50)
    files = sorted(path.name for path in tmp_path.iterdir())
    call.cancelled.set()
    # All of it is known: no file is analysed, so there is nothing to stop.
    assert lint(call, roots, [str(tmp_path / "main.py")], None, "", [], None, 50) == first
    assert files == ["cache", "main.py"]
    (tmp_path / "main.py").write_text(_MAIN.replace("save", "store"))
    with pytest.raises(CancelledError):
        lint(call, roots, [str(tmp_path / "main.py")], None, "", [], None, 50)
    with pytest.raises(CancelledError):
        read_trace(call, roots, str(tmp_path))
