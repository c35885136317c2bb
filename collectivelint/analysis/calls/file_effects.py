"""Paths that several ranks use: what a function does to them, and where another rank may interleave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Constant
from ..domain.ends import has_others
from ..domain.paths import is_file_name
from ..domain.recognise import is_path
from ..summary.file_use import FileUse
from ..summary.observed import Writing
from .options import asked_of, literals, resolved, truth_of
from .path_uses import note_given, note_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...ir.nodes import Expr, Function
    from ..domain.value import Value
    from ..summary.facts import FunctionFacts
    from ..transfer.state import Frame


def note_use(frame: Frame, expr: Call, callee: Value, args: Sequence[Value], keywords: Mapping[str, Value]) -> None:
    """Record a call that uses a path, once."""
    if callee.reference.target is not None and callee.reference.target.kind == "external":
        name, owner = callee.reference.target.name, None
    elif (
        callee.reference.target is None
        and callee.reference.receiver is not None
        and isinstance(expr.function, Attribute)
    ):
        name, owner = f"methods.{expr.function.name}", (callee.reference.receiver, expr.function.value)
    else:
        if callee.reference.target is None:
            name = f"methods.{expr.function.name}" if isinstance(expr.function, Attribute) else ""
            note_given(frame, expr, name, [*args, *keywords.values()])
        return
    uses = frame.context.catalog.file_uses
    api = uses.get(name)
    if owner is not None and isinstance(expr.function, Attribute) and expr.function.name in uses:
        short = (plain(owner[1]) or "").rpartition(".")[2].lstrip("_")
        kind = owner[0].reference.kind or f"named.{short}"
        api = uses.get(f"{kind}.{expr.function.name}", api)
    if api is None:
        if owner is not None and is_path(owner[0]):
            name = f"pathlib.{name}"
        note_given(frame, expr, name, [*args, *keywords.values()])
        return
    use = api.use
    if api.keyword is not None:
        named = keywords.get(api.keyword) or (args[api.at] if api.at < len(args) and not expr.spread else None)
        if named is not None:
            note_path(frame, expr, use, named)
        return
    given = list(zip(args, expr.args, strict=False))
    found = given[api.at] if 0 <= api.at < len(given) and not expr.spread else owner
    if use == "may write":
        known = {other.path.symbol for other in frame.facts.files if other.use == "look"}
        use, found = "write", next((pair for pair in given if pair[0].symbol in known), None)
        if found is None and len(given) == 1 and not keywords and is_file_name(given[0][0].written):
            # `image.save(f"{folder}/{number}.png")`
            note_path(frame, expr, "fill", given[0][0])
    if found is None or any(other.span == expr.span for other in frame.facts.files):
        return
    path, where = found
    if api.source is not None and api.source < len(given):
        note_path(frame, expr, "read", given[api.source][0])
    if use == "open":
        rest = [value for value, _ in given[api.at + 1 :]]
        if opens_new(rest, keywords) or opens_old(rest, keywords):
            note_path(frame, expr, "fill" if opens_new(rest, keywords) else "read", path)
        return
    if use in ("list", "fill", "read"):
        note_path(frame, expr, use, path)
        return
    state = args[api.state] if api.state is not None and api.state < len(args) else None
    guards = tuple(guard for guard, _ in frame.guards)
    made = FileUse(
        use,
        name.rpartition(".")[2],
        path,
        where,
        frame.function,
        expr.span,
        frame.statement,
        frame.alone_here,
        tolerates(keywords)
        or bool(frame.catching)
        or (
            isinstance(expr.function, Attribute)
            and owner is not None
            and _is_tolerant(frame, owner[1], expr.function.name, keywords)
        ),
        state,
        guards,
        api.tolerates,
    )
    frame.facts.files.append(made)
    note_path(frame, expr, use, path)
    if state is not None and made.is_whole:
        written = frame.cause("file system", expr.span)
        frame.facts.whole = (
            *frame.facts.whole,
            *((parameter, written) for parameter in sorted(state.uniformity.depends)),
        )
    if use in ("write", "link", "move", "remove") and not made.few and frame.facts.writing is None:
        frame.facts.writing = Writing(
            frame.cause("file system", expr.span), path.uniformity.depends, asked_of(frame.conditions)
        )


def note_writing(frame: Frame, expr: Call, callee: FunctionFacts, arguments: Mapping[str, Value]) -> None:
    """Record a call of a function of the program that writes to a path."""
    writing = callee.writing
    if writing is None or callee.events:
        return
    if any(_may_select(frame, callee.function, decorator) for decorator in callee.function.decorators):
        return
    if any(
        value.origin.ranked or any(cause.kind == "rank" for cause in value.uniformity.causes)
        for value in arguments.values()
    ):
        return
    known = {name: value.symbol for name, value in arguments.items()}
    when = [resolved(frame, condition.substitute(known)) for condition in writing.when]
    if any(truth_of(condition) is False for condition in when):
        return
    if any(has_others(part) is False for condition in frame.conditions for part in literals(condition)):
        # Where there is one rank it is not written twice.
        return
    given = [arguments[name] for name in writing.depends if name in arguments]
    frame.note("write", expr.span, (writing.cause,), expr.function, callee=callee.function.qualname)
    if not frame.alone_here and frame.facts.writing is None:
        depends: frozenset[str] = frozenset().union(*(value.uniformity.depends for value in given))
        frame.facts.writing = Writing(writing.cause, depends, asked_of((*when, *frame.conditions)))


def _may_select(frame: Frame, function: Function, decorator: Expr) -> bool:
    """Whether a decorator may run a function on one rank only: `@utils.rank_zero_only`, `@rank_zero_only(default=0)`.

    A plain decorator that the program itself defines cannot: it has been interpreted with the function.
    """
    name = plain(decorator.function if isinstance(decorator, Call) else decorator) or ""
    if name.rpartition(".")[2] in frame.context.catalog.plain_decorators:
        return False
    target = frame.context.program.resolve(function.path, name)
    return isinstance(decorator, Call) or target is None or target.kind != "function"


def note_whole(frame: Frame, expr: Call, callee: FunctionFacts, arguments: Mapping[str, Value]) -> None:
    """Record a call that passes part of a sharded model to a function which writes it as if it were the whole model."""
    for name, where in callee.whole:
        value = arguments.get(name)
        if value is None:
            continue
        if value.origin.sharded is not None and value.origin.sharded.kind != "own":
            frame.note(
                "one part",
                expr.span,
                (value.origin.sharded.cause, where),
                expr.function,
                callee=value.origin.sharded.kind,
            )
        frame.facts.whole = tuple(
            dict.fromkeys((*frame.facts.whole, *((up, where) for up in sorted(value.uniformity.depends))))
        )


def opens_new(given: Sequence[Value], keywords: Mapping[str, Value]) -> bool:
    """`open(path, "w")`: whether it creates the file. `given` are the arguments after the path."""
    mode = keywords.get("mode") or (given[0] if given else None)
    return mode is not None and isinstance(mode.constant, str) and not {"w", "a", "x"}.isdisjoint(mode.constant)


def opens_old(given: Sequence[Value], keywords: Mapping[str, Value]) -> bool:
    """`open(path)`, `open(path, "rb")`: whether it reads the file."""
    mode = keywords.get("mode") or (given[0] if given else None)
    return mode is None or (isinstance(mode.constant, str) and {"w", "a", "x", "+"}.isdisjoint(mode.constant))


def _is_tolerant(frame: Frame, owner: Expr, name: str, keywords: Mapping[str, Value]) -> bool:
    """Whether a method is tolerant (`exist_ok=True`) by default, judged by the file its object is imported from.

    For an object of unknown class, as in `files.makedirs(path)`: every `makedirs` in that file has to default to it.
    """
    target = frame.context.program.resolve(frame.path, plain(owner) or "")
    if target is None or target.kind == "external" or not target.path:
        return False
    functions = frame.context.program.functions(target.path).items()
    defaults = [
        any(one.name in _TOLERANT and one.name not in keywords and one.default == Constant(True) for one in made.params)
        for qualname, made in functions
        if qualname.rpartition(".")[2] == name
    ]
    return bool(defaults) and all(defaults)


_TOLERANT: Final = ("exist_ok", "missing_ok", "ignore_errors")


def tolerates(keywords: Mapping[str, Value]) -> bool:
    """Whether existing (or already removed) files are no error: `makedirs(exist_ok=True)` on all ranks."""
    return any(name in keywords and keywords[name].constant is True for name in _TOLERANT)
