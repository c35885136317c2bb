"""Call sites: the frames of a call, the project's before those of libraries, described once for each stack."""

from __future__ import annotations

import linecache
import os
import sysconfig
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

#: This package, with all that stands in it.
_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB: Final = sysconfig.get_paths()["stdlib"] + os.sep
_SCRIPTS: Final = sysconfig.get_paths()["scripts"] + os.sep
#: Wrappers around torch's own functions (`@deprecated`), and what our kernels go on through: they call nothing by themselves.
_PLUMBING: Final = ("typing_extensions.py", os.path.join("torch", "_ops.py"))
_INSTALLED: Final = ("site-packages", "dist-packages")
#: Frames of one kind that are stored for a call.
_DEEPEST: Final = 12
#: Frames of any kind that are walked for a call, about 0.14 us each. What is further out is not known, and not shown.
_WALKED: Final = range(64)


@dataclass(frozen=True, slots=True)
class Stack:
    """The Python frames of a thread, innermost first: code objects, and the current instruction offset of each.

    It keeps no frame, and so none of the job's variables alive. `key` is that of `key_of`.
    """

    codes: tuple[CodeType, ...]
    key: tuple[int, ...]

    @classmethod
    def of(cls, frame: FrameType | None) -> Stack:
        """The stack of a frame and its callers."""
        # In one walk: the stack of another thread changes meanwhile.
        key: list[int] = []
        codes = []
        for _ in _WALKED:
            if frame is None:
                break
            code = frame.f_code
            key += (id(code), frame.f_lasti)
            codes.append(code)
            frame = frame.f_back
        return cls(tuple(codes), tuple(key))

    def started_by(self, other: Stack) -> Stack:
        """This stack followed by the one that started its thread, cut to the usual maximum depth."""
        most = len(_WALKED)
        return Stack((self.codes + other.codes)[:most], (self.key + other.key)[: 2 * most])

    def lines(self) -> Iterator[tuple[CodeType, int]]:
        """Code objects and the lines they are at."""
        for code, offset in zip(self.codes, self.key[1::2], strict=True):
            lines = (line for first, last, line in code.co_lines() if first <= offset < last and line is not None)
            yield code, next(lines, code.co_firstlineno)


def key_of(frame: FrameType | None) -> tuple[int, ...]:
    """A key that identifies the stack of a frame while its code objects exist.

    It uses neither lines nor hashes of code: either takes a microsecond for each frame.
    """
    key: list[int] = []
    add = key.append
    for _ in _WALKED:
        if frame is None:
            break
        add(id(frame.f_code))
        add(frame.f_lasti)
        frame = frame.f_back
    return tuple(key)


class _Kind(IntEnum):
    """The origin of a source file: project, library, torch, or hidden."""

    PROJECT = 0
    LIBRARY = 1
    TORCH = 2
    HIDDEN = 3
    """The standard library and this package."""


class _Frame(NamedTuple):
    path: str
    line: int
    function: str
    kind: _Kind

    def __str__(self) -> str:
        text = linecache.getline(self.path, self.line).strip()
        return f"{shorten(self.path)}:{self.line} {self.function}: {text}"


_NOWHERE: Final = _Frame("<no Python frame>", 0, "", _Kind.HIDDEN)


