"""Annotations, in comments or the configuration: what they declare replaces what the analysis would infer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ..domain.symbol import WORLD
from ..domain.value import Value
from ..effects import Event
from ..transfer.binding import axis_of, guarding
from .meetings import meet

if TYPE_CHECKING:
    from ...ir.nodes import Call, Span
    from ...source.annotations import Annotation
    from ..transfer.state import Frame


def declared(frame: Frame, value: Value, annotation: Annotation, span: Span) -> Value:
    """A value as an annotation or the configuration declares it."""
    match annotation.kind:
        case "uniform":
            kept = value.varying(varies=frozenset(), causes=(), maybe=False, one=None).sized(uneven=(), unordered=None)
            return kept.but(symbol=frame.fresh("declared", span)).referring(
                kind=None if value.reference.kind == "rank" else value.reference.kind
            )
        case "rank-local":
            cause = frame.cause("declared", span)
            return value.but(symbol=frame.fresh("declared", span)).varying(varies=frozenset({WORLD}), causes=(cause,))
        case "guard":
            return guarding(frame, axis_of(annotation.axis), span, one=True)
        case "axis" if annotation.axis is not None:
            return value.but(symbol=axis_of(annotation.axis)).referring(meaning="group", everyone=False, partial=False)
        case _:
            return value


def declared_collective(frame: Frame, expr: Call, annotation: Annotation) -> Value:
    """Treat a call that is annotated as a collective as one event; its result is the same on all ranks."""
    name = (plain(expr.function) or "the call").rpartition(".")[2]
    where = (frame.path, frame.function.qualname, expr.span, frame.statement)
    frame.emit(Event(name, axis_of(annotation.axis), False, *where))
    meet(frame, axis_of(annotation.axis))
    return Value(frame.fresh(name, expr.span)).sourced(origins=(frame.cause("received", expr.span),))
