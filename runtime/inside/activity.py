"""Thread activity that the source line does not show: compiling a function, or waiting for an accelerator."""

from __future__ import annotations

import linecache
import os
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import CodeType, FrameType

#: Where torch.compile compiles: a function, its backward pass, a kernel that is being tuned. By file, how the names of functions
#: begin that do so; others there run what was compiled.
_COMPILERS: Final[dict[str, tuple[str, ...]]] = {
    os.path.join("torch", "_dynamo", "convert_frame.py"): ("",),
    os.path.join("torch", "_inductor", "compile_fx.py"): ("compile", "_compile", "fx_codegen", "codegen", "fw_", "bw_"),
    os.path.join("torch", "_inductor", "runtime", "triton_heuristics.py"): (
        "autotune",
        "bench",
        "precompile",
        "coordinate",
    ),
}
_FILES: Final = tuple(_COMPILERS)
#: Expressions that return only when the accelerator has computed a value.
_SYNCHRONISES: Final = re.compile(r"\.(item|tolist|cpu|numpy|nonzero|synchronize)\([^()]*\)\W*$")


def activity(frame: FrameType | None, *, has_accelerator: bool) -> dict[str, Any] | None:
    """The activity of a frame's thread as stored in the trace (`Activity` in traces/model.py); None if it is unknown.

    Code that a compiler runs, such as a kernel that it benchmarks, counts as compiling.
    """
    # C++ waits for the accelerator: no frame stands inside of that.
    call = _synchronising(frame) if has_accelerator and frame is not None else ""
    while frame is not None:
        if frame.f_code.co_filename.endswith(_FILES) and _compiles(frame.f_code):
            return {"kind": "compile", "call": ""}
        frame = frame.f_back
    return {"kind": "device", "call": call} if call else None


def _compiles(code: CodeType) -> bool:
    names = next(names for file, names in _COMPILERS.items() if code.co_filename.endswith(file))
    return code.co_name.startswith(names)


def _synchronising(frame: FrameType) -> str:
    """The expression that a frame executes if it waits for the accelerator, else "". Before Python 3.11: its line."""
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