class Sites:
    """Distinguishes the project's frames from those of libraries."""

    def __init__(self, torch_folder: str) -> None:
        """`torch_folder` is where torch is installed: its frames are shown only if a thread has no others."""
        self._torch = torch_folder + os.sep
        #: By path.
        self._kinds: dict[str, _Kind] = {}

    def find(self, frame: FrameType | None) -> FrameType | None:
        """The nearest frame outside torch, the standard library and this package; None if there is none."""
        while frame is not None and self._kind(frame.f_code) > _Kind.LIBRARY:
            frame = frame.f_back
        return frame

    def is_project(self, frame: FrameType | None) -> bool:
        """Whether a frame or one of its callers is the project's own."""
        while frame is not None:
            if self._kind(frame.f_code) is _Kind.PROJECT:
                return True
            frame = frame.f_back
        return False

    def _kind(self, code: CodeType) -> _Kind:
        path = code.co_filename
        found = self._kinds.get(path)
        if found is None:
            found = self._kinds[path] = self._kind_of(path)
        return found

    def _kind_of(self, path: str) -> _Kind:
        if path.startswith("<"):
            return _Kind.PROJECT if path == "<stdin>" or path.startswith("<ipython") else _Kind.HIDDEN
        if path.startswith(_HERE) or path.endswith(_PLUMBING):
            return _Kind.HIDDEN
        if path.startswith(self._torch):
            return _Kind.TORCH
        if any(folder in path for folder in _INSTALLED) or path.startswith(_SCRIPTS):
            return _Kind.LIBRARY
        return _Kind.HIDDEN if path.startswith(_STDLIB) else _Kind.PROJECT

    def describe(self, frame: FrameType) -> dict[str, Any]:
        """The place of a frame, see `place`."""
        return self.place(Stack.of(frame))

    def place(self, stack: Stack, started: Stack | None = None) -> dict[str, Any]:
        """A call site as stored in the trace. `started` is the stack that started the thread.

        The site is the project's innermost frame; if the stack has none, the innermost of a library, else of torch.
        `via` holds the library frames between the site and the call, `stack` those from the site outwards: only the
        project's, if it has any. Both are innermost first.
        """
        via, outer = self._ordered(stack)
        site = outer[0] if outer else _NOWHERE
        found: dict[str, Any] = {"path": shorten(site.path), "line": site.line, "function": site.function}
        found["stack"] = list(map(str, outer))
        if via:
            found["via"] = list(map(str, via))
        if started is not None:
            found["started_at"] = list(map(str, self._ordered(started)[1]))
        return found

    def site(self, stack: Stack) -> Stack:
        """The stack reduced to the frame that `place` reports as the site."""
        kinds = [self._kind(code) for code in stack.codes]
        at = kinds.index(min(kinds)) if kinds else 0
        return Stack(stack.codes[at : at + 1], stack.key[2 * at : 2 * at + 2])

    def stack(self, frame: FrameType | None) -> list[str]:
        """The visible frames of a thread: its site, the innermost library frame as `via ...`, the site's callers."""
        via, outer = self._ordered(Stack.of(frame))
        found = list(map(str, outer))
        return [*found[:1], *(f"via {inner}" for inner in via[:1]), *found[1:]]

    def _ordered(self, stack: Stack) -> tuple[list[_Frame], list[_Frame]]:
        """The library frames inside the site, and the frames from the site outwards."""
        frames = [_Frame(code.co_filename, line, _name(code), self._kind(code)) for code, line in stack.lines()]
        visible = [frame for frame in frames if frame.kind <= _Kind.LIBRARY]
        project = [frame for frame in visible if frame.kind is _Kind.PROJECT]
        if project:
            return visible[: visible.index(project[0])][:_DEEPEST], project[:_DEEPEST]
        if not visible:
            # Not the functions of torch.distributed that every call goes through, if what has called them is known.
            torch = [frame for frame in frames if frame.kind is _Kind.TORCH]
            plumbing = f"{self._torch}distributed"
            visible = [frame for frame in torch if os.path.dirname(frame.path) != plumbing] or torch
        return [], visible[:_DEEPEST]


def _name(code: CodeType) -> str:
    return str(getattr(code, "co_qualname", code.co_name))


def shorten(path: str) -> str:
    """A path as the linter shows it: relative to the folder of installed packages, or to the current folder."""
    for folder in _INSTALLED:
        _, found, package = path.rpartition(f"{os.sep}{folder}{os.sep}")
        if found:
            return package
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if relative.startswith("..") else relative
