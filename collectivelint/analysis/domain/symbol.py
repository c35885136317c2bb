"""Symbols: hash-consed expressions over a function's parameters, by which conditions, values and groups are identified.

Two expressions that are written alike over the same values are one object, so that comparing them is comparing identities. What
nothing is known about is a symbol of its own, named by its place; a callee's symbols become those of its caller by substitution.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .kinds import Kind

#: A deeper expression becomes an opaque one: every function on a chain of calls puts its own around what it is given.
DEEPEST: Final = 64
#: Kinds whose leftmost operand is what they are said of: `x.rank`, `x[0]`, `x(...)`, `x == 0`.
_LED: Final = frozenset({"attribute", "subscript", "call", "compare"})


class Symbol:
    """An expression; equal ones are the same object (see `make`)."""

    __slots__ = ("_digest", "args", "depth", "has_place", "head", "kind", "literal", "parameters", "root")

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
    #: What `implication` knows of it.
    literal: object
    _digest: bytes | None

    def __init__(self, kind: Kind, head: tuple[object, ...], args: tuple[Symbol, ...]) -> None:
        """Use `make`: a symbol made here equals no other."""
        self.kind, self.head, self.args = kind, head, args
        self._digest = self.literal = None
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
        # A negation is as deep as what it negates: it never becomes opaque by itself, and can always be taken back.
        self.parameters, self.depth, self.has_place = parameters, depth + (kind != "not"), has_place or kind == "turn"
        self.root = args[0].root if kind in _LED else None

    def __reduce__(self) -> tuple[object, ...]:
        """Unpickle through `make`, so that equal symbols are one object in another process too."""
        return make, (self.kind, self.head, self.args)

    def __repr__(self) -> str:
        """The structure; `shown` gives the expression."""
        return f"Symbol{(self.kind, *self.head, *self.args)}"

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
        """The name of the parameter if the symbol is one, else None."""
        return str(self.head[0]) if self.kind == "parameter" else None

    @property
    def is_negation(self) -> bool:
        """Whether it is true where another symbol is not."""
        return self.kind == "not"

    @property
    def positive(self) -> Symbol:
        """The symbol without its negation."""
        return self.args[0] if self.kind == "not" else self

    def negate(self) -> Symbol:
        """The negation of the symbol as a condition."""
        return self.args[0] if self.kind == "not" else make("not", (), (self,))

    def substitute(self, arguments: Mapping[str, Symbol], memo: dict[Symbol, Symbol] | None = None) -> Symbol:
        """The expression with other symbols for its parameters.

        A parameter that has none belongs to another function from here on. `memo`: what is known for these arguments.
        """
        if not self.parameters:
            return self
        return _substituted(self, arguments, {} if memo is None else memo)

    def contains(self, part: Symbol) -> bool:
        """Whether `part` is the expression itself, or somewhere in it."""
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
Key: TypeAlias = "tuple[Kind, tuple[object, ...], tuple[Symbol, ...]]"
#: All symbols by structure; an expression that is too deep has the opaque one that stands for it.
TABLE: dict[Key, Symbol] = {}
#: The keys of symbols that were made since `drop_fresh` (see `sweep`), in that order.
FRESH: list[Key] = []


def make(kind: Kind, head: tuple[object, ...], args: tuple[Symbol, ...] = ()) -> Symbol:
    """The unique symbol of this structure."""
    key = (kind, head, args)
    found = TABLE.get(key)
    if found is None:
        made = Symbol(kind, head, args)
        found = TABLE[key] = _opaque(made) if made.depth > DEEPEST else made
        FRESH.append(key)
    return found


def _opaque(symbol: Symbol) -> Symbol:
    """A symbol named by its structure, and still a function of its parameters, whatever they are called."""
    order: dict[str, Symbol] = {}
    digest = _shape(symbol, order, {})
    found = make("opaque", (digest, symbol.has_place), tuple(order.values()))
    found.has_place = found.has_place or symbol.has_place
    return found


def _shape(symbol: Symbol, order: dict[str, Symbol], memo: dict[Symbol, bytes]) -> bytes:
    """The digest of an expression in which parameters are numbered as they appear; `order` collects them."""
    if not symbol.parameters:
        return symbol.digest
    known = memo.get(symbol)
    if known is not None:
        return known
    head = symbol.head
    if symbol.kind == "parameter":
        name = str(head[0])
        order.setdefault(name, symbol)
        head = (list(order).index(name),)
    found = blake2b(repr((symbol.kind, head)).encode(errors="surrogatepass"), digest_size=16)
    for arg in symbol.args:
        found.update(_shape(arg, order, memo))
    memo[symbol] = found.digest()
    return memo[symbol]


def parameter(name: str) -> Symbol:
    """The value that a function was given for a parameter."""
    return make("parameter", (name,))


def constant(value: object) -> Symbol:
    """A constant; 1, 1.0 and True are three different ones."""
    return make("constant", (type(value).__name__, value if isinstance(value, _PLAIN) else repr(value)))


_PLAIN: Final = (int, float, complex, str, bytes, type(None))


def name(text: str) -> Symbol:
    """A name from outside the program, or an axis."""
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
    """A call of the catalogue operation with this name, with the names of its arguments."""
    return make("operation", (text, *names), tuple(args))


def rank_in(group: Symbol) -> Symbol:
    """A rank's own number in a group."""
    return make("rank", (), (group,))


