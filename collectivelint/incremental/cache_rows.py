"""Encodes what the cache stores for a file as text, and decodes it, checking every type: the cache is not trusted."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, get_args

from ..analysis.summary.making import Members
from ..finding import Applicability, Edit, Finding, Fix, Location, Severity, Step
from ..findings.confidence import Confidence
from ..program.index import ClassIndex, FileIndex, class_table
from ..program.line_table import LineTable
from ..reach.answers import Answers, Question, Verdict

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

#: What reading a text that is not ours may raise.
WRONG: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
#: (class, base as written, the base's own name), and (class, its methods): what other files rest on without a look.
Shape: TypeAlias = list[list[str]]
#: By file: the functions and classes of it whose facts were read, as "function f" and "class C", with the digests of those.
Reads: TypeAlias = dict[str, dict[str, str]]
#: By file: the names of it that were asked for, found or not.
Asked: TypeAlias = dict[str, set[str]]
_CODE: Final = re.compile(r"[A-Za-z][\w-]{0,39}", re.ASCII)
#: Lines, columns and offsets that an editor can still count.
_LARGEST: Final = 2**31
_T = TypeVar("_T")


@dataclass(slots=True)
class Row:
    """What is cached for one file. `findings` is None if the file itself has not been analysed.

    `stamp` is (mtime in ns, size, digest); `looked` are the files whose index, functions or call cycles its findings
    depend on, as a bit set numbered by `Program.bits`; `made` is where it creates groups; `reads` are the facts of
    other files that its findings depend on, with their digests; `asked` are the names it looks up in other files.
    """

    stamp: tuple[int, int, str]
    findings: list[Finding] | None = None
    looked: int = 0
    made: list[list[Any]] = field(default_factory=list)
    index: FileIndex | None = None
    reads: Reads = field(default_factory=dict)
    asked: Asked = field(default_factory=dict)

    def columns(self) -> tuple[str | None, ...]:
        """The texts of the row: findings, looked, made, contents, shape, reads, asked."""
        findings = None if self.findings is None else findings_text(self.findings)
        asked = asked_text(self.asked)
        index = self.index
        if index is None or index.problem is not None:
            return (findings, _text(f"{self.looked:x}"), _text(self.made), None, None, _text(self.reads), asked)
        contents = {
            "imports": dict(index.imports),
            "functions": sorted(index.functions),
            "classes": [[class_.qualname, class_.bases, class_.methods] for class_ in index.classes.values()],
            "aliases": dict(index.aliases),
            "variables": sorted(index.variables),
            "rebound": sorted(index.rebound),
            "annotated": index.annotated,
            "lines": [index.lines.starts, index.lines.names, [*index.lines.others.items()]],
        }
        texts = (
            _text(f"{self.looked:x}"),
            _text(self.made),
            _text(contents),
            _text(shape(index)),
            _text(self.reads),
            asked,
        )
        return (findings, *texts)


def findings_text(findings: Sequence[Finding]) -> str:
    """The text of findings."""
    return json.dumps([asdict(finding) for finding in findings])


def asked_text(asked: Asked) -> str | None:
    """The text of the names looked up in other files."""
    return _text({path: sorted(names) for path, names in asked.items()})


def answers_text(answers: Answers) -> str:
    """The text of answers about functions."""
    verdicts = [[*astuple(question), verdict.value] for question, verdict in answers.verdicts.items()]
    return json.dumps([verdicts, dict(answers.files), sorted(answers.words), answers.commands])


def _text(value: object) -> str | None:
    return json.dumps(value, separators=(",", ":")) if value else None


def shape(index: FileIndex) -> Shape:
    """The classes of a file: (class, base as written, the base's own name) rows, then ("", class, methods...) rows."""
    bases = [[name, base, own] for name, base, own in class_table(index)]
    return [*bases, *(["", name, *class_.methods] for name, class_ in index.classes.items())]


def bases_in(some: Shape) -> list[tuple[str, str, str]]:
    """`class_table` of a file, from its shape."""
    return [(row[0], row[1], row[2]) for row in some if row[0]]


# ------------------------------------------------------------------------------------------------------------- reading
# Each raises one of WRONG for what no cache of ours has.


def stamp_of(row: tuple[Any, ...]) -> tuple[int, int, str]:
    """(mtime, size, digest)."""
    mtime, size, digest = row
    return _is(mtime, int), _is(size, int), _is(digest, str)


def shape_of(data: Any) -> Shape:
    """The classes of a file."""
    rows = [_names(row) for row in _is(data, list)]
    if any(len(row) != 3 if row[0] else len(row) < 2 for row in rows):
        raise TypeError
    return rows


def places_of(data: Any) -> list[list[Any]]:
    """Where a file makes groups."""
    kinds = [str, int, int, int, int, bool, str]
    if not isinstance(data, list) or any([type(part) for part in item] != kinds for item in data):
        raise TypeError
    if any(item[-1] not in get_args(Members) for item in data):
        raise ValueError
    return data


def reads_of(data: Any) -> Reads:
    """The facts of other files that a file depends on."""
    return {
        path: {name: _is(digest, str) for name, digest in _is(names, dict).items()}
        for path, names in _is(data, dict).items()
    }


def asked_of(data: Any) -> Asked:
    """The names looked up in other files."""
    return {path: set(_names(names)) for path, names in _is(data, dict).items()}


def answers_of(data: Any) -> Answers:
    """Answers about functions."""
    verdicts, files, words, commands = _is(data, list)
    return Answers(
        {_question(*asked): Verdict(verdict) for *asked, verdict in verdicts},
        {path: _is(digest, str) for path, digest in _is(files, dict).items()},
        frozenset(_names(words)),
        _is(commands, str),
    )


def _question(path: Any, function: Any, code: Any, api: Any, lines: Any, files: Any) -> Question:
    numbers = tuple(map(_number, _is(lines, list)))
    return Question(
        _is(path, str), _is(function, str), _is(code, str), _is(api, str), numbers, tuple(_names(_is(files, list)))
    )


def index_of(path: str, data: Any) -> FileIndex:
    """The index of a file."""
    classes = [
        ClassIndex(_is(name, str), tuple(_names(bases)), tuple(_names(methods)))
        for name, bases, methods in _is(data["classes"], list)
    ]
    return FileIndex(
        path=path,
        imports={name: tuple(_names(targets)) for name, targets in _is(data["imports"], dict).items()},
        functions=frozenset(_names(data["functions"])),
        classes={class_.qualname: class_ for class_ in classes},
        aliases={name: _is(target, str) for name, target in _is(data["aliases"], dict).items()},
        variables=frozenset(_names(data["variables"])),
        rebound=frozenset(_names(data["rebound"])),
        annotated=_is(data["annotated"], bool),
        lines=_lines(*data["lines"]),
    )


def _lines(starts: Any, names: Any, others: Any) -> LineTable:
    lines, numbers = ([*map(_number, _is(some, list))] for some in (starts, names))
    if len(lines) != len(numbers):
        raise ValueError
    return LineTable(lines, numbers, {_number(name): _number(label) for name, label in _is(others, list)})


def findings_of(path: str, data: Any, program: Container[str]) -> list[Finding]:
    """The findings of a file. Their paths must be files of the program, since those are read, shown and fixed."""
    return [_finding(path, item, program) for item in _is(data, list)]


def _finding(path: str, data: Any, program: Container[str]) -> Finding:
    steps = [
        Step(_is(step["path"], str), _number(step["line"]), _is(step["kind"], str), _is(step["text"], str))
        for step in _is(data["trail"], list)
    ]
    where, seen_from = _is(data["path"], str), _is(data["seen_from"], str)
    if (seen_from or where) != path or where not in program or any(step.path not in program for step in steps):
        raise ValueError
    if not _CODE.fullmatch(data["code"]) or data["severity"] not in get_args(Severity):
        raise ValueError
    return Finding(
        code=data["code"],
        name=_is(data["name"], str),
        message=_is(data["message"], str),
        severity=data["severity"],
        path=where,
        location=_location(data["location"]),
        end_location=_location(data["end_location"]),
        function=_is(data["function"], str),
        trail=tuple(steps),
        help=_is(data["help"], str),
        fix=None if data["fix"] is None else _fix(data["fix"]),
        root=_is(data["root"], str),
        derived=_is(data["derived"], bool),
        confidence=Confidence(_is(data["confidence"], int)),
        seen_from=seen_from,
        api=_is(data["api"], str),
    )


def _fix(data: Any) -> Fix:
    if data["applicability"] not in get_args(Applicability):
        raise ValueError
    edits = tuple(
        Edit(
            _number(item["start"]),
            _number(item["end"]),
            _is(item["content"], str),
            _location(item["location"]),
            _location(item["end_location"]),
        )
        for item in _is(data["edits"], list)
    )
    return Fix(data["applicability"], _is(data["message"], str), edits, _is(data["caution"], str))


def _location(data: Any) -> Location:
    return Location(_number(data["row"]), _number(data["column"]))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise TypeError
    return value


def _is(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise TypeError
    return value


def _names(data: Any) -> list[str]:
    return [_is(name, str) for name in _is(data, list)]
