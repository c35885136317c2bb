"""The tools for a job's output, a checkpoint or a trace; each is read by a command in its own process.

The command limits the memory and time that untrusted files take; such limits apply to a whole process, and no such file
can end the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from .results import CheckpointReport, Problem, Side, TraceReport, Unread, Verdict
from .roots import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .calls import Call
    from .roots import Roots

#: Nothing is imported from the current folder: it is the user's, not ours.
_MAIN: Final = "import sys; sys.path[:] = filter(None, sys.path); from collectivelint.cli import main; main()"
#: How often a running command is asked whether its call is cancelled.
_LOOK_S: Final = 0.2
#: Frames of a stack that are shown.
_DEEPEST: Final = 8


def verify_checkpoint(
    call: Call,
    roots: Roots,
    path: str,
    consolidated: str | None,
    world_size: int | None,
    *,
    headers_only: bool,
    limit: int,
) -> CheckpointReport:
    """Check a checkpoint folder or file."""
    arguments = ["ckpt", "verify", "--json"]
    if headers_only:
        arguments.append("--headers")
    if consolidated is not None:
        arguments.append(f"--consolidated={roots.path(consolidated).absolute()}")
    if world_size is not None:
        arguments.append(f"--world-size={world_size}")
    found, _ = _answer(call, [*arguments, "--", str(roots.path(path).absolute())])
    problems = [Problem(**{key: item[key] for key in _names(Problem)}) for item in found["problems"]]
    unread = [Unread(item["where"], item["why"]) for item in found["unread"]]
    taken = {key: found[key] for key in _names(CheckpointReport) if key in found}
    return CheckpointReport(**{**taken, "unread": unread, "problems": problems[:limit], "total": len(problems)})


def _names(record: type[Problem | CheckpointReport]) -> list[str]:
    return [field.name for field in fields(record)]


def read_trace(call: Call, roots: Roots, path: str) -> TraceReport:
    """The verdict on each job of a traced run."""
    found, said = _answer(call, ["report", "--output-format", "json", "--", str(roots.path(path).absolute())])
    unexpected = [text for job in found["jobs"] for text in job["unexpected_groups"]]
    verdicts = [_verdict(item) for item in found["verdicts"]]
    problems = [*said, *unexpected]
    return TraceReport(found["run"], bool(verdicts), len(found["jobs"]), found["exit_code"], verdicts, problems)


def _verdict(item: Mapping[str, Any]) -> Verdict:
    return Verdict(
        item["job"]["name"],
        item["verdict"],
        item["what"],
        item["group"]["ranks"],
        item["sequence"],
        item["rule"],
        item["notes"],
        [_side(side) for side in item["sides"]],
    )


def _side(side: Mapping[str, Any]) -> Side:
    event, stack = side["event"], side["stack"]
    if event is None:
        return Side(side["ranks"], side["state"], None, {}, None, stack[:_DEEPEST])
    place = f"{event['site']['path']}:{event['site']['line']}"
    return Side(
        side["ranks"], side["state"], event["op"], event["signature"], place, (stack or event["stack"])[:_DEEPEST]
    )


def _answer(call: Call, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The JSON output and warnings of one of our commands; raise RequestError with its error if it prints no JSON."""
    command = [sys.executable, "-c", _MAIN, *arguments]
    environment = os.environ | {"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
    ) as reader:
        try:
            out, err = _wait(call, reader)
        except BaseException:
            reader.kill()
            raise
    said = [line.removeprefix("error: ") for line in err.splitlines() if line.strip()]
    try:
        found = json.loads(out)
    except ValueError:
        # The last line of a traceback, or of a usage message, is what went wrong.
        wrong = [line.removeprefix("Error: ") for line in said]
        raise RequestError(wrong[-1] if wrong else f"the reader ended with exit code {reader.returncode}") from None
    return found, said


def _wait(call: Call, reader: subprocess.Popen[str]) -> tuple[str, str]:
    """The output and the errors of a process, once it has ended; raise CancelledError."""
    while True:
        # Asked first, too: a reader may end sooner than it is looked at.
        call.go_on()
        with suppress(subprocess.TimeoutExpired):
            return reader.communicate(timeout=_LOOK_S)
