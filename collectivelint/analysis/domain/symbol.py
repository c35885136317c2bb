"""Symbols: hash-consed expressions over a function's parameters, by which conditions, values and groups are identified.

Two expressions that are written alike over the same values are one object, so that comparing them is comparing identities. What
nothing is known about is a symbol of its own, named by its place; a callee's symbols become those of its caller by substitution.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: "parameter" (name), "foreign" (a parameter of another function), "constant" (value), "name" (dotted name of something
#: outside, or a text), "global" (path, name), "place" (what, path, line, column: equal only to itself), "attribute" (name; owner),
#: "subscript" (owner, index), "call" (callee, arguments), "operation" (name of a catalogue's function, names of its arguments;
#: arguments), "compound" (kind; parts), "comprehension" (is it as long as its sources?; element, sources), "conditional" (test,
#: then, else), "compare" (operator; left, right), "and", "or" (operands), "not" (operand), "loop" ("for" or "while"; what
#: decides its turns), "turns" (what is iterated), "caught" (number, path, line, column), "override" (number, name, path, line,
#: column), "member" (a rank of a group), "mesh" (that of a tensor or a model), "opaque" (digest; parameters).
Kind: TypeAlias = Literal[
    "parameter",
    "foreign",
    "constant",
    "name",
    "global",
    "place",
    "attribute",
    "subscript",
    "call",
    "operation",
    "compound",
    "comprehension",
    "conditional",
    "compare",
    "and",
    "or",
    "not",
    "loop",
    "turns",
    "caught",
    "override",
    "member",
    "mesh",
    "opaque",
]

#: A deeper expression becomes an opaque one: every function on a chain of calls puts its own around what it is given.
DEEPEST: Final = 48
#: What is shown of a symbol for debugging; nothing is decided by it.
_LONGEST_TEXT: Final = 400
#: Kinds whose leftmost operand is what they are said of: `x.rank`, `x[0]`, `x(...)`, `x == 0`.
_LED: Final = frozenset({"attribute", "subscript", "call", "compare"})


class Symbol:
    """An expression; equal ones are the same object (see `make`)."""

    __slots__ = ("__weakref__", "_digest", "args", "depth", "has_place", "head", "kind", "parameters", "root")

    kind: Kind
    head: tuple[object, ...]
    args: tuple[Symbol, ...]
    #: The names of the parameters in it.
    parameters: frozenset[str]
    #: The parameter it is an attribute, an element, a result or a comparison of, if it is one.
    root: str | None
    depth: int
    #: Is something in it that nothing is known about, such as a loop's variable?
    has_place: bool
    _digest: bytes | None

    def __init__(self, kind: Kind, head: tuple[object, ...], args: tuple[Symbol, ...]) -> None:
        """Use `make`: a symbol made here is equal to no other."""
        self.kind, self.head, self.args = kind, head, args
        self._digest = None
        if not args:
            own = kind == "parameter"
            self.parameters = frozenset((str(head[0]),)) if own else _NOTHING
            self.root = str(head[0]) if own else None
            self.depth = 1
            self.has_place = kind in ("place", "caught", "override")
            return
        depth, has_place, parameters = 0, False, args[0].parameters
        for arg in args:
            depth = max(depth, arg.depth)
            has_place |= arg.has_place
            if arg.parameters is not parameters and arg.parameters:
                parameters = parameters | arg.parameters
        self.parameters, self.depth, self.has_place = parameters, depth + 1, has_place
        self.root = args[0].root if kind in _LED else None

    def __reduce__(self) -> tuple[object, ...]:
        """Another process has one object for equal symbols as well."""
        return make, (self.kind, self.head, self.args)

    def __repr__(self) -> str:
        """The text."""
        return f"Symbol({self.text})"

    @property
    def text(self) -> str:
        """The expression for people to read, cut where it is long."""
        return _text(self, _LONGEST_TEXT)

    @property
    def digest(self) -> bytes:
        """A digest of the structure, the same in every process."""
        if self._digest is None:
            found = blake2b(repr((self.kind, self.head)).encode(errors="surrogatepass"), digest_size=16)
            for arg in self.args:
                found.update(arg.digest)
            self._digest = found.digest()
        return self._digest

    @property
    def parameter(self) -> str | None:
        """The name of the parameter that this is, and nothing else."""
        return str(self.head[0]) if self.kind == "parameter" else None

    @property
    def is_negation(self) -> bool:
        """Is it true where another symbol is not?"""
        return self.kind == "not"

    @property
    def positive(self) -> Symbol:
        """The symbol without its negation."""
        return self.args[0] if self.kind == "not" else self

    def negate(self) -> Symbol:
        """What holds where this does not."""
        return self.args[0] if self.kind == "not" else make("not", (), (self,))

    def substitute(self, arguments: Mapping[str, Symbol], memo: dict[Symbol, Symbol] | None = None) -> Symbol:
        """The expression with other symbols for its parameters.

        A parameter that has none belongs to another function from here on. `memo`: what is known for these arguments.
        """
        if not self.parameters:
            return self
        return _substituted(self, arguments, {} if memo is None else memo)

    def contains(self, part: Symbol) -> bool:
        """Is `part` the expression itself, or somewhere in it?"""
        return any(inner is part for inner in self.walk())

    def walk(self) -> Iterator[Symbol]:
        """The symbols in it, each once, itself first."""
        seen: set[Symbol] = {self}
        pending = [self]
        while pending:
            symbol = pending.pop()
            yield symbol
            for arg in symbol.args:
                if arg not in seen:
                    seen.add(arg)
                    pending.append(arg)


_NOTHING: Final[frozenset[str]] = frozenset()
_Key: TypeAlias = "tuple[Kind, tuple[object, ...], tuple[Symbol, ...]]"
_table: dict[_Key, Symbol] = {}


def make(kind: Kind, head: tuple[object, ...], args: tuple[Symbol, ...] = ()) -> Symbol:
    """The symbol of this structure, of which there is one."""
    key = (kind, head, args)
    found = _table.get(key)
    if found is None:
        found = Symbol(kind, head, args)
        if found.depth > DEEPEST:
            # Named by its structure, and still a function of its parameters.
            inner = tuple(parameter(name) for name in sorted(found.parameters))
            place = ("",) if found.has_place else ()
            found = make("opaque", (found.digest, *place), inner)
            found.has_place |= bool(place)
        _table[key] = found
    return found


def parameter(name: str) -> Symbol:
    """The value that a function was given for a parameter."""
    return make("parameter", (name,))


def constant(value: object) -> Symbol:
    """A literal; 1, 1.0 and True are three."""
    return make("constant", (type(value).__name__, value if isinstance(value, (int, str, bool)) else repr(value)))


def name(text: str) -> Symbol:
    """What a name outside the program means, or an axis."""
    return make("name", (text,))


def global_name(path: str, text: str) -> Symbol:
    """A global variable, function or class of a file."""
    return make("global", (path, text))


def attribute(owner: Symbol, text: str) -> Symbol:
    """`owner.text`."""
    return make("attribute", (text,), (owner,))


def subscript(owner: Symbol, index: Symbol) -> Symbol:
    """`owner[index]`."""
    return make("subscript", (), (owner, index))


def call(callee: Symbol, args: Iterable[Symbol]) -> Symbol:
    """`callee(...)`."""
    return make("call", (), (callee, *args))


def operation(text: str, args: Iterable[Symbol] = (), names: Iterable[str] = ()) -> Symbol:
    """A call of what the catalogue calls by this name, with the names of its arguments."""
    return make("operation", (text, *names), tuple(args))


def compound(kind: str, parts: Iterable[Symbol]) -> Symbol:
    """An expression of another kind: a display, an arithmetic operation, an f-string ..."""
    return make("compound", (kind,), tuple(parts))


def compare(operator: str, left: Symbol, right: Symbol) -> Symbol:
    """A comparison; its operator is one of those that others are negations of."""
    return make("compare", (operator,), (left, right))


def conditional(test: Symbol, then: Symbol, orelse: Symbol) -> Symbol:
    """`then if test else orelse`."""
    return make("conditional", (), (test, then, orelse))


def both(operator: Literal["and", "or"], operands: Iterable[Symbol]) -> Symbol:
    """A conjunction or disjunction; however its operands are put in brackets, it is one."""
    flat: list[Symbol] = []
    for operand in operands:
        flat += operand.args if operand.kind == operator else (operand,)
    return flat[0] if len(flat) == 1 else make(operator, (), tuple(flat))


def place(what: str, path: str, line: int, column: int) -> Symbol:
    """A value that nothing is known about, by where it comes from."""
    return make("place", (what, path, line, column))


WORLD: Final = name("world")
LAUNCHED: Final = name("launched")
#: What is true of a job that is distributed; the other case has no other ranks to disagree with.
_DISTRIBUTED: Final = frozenset({operation("is_initialized"), operation("is_available"), LAUNCHED})


def launched(symbol: Symbol) -> bool | None:
    """Does a condition ask whether the job is distributed at all (True), or whether it is not (False)?"""
    if symbol in _DISTRIBUTED:
        return True
    if symbol.kind == "not":
        inner = launched(symbol.args[0])
        return None if inner is None else not inner
    if symbol.kind in ("and", "or"):
        outcome = symbol.kind == "and"
        return outcome if all(launched(operand) is outcome for operand in symbol.args) else None
    return None


def is_list(symbol: Symbol | None) -> bool:
    """Is it a list display, or a list with an element for each one of others, without a condition?"""
    if symbol is None:
        return False
    return symbol.head in (("List",), (True,)) and symbol.kind in ("compound", "comprehension")


class Lease:
    """Held by an analysis: as long as there is one, equal symbols are the same object."""

    __slots__ = ("__weakref__",)

    def __init__(self) -> None:
        """Without another lease, the symbols of analyses that have ended are forgotten: a language server runs for days."""
        if not _leases:
            if not _constants:
                # The modules of the analysis hold these.
                _constants.update(_table)
            _table.clear()
            _table.update(_constants)
        _leases.add(self)


_leases: WeakSet[Lease] = WeakSet()
_constants: dict[_Key, Symbol] = {}


def _substituted(symbol: Symbol, arguments: Mapping[str, Symbol], memo: dict[Symbol, Symbol]) -> Symbol:
    known = memo.get(symbol)
    if known is not None:
        return known
    if symbol.kind == "parameter":
        text = str(symbol.head[0])
        found = arguments.get(text)
        if found is None:
            found = make("foreign", (text,))
    elif symbol.kind == "not":
        found = _substituted(symbol.args[0], arguments, memo).negate()
    else:
        args = tuple(_substituted(arg, arguments, memo) if arg.parameters else arg for arg in symbol.args)
        if symbol.kind == "and" or symbol.kind == "or":
            found = both(symbol.kind, args)
        else:
            found = make(symbol.kind, symbol.head, args)
    memo[symbol] = found
    return found


def _text(symbol: Symbol, room: int) -> str:
    """The expression in at most about so many characters."""
    if room <= 0:
        return "..."
    kind, head = symbol.kind, symbol.head
    parts: list[str] = []
    for arg in symbol.args:
        parts.append(_text(arg, room - sum(map(len, parts)) - 3))
    match kind:
        case "constant":
            return repr(head[1]) if head[0] in ("int", "str", "bool") else str(head[1])
        case "foreign":
            return f"?{head[0]}"
        case "global":
            return f"{head[0]}:{head[1]}"
        case "place" | "caught" | "override":
            return f"{head[0]}@{head[-3]}:{head[-2]}:{head[-1]}"
        case "attribute":
            return f"{parts[0]}.{head[0]}"
        case "subscript":
            return f"{parts[0]}[{parts[1]}]"
        case "call":
            return f"{parts[0]}({', '.join(parts[1:])})"
        case "operation":
            names = head[1:]
            given = [f"{word}={part}" for word, part in zip(names, parts, strict=True)] if names else parts
            return f"{head[0]}({', '.join(given)})"
        case "compare":
            return f"{parts[0]} {head[0]} {parts[1]}"
        case "and" | "or":
            return f"({f' {kind} '.join(parts)})"
        case "not":
            return f"not {parts[0]}"
        case "conditional":
            return f"({parts[1]} if {parts[0]} else {parts[2]})"
        case "compound" | "comprehension":
            return f"{head[0]}({', '.join(parts)})"
        case "opaque":
            digest = head[0]
            return f"#{digest.hex() if isinstance(digest, bytes) else digest}({', '.join(parts)})"
        case "loop" | "turns" | "member" if parts:
            return f"{head[0] if head else kind} {parts[0]}"
        case "mesh":
            return f"the mesh of {parts[0]}"
        case _:
            return str(head[0])
