"""What a thread does that is not written in its source line: it compiles a function, or waits for an accelerator."""

from __future__ import annotations

import linecache
import os
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import CodeType, FrameType

#: Where torch.compile compiles: the function, its backward pass, a kernel that is being tuned.
_COMPILERS: Final = tuple(
    os.path.join("torch", *path)
    for path in (
        ("_dynamo", "convert_frame.py"),
        ("_inductor", "compile_fx.py"),
        ("_inductor", "runtime", "triton_heuristics.py"),
    )
)
#: Expressions that return only when the accelerator has computed a value.
_SYNCHRONISES: Final = re.compile(r"\.(item|tolist|cpu|numpy|nonzero|synchronize)\([^()]*\)\W*$")


def activity(frame: FrameType | None, *, has_accelerator: bool) -> dict[str, Any] | None:
    """What the thread of a frame does, as stored in the trace (`Activity` in traces/model.py); None if that cannot be told.

    What a compiler runs, such as a kernel that it measures, is a part of compiling.
    """
    call = ""
    while frame is not None:
        if frame.f_code.co_filename.endswith(_COMPILERS):
            return {"kind": "compile", "call": ""}
        if has_accelerator and not call:
            call = _synchronising(frame)
        frame = frame.f_back
    return {"kind": "device", "call": call} if call else None


def _synchronising(frame: FrameType) -> str:
    """The expression that a frame is at, if that waits for the accelerator, else "". Before Python 3.11 its line is looked at."""
    text = _expression(frame.f_code, frame.f_lasti) or linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return text.strip() if _SYNCHRONISES.search(text) else ""


def _expression(code: CodeType, offset: int) -> str:
    """The source of the instruction at an offset, "" where it is not known or has more than one line."""
    positions = getattr(code, "co_positions", None)
    if positions is None:
        return ""
    for index, (line, end, first, last) in enumerate(positions()):
        if index * 2 == offset and None not in (line, first, last) and line == end:
            # Columns count bytes.
            return linecache.getline(code.co_filename, line).encode()[first:last].decode(errors="replace")
    return ""
