"""Paths that every rank of a job writes: in functions that run collectives, with no rank in the path or in a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Branch, Call, Exit, Loop, With, blocks, expressions, walk
from ..domain.paths import is_inside
from ..effects import events
from .file_polling import branches, holds, made_in, statements
from .file_races import is_absence, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Expr, Function, Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..summary.facts import FunctionFacts
    from ..summary.file_use import FileUse
    from ..summary.observed import PathUse

_WRITING: Final = frozenset({"fill", "save", "write"})


def runs_on_all(facts: FunctionFacts) -> bool:
    """Whether a function runs collectives, itself or in its callees, so that all ranks of the job reach it."""
    return any(event.kind != "init" for event in events(facts.term))


def written_by_all(
    facts: FunctionFacts,
    one_rank: Collection[str],
    own: Collection[str],
    facts_at: Callable[[Cause], FunctionFacts | None],
) -> list[tuple[Span, PathUse]]:
    """Writes to one path by all ranks that run a function, each with the call in this function that leads to it.

    `one_rank` are parts of names that mark code for one rank, `own` those of paths that each rank has for itself.
    `facts_at` gives the facts of the function that contains a use of a path.
    """
    found: dict[tuple[Cause, Span], PathUse] = {}
    kept_out: set[tuple[Cause, Span]] = set()
    # What is called here and runs collectives as well is looked at by itself.
    running = {event.place[0] for event in events(facts.term) if event.chain}
    shared = {use.path for _, use in facts.paths.values() if use.use == "checkpoint"}
    for site, use in facts.paths.values():
        is_below = use.cause.path != facts.function.path or use.cause.span != site
        if use.use not in _WRITING:
            continue
        # The path is kept under each name that it has: what one of them says of it holds for all.
        key = use.cause, site
        around = [(facts.function, site)]
        writer = facts_at(use.cause) if is_below else None
        if writer is not None:
            around.append((writer.function, use.cause.span))
        if (
            use.alone
            or use.own
            or (use.path.kind == "parameter" and use.path not in shared)
            or _says(use.path, own)
            or (site in running and is_below and (writer is None or not _is_passed(writer, use)))
            or any(_is_piece(use.path, function, span) for function, span in around)
            or any(_is_for_one(function, span, one_rank) for function, span in around)
        ):
            kept_out.add(key)
        found.setdefault(key, use)
    return [(site, use) for (cause, site), use in found.items() if (cause, site) not in kept_out]


def filled_where_missing(
    facts: FunctionFacts, one_rank: Collection[str], own: Collection[str]
) -> Iterator[tuple[FileUse, Span, PathUse]]:
    """Calls that fill a path that was not found, each with the look-up: `if not exists(d): unpack(archive, d)`."""
    asked = [branch for branch in branches(facts.function.body) if is_absence(branch.test)]
    for look in facts.files if asked else ():
        branch = next((branch for branch in asked if branch.test_span.contains(look.span)), None)
        if branch is None or look.use != "look" or look.few or _says(look.path.written, own):
            continue
        for site, use in facts.paths.values():
            inside = holds(branch.then, site) and is_inside(use.path, look.path.symbol, {})
            if not inside or use.use not in _WRITING or use.alone:
                continue
            if not _is_for_one(facts.function, look.span, one_rank) and not _is_for_one(facts.function, site, one_rank):
                yield look, site, use
            break


def is_for_all(facts: FunctionFacts, use: FileUse, one_rank: Collection[str], own: Collection[str]) -> bool:
    """Whether all ranks that run a function reach a use of a path that is shared, not one per rank."""
    if use.few or use.path.symbol.kind == "parameter" or _says(use.path.written, own):
        return False
    return not _is_for_one(facts.function, use.span, one_rank)


def _is_passed(writer: FunctionFacts, use: PathUse) -> bool:
    """Whether a function that runs collectives gets its path as an argument: only callers know if a rank is in it."""
    return runs_on_all(writer) and any(
        other.cause == use.cause and other.path.kind == "parameter" for _, other in writer.paths.values()
    )


def takes_ranks(functions: Iterable[Function], catalog: Catalog) -> bool:
    """Whether one of some functions has parameters for the rank and the world size."""
    named = ({parameter.name for parameter in function.params} for function in functions)
    return any(
        not catalog.rank_names.isdisjoint(names) and any(catalog.convention(name, "size") is not None for name in names)
        for names in named
    )


def is_given(writer: FunctionFacts, cause: Cause) -> bool:
    """Whether the path written at a place, or its folder, is an argument, so that each caller decides where."""
    params = writer.function.params
    own = {params[0].name} if writer.function.owner is not None and params else set()
    return any(use.cause == cause and set(use.path.parameters) - own for _, use in writer.paths.values())


def _says(path: Symbol, words: Collection[str]) -> bool:
    """Whether a path has one of some words in its names and its texts."""
    # Of a place the name of what stands there, not the file and the function around it.
    heads = (inner.head[:1] if inner.kind == "place" else inner.head for inner in path.walk())
    texts = [part.lower() for head in heads for part in head if isinstance(part, str)]
    return any(word in text for text in texts for word in words)


def _is_piece(path: Symbol, function: Function, span: Span) -> bool:
    """Whether a path is one of many from a loop, which the ranks may have divided among themselves."""
    loops = [part for part in statements(function.body) if isinstance(part, Loop) and part.span.contains(span)]
    return made_in(path, function, loops[0].span) if loops else made_in(path, function, span)


def _is_for_one(function: Function, span: Span, words: Collection[str]) -> bool:
    """Whether names around a place, or in earlier exits, say that a single rank reaches it."""
    if any(_has(decorator, words) for decorator in function.decorators):
        return True
    calls = [expr for expr in expressions(function.body) if isinstance(expr, Call) and expr.span.contains(span)]
    if any(_has(call.function, words) and not _is_main(call) for call in calls):
        return True
    # `model.save_pretrained(folder, is_main_process=first)`
    if any(word in name for call in calls if call.span == span for name, _ in call.keywords for word in words):
        return True
    return any(_has(test, words) for test in _tests(function.body, span))


def _is_main(call: Call) -> bool:
    return (plain(call.function) or "").rpartition(".")[2] == "main"


def _tests(block: Block, span: Span) -> Iterator[Expr]:
    """The conditions and context managers around a place, and the conditions under which ranks have left before it."""
    for statement in block:
        if statement.span.contains(span):
            if isinstance(statement, Branch):
                yield statement.test
            elif isinstance(statement, With):
                yield from (item for item, _ in statement.items if not _holds(item, span))
            for inner in blocks(statement):
                yield from _tests(inner, span)
            return
        if isinstance(statement, Branch) and any(_leaves(arm) for arm in (statement.then, statement.orelse)):
            yield statement.test


def _holds(expr: Expr, span: Span) -> bool:
    return any(isinstance(part, Call) and part.span.contains(span) for part in walk(expr))


def _leaves(block: Block) -> bool:
    """Whether a block ends with an exit other than `raise`, which would end the job."""
    last = block[-1] if block else None
    return isinstance(last, Exit) and last.kind != "raise"


def _has(expr: Expr, words: Collection[str]) -> bool:
    return any(word in name.lower() for name in names_in((expr,)) for word in words)
