"""The texts of a program: the files that contain a word, their imports, and the names in strings."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..source.import_statements import import_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: A module that a call loads, and lists of plugins for pytest.
_LOADERS: Final = (b"import_module", b"__import__", b"importorskip")
_LOADED: Final = re.compile(rb"\b(?:%b)\(\s*[\"']([\w.]+)[\"']" % b"|".join(_LOADERS))
_PLUGINS: Final = re.compile(rb"\bpytest_plugins\b[^=\n]*\+?=\s*(\[[^\]]*\]|\([^)]*\)|[^\n]*)")
_QUOTED: Final = re.compile(rb"[\"']([\w.]+)[\"']")
#: What stands before a name in a string that is a path to it, and how long it may be.
_OPENED: Final = re.compile(rb"[\"'](?:[\w./]*[.:/])?\Z")
_LONGEST_PATH: Final = 300
#: What words are made of.
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
#: All else becomes a blank: what is left are the words of a text.
_TO_WORDS: Final = bytes(letter if letter in _LETTERS else 0x20 for letter in range(256))
#: Words for which all texts are searched; for more of them it pays to list where each word of the program stands.
_FEW_WORDS: Final = 30
#: Names that a module gives away are not looked up by their text.
_ALL: Final = re.compile(rb"__all__[^=\n(]*(?:=|\.extend|\.append)[^\[(\"']*(?:\[[^\]]*\]|\([^)]*\)|[^\n]*)")


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported module or member, dotted as written with its leading dots, and the name it is bound to."""

    target: str
    name: str


class Texts:
    """Searches the code of the files, each once for a word."""

    def __init__(self, paths: Iterable[str], code: Callable[[str], bytes]) -> None:
        """`code` gives the text of a file without its comments, of a notebook that of its cells."""
        self._paths, self._code = tuple(paths), code
        #: A word -> the positions in `_paths` of the files that have it; made when many have been looked for.
        self._places: dict[bytes, array[int]] = {}
        self._files: dict[str, list[str]] = {}
        self._imports: dict[str, tuple[Imported, ...]] = {}
        self._renamed: dict[str, frozenset[str]] = {}
        #: The files whose code answers rest on, beside those that have one of the words.
        self._read: set[str] = set()

    def code(self, path: str) -> bytes:
        """The code of a file."""
        self._read.add(path)
        return self._code(path)

    @property
    def words(self) -> frozenset[str]:
        """The words that were searched for."""
        return frozenset(self._files)

    @property
    def read(self) -> set[str]:
        """The files whose code answers depend on. No other file contains any of the words."""
        return self._read.union(*self._files.values())

    def files(self, word: str) -> list[str]:
        """The files whose code contains a word."""
        if word not in self._files:
            self._files[word] = self._having(word.encode(errors="surrogateescape"))
        return self._files[word]

    def _having(self, word: bytes) -> list[str]:
        if len(self._files) < _FEW_WORDS or not word or not _LETTERS.issuperset(word):
            return [path for path in self._paths if word in (code := self._code(path)) and has_word(code, word)]
        if not self._places:
            for number, path in enumerate(self._paths):
                for one in set(self._code(path).translate(_TO_WORDS).split()):
                    places = self._places.get(one)
                    if places is None:
                        self._places[one] = array("I", (number,))
                    else:
                        places.append(number)
        return [self._paths[number] for number in self._places.get(word, ())]

    def imports(self, path: str) -> tuple[Imported, ...]:
        """The imports of a file, anywhere in it."""
        if path not in self._imports:
            self._imports[path] = tuple(dict.fromkeys(_imported(self.code(path))))
        return self._imports[path]

    def names(self, name: str) -> frozenset[str]:
        """The names that import statements of the program bind to something of this name, the name itself included."""
        if name not in self._renamed:
            found = {name}
            pending = [name]
            while pending:
                renamed = self._renames(pending.pop()) - found
                found |= renamed
                pending += sorted(renamed)
            self._renamed[name] = frozenset(found)
        return self._renamed[name]

    def _renames(self, name: str) -> set[str]:
        """The aliases that `import ... as` gives something of this name."""
        pattern = re.compile(rb"%b\s+as\s" % re.escape(name.encode(errors="surrogateescape")))
        return {
            item.name
            for path in self.files(name)
            if pattern.search(self._code(path))
            for item in self.imports(path)
            if item.target.rpartition(".")[2] == name and item.name and "." not in item.name
        }

    def is_quoted(self, name: str, inside: frozenset[str] | None = None) -> bool:
        """Whether a string of the program (of some files) is a name, or a dotted path that ends with it."""
        wanted = name.encode(errors="surrogateescape")
        return any(
            _is_quoted(code := self._code(path), wanted) and _is_quoted(_ALL.sub(b"", code), wanted)
            for path in self.files(name)
            if inside is None or path in inside
        )

    def is_module_quoted(self, name: str) -> bool:
        """Whether a string of the program is a dotted path that contains a module; its file name does not count."""
        wanted = name.encode(errors="surrogateescape")
        pattern = re.compile(rb"[\"'](?:[\w./]*[.:/])?%b(?!\.py[\"'])[.:\"']" % re.escape(wanted))
        return any(pattern.search(self._code(path)) for path in self.files(name))

    def decorates_class(self, name: str, inside: frozenset[str] | None = None) -> bool:
        """Whether something of this name decorates a class of the program (in some files)."""
        pattern = re.compile(
            rb"@(?:\w+\.)*%b\b(?:\([^)]*\))?[^\n]*\n(?:[ \t]*@[^\n]*\n)*[ \t]*class\b"
            % re.escape(name.encode(errors="surrogateescape"))
        )
        return any(pattern.search(self._code(path)) for path in self.files(name) if inside is None or path in inside)


def without_comments(text: bytes) -> bytes:
    """The lines of a text that contain code, without text that is certainly a comment.

    If a line contains quotes, the text after `#` may be part of a string and is kept.
    """
    kept = []
    for line in text.split(b"\n"):
        code = line
        if b"#" in line and (line.lstrip()[:1] == b"#" or not (b'"' in line or b"'" in line)):
            code = line.partition(b"#")[0]
        code = code.rstrip()
        if code:
            kept.append(code)
    return b"\n".join(kept)


def has_word(text: bytes, word: bytes) -> bool:
    """Whether a text contains a word, not as part of a longer one."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and text[at - 1] in _LETTERS) and not (end < len(text) and text[end] in _LETTERS):
            return True
        at = text.find(word, at + 1)
    return False


def _is_quoted(text: bytes, name: bytes) -> bool:
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if text[end : end + 1] in (b'"', b"'") and _OPENED.search(text, max(0, at - _LONGEST_PATH), at):
            return True
        at = text.find(name, at + 1)
    return False


def _imported(text: bytes) -> Iterator[Imported]:
    for statement in import_statements(text):
        if statement.names is None:
            yield Imported(statement.module, statement.bound)
            continue
        yield Imported(statement.module, "")
        joint = "" if statement.module.endswith(".") else "."
        for name, bound in statement.names:
            if name != "*":
                yield Imported(f"{statement.module}{joint}{name}", bound)
    for name in _LOADED.findall(text) if any(loader in text for loader in _LOADERS) else ():
        yield Imported(name.decode(errors="replace"), "")
    for plugins in _PLUGINS.findall(text) if b"pytest_plugins" in text else ():
        for name in _QUOTED.findall(plugins):
            yield Imported(name.decode(errors="replace"), "")
