"""The texts of a program: which files have a word, what their statements import, and which names stand in strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: An import statement: (module, names) of `from`, or the modules of `import`. It may stand behind `:` or `;`, and in text
#: that is no code: a file too many is reached then, and none too few.
_IMPORT: Final = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from[ \t]+([.\w][.\w \t]*?)[ \t]*\bimport\b[ \t]*(\((?:[^)#]|#[^\n]*)*\)|[^\n#;]*)"
    rb"|import[ \t]+([^\n#;]*))",
    re.MULTILINE,
)
_NAME: Final = re.compile(rb"([\w.]+|\*)(?:\s+as\s+(\w+))?")
_COMMENT: Final = re.compile(rb"#[^\n]*")
_CONTINUED: Final = re.compile(rb"\\\r?\n")
#: A module that a call loads, and lists of plugins for pytest.
_LOADED: Final = re.compile(rb"\b(?:import_module|__import__|importorskip)\(\s*[\"']([\w.]+)[\"']")
_PLUGINS: Final = re.compile(rb"\bpytest_plugins\b[^=\n]*\+?=\s*(\[[^\]]*\]|\([^)]*\)|[^\n]*)")
_QUOTED: Final = re.compile(rb"[\"']([\w.]+)[\"']")
#: Names that a module gives away are not looked up by their text.
_ALL: Final = re.compile(rb"__all__[^=\n(]*(?:=|\.extend|\.append)[^\[(\"']*(?:\[[^\]]*\]|\([^)]*\)|[^\n]*)")


@dataclass(frozen=True, slots=True)
class Imported:
    """A dotted module or member as it is written, with its leading dots, and the name that it is bound to."""

    target: str
    name: str


class Texts:
    """Searches the texts of the files, each once for a word."""

    def __init__(self, paths: Iterable[str], text: Callable[[str], bytes]) -> None:
        """`text` gives the content of a file, of a notebook its code."""
        self._paths, self._text = paths, text
        self._files: dict[str, list[str]] = {}
        self._imports: dict[str, tuple[Imported, ...]] = {}
        self._renamed: dict[str, frozenset[str]] = {}
        self._all_renamed: dict[str, set[str]] | None = None

    def text(self, path: str) -> bytes:
        """The content of a file."""
        return self._text(path)

    def files(self, word: str) -> list[str]:
        """The files that have a word in their text."""
        if word not in self._files:
            wanted = word.encode(errors="surrogateescape")
            pattern = _word(word)
            self._files[word] = [
                path for path in self._paths if wanted in (text := self._text(path)) and pattern.search(text)
            ]
        return self._files[word]

    def imports(self, path: str) -> tuple[Imported, ...]:
        """What the statements of a file import, wherever they stand in it."""
        if path not in self._imports:
            self._imports[path] = tuple(dict.fromkeys(_imported(self._text(path))))
        return self._imports[path]

    def names(self, name: str) -> frozenset[str]:
        """The names that import statements of the program bind to something of this name, the name itself included."""
        if name not in self._renamed:
            found = {name}
            pending = [name]
            while pending:
                current = pending.pop()
                for own in self._renames().get(current, ()):
                    if own not in found:
                        found.add(own)
                        pending.append(own)
            self._renamed[name] = frozenset(found)
        return self._renamed[name]

    def _renames(self) -> dict[str, set[str]]:
        """Name -> what `import ... as` calls it."""
        if self._all_renamed is None:
            self._all_renamed = {}
            for path in self._paths:
                if b" as " not in self._text(path):
                    continue
                for item in self.imports(path):
                    last = item.target.rpartition(".")[2]
                    if last and item.name not in ("", last) and "." not in item.name:
                        self._all_renamed.setdefault(last, set()).add(item.name)
        return self._all_renamed

    def is_quoted(self, name: str, inside: frozenset[str] | None = None) -> bool:
        """Whether a string of the program (of some files) is a name, or a dotted path that ends with it."""
        pattern = re.compile(rb"[\"'](?:[\w./]*[.:/])?%b[\"']" % re.escape(name.encode(errors="surrogateescape")))
        return any(
            pattern.search(text := self._text(path)) and pattern.search(_ALL.sub(b"", text))
            for path in self.files(name)
            if inside is None or path in inside
        )

    def decorates_class(self, name: str, inside: frozenset[str] | None = None) -> bool:
        """Whether something of this name is a decorator of a class in the program (in some files)."""
        pattern = re.compile(
            rb"@(?:\w+\.)*%b\b(?:\([^)]*\))?[^\n]*\n(?:[ \t]*@[^\n]*\n)*[ \t]*class\b"
            % re.escape(name.encode(errors="surrogateescape"))
        )
        return any(pattern.search(self._text(path)) for path in self.files(name) if inside is None or path in inside)


@cache
def _word(word: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?<!\w)%b(?!\w)" % re.escape(word.encode(errors="surrogateescape")))


def _imported(text: bytes) -> Iterator[Imported]:
    if b"\\\n" in text or b"\\\r" in text:
        text = _CONTINUED.sub(b" ", text)
    for module, names, modules in _IMPORT.findall(text):
        if modules:
            for name, own in _NAME.findall(modules):
                target = name.decode(errors="replace")
                yield Imported(target, own.decode(errors="replace") or target)
        elif module:
            base = b"".join(module.split()).decode(errors="replace")
            yield Imported(base, "")
            joint = "" if base.endswith(".") else "."
            for name, own in _NAME.findall(_COMMENT.sub(b"", names)):
                last = name.decode(errors="replace")
                if last != "*":
                    yield Imported(f"{base}{joint}{last}", own.decode(errors="replace") or last)
    for name in _LOADED.findall(text):
        yield Imported(name.decode(errors="replace"), "")
    for plugins in _PLUGINS.findall(text):
        for name in _QUOTED.findall(plugins):
            yield Imported(name.decode(errors="replace"), "")