def compound(kind: str, parts: Iterable[Symbol]) -> Symbol:
    """An expression of another kind: a display, an arithmetic operation, an f-string ..."""
    return make("compound", (kind,), tuple(parts))


def compare(operator: str, left: Symbol, right: Symbol) -> Symbol:
    """A comparison in canonical form; for `!=`, `is not` and the like, negate the opposite operator.

    Constants, and members of a class, are moved to the right side, whichever is written first.
    """
    mirrored = _MIRRORED.get(operator)
    if mirrored is not None and _rank_of_side(left) > _rank_of_side(right):
        operator, left, right = mirrored, right, left
    elif operator in _SYMMETRIC and _rank_of_side(left) == _rank_of_side(right) and right.digest < left.digest:
        left, right = right, left
    return make("compare", (operator,), (left, right))


_SYMMETRIC: Final = frozenset({"==", "is"})
_MIRRORED: Final = {"==": "==", "is": "is", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _rank_of_side(symbol: Symbol) -> int:
    if symbol.kind == "constant":
        return 2
    return 1 if symbol.kind in ("name", "global") or class_of(symbol) is not None else 0


def class_of(symbol: Symbol) -> tuple[object, ...] | None:
    """The class that `Color.RED` is written as a member of; different names are different members."""
    owner: tuple[object, ...]
    if symbol.kind == "attribute" and symbol.args[0].kind in ("attribute", "name", "global"):
        owner, written = (symbol.args[0],), str(symbol.args[0].head[-1])
    elif symbol.kind in ("name", "global"):
        written = str(symbol.head[-1]).rpartition(".")[0]
        owner = (*symbol.head[:-1], written)
    else:
        return None
    return owner if written.rpartition(".")[2][:1].isupper() else None


def both(operator: Literal["and", "or"], operands: Iterable[Symbol]) -> Symbol:
    """A conjunction or disjunction, flattened: the grouping of its operands does not matter."""
    flat: list[Symbol] = []
    for operand in operands:
        flat += operand.args if operand.kind == operator else (operand,)
    return flat[0] if len(flat) == 1 else make(operator, (), tuple(flat))


def place(what: str, path: str, function: str, line: int, column: int) -> Symbol:
    """An unknown value, identified by its place; `line` counts from the start of the function."""
    return make("place", (what, path, function, line, column))


WORLD: Final = name("world")
#: The job has more than one rank.
LAUNCHED: Final = make("launched", ())


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
        elif symbol.kind == "compare":
            found = compare(str(symbol.head[0]), args[0], args[1])
        else:
            found = make(symbol.kind, symbol.head, args)
    memo[symbol] = found
    return found
