"""Call sites: the first frame of the user's own code, found once for each place."""

from __future__ import annotations

import linecache
import os
import sysconfig
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import CodeType, FrameType

#: This package, with all that stands in it.
_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB: Final = sysconfig.get_paths()["stdlib"] + os.sep
#: Wrappers around torch's own functions (`@deprecated`), not anybody's call.
_PLUMBING: Final = ("typing_extensions.py",)
_DEEPEST: Final = 12


class Sites:
    """Call sites by code object and line; `describe` is called once for each new one."""

    def __init__(self, torch_folder: str) -> None:
        """`torch_folder` is where torch lies: its frames are never the user's."""
        self._torch = torch_folder + os.sep
        self._inner: dict[CodeType, bool] = {}

    def find(self, frame: FrameType | None) -> FrameType | None:
        """The nearest frame outside torch, the standard library and this package; None if there is none."""
        inner = self._inner
        while frame is not None:
            code = frame.f_code
            hidden = inner.get(code)
            if hidden is None:
                hidden = inner[code] = self._is_inner(code.co_filename)
            if not hidden:
                return frame
            frame = frame.f_back
        return None

    def is_project(self, frame: FrameType | None) -> bool:
        """Whether a frame here is the project's own, or outside of it, rather than of what it has installed."""
        outer = self.find(frame)
        while outer is not None:
            if "site-packages" not in outer.f_code.co_filename and "dist-packages" not in outer.f_code.co_filename:
                return True
            outer = self.find(outer.f_back)
        return False

    def _is_inner(self, path: str) -> bool:
        if path.startswith("<"):
            return path != "<stdin>" and not path.startswith("<ipython")
        if path.startswith((self._torch, _HERE)) or path.endswith(_PLUMBING):
            return True
        return path.startswith(_STDLIB) and "site-packages" not in path

    def describe(self, frame: FrameType) -> dict[str, object]:
        """The place as stored in the trace, with the user's frames around it, innermost first."""
        return {
            "path": shorten(frame.f_code.co_filename),
            "line": frame.f_lineno,
            "function": _name(frame),
            "stack": self.stack(frame),
        }

    def stack(self, frame: FrameType | None) -> list[str]:
        """The user's frames from here outwards, innermost first."""
        found: list[str] = []
        outer = self.find(frame)
        while outer is not None and len(found) < _DEEPEST:
            path, line = outer.f_code.co_filename, outer.f_lineno
            text = linecache.getline(path, line).strip()
            found.append(f"{shorten(path)}:{line} {_name(outer)}: {text}")
            outer = self.find(outer.f_back)
        return found


def _name(frame: FrameType) -> str:
    return str(getattr(frame.f_code, "co_qualname", frame.f_code.co_name))


def shorten(path: str) -> str:
    """Relative to the current folder where the file lies below it, as the linter shows paths."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if relative.startswith("..") else relative
