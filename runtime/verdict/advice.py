"""One sentence of advice on what to change, by the kind of divergence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..quantities import ranks_text
from . import endings
from .model import at

if TYPE_CHECKING:
    from .model import Divergence
    from .slow_ranks import SlowRank

#: By the linter's rule.
_BY_RULE: Final = {
    "CL101": "pass the group of the ranks that make the call as its `group` argument",
    "CL105": "create the groups on every rank and in the same order, outside of conditions on the rank",
    "CL107": "make the call only on ranks that are members of the group",
    "CL108": "give the argument the same value on every rank; broadcast it first if one rank computes it",
    "CL201": "make the call on every rank; keep only single-rank work inside the condition",
    "CL204": "exchange whether a rank failed before the call, or let the exception end the job",
    "CL205": "agree on the number of iterations before the loop, for example by an all_reduce with MIN",
    "CL206": "use the groups in the same order on every rank",
    "CL207": "make all calls on a group from one thread, or give each thread its own group",
    "CL303": "let one neighbour receive while the other sends, or pass both calls to batch_isend_irecv",
}
#: By what a mismatch is about.
_BY_DIFFERENCE: Final = {
    "shape": "give the tensor the same number of elements on every rank: pad it, or exchange the sizes first",
    "dtype": "convert the tensor to one dtype on every rank before the call",
    "split sizes": "exchange the split sizes before the call, so that each rank expects what the others send",
    "parameter": "build the model in the same way on every rank: the same parameters, in the same order, used in the same iterations",
    "result": "repeat the call with the same input: ranks whose results differ again have a faulty device, network or library",
}
#: What has to be the same in one call, and may differ between two.
_OF_ONE_CALL: Final = ("shape", "dtype", "split sizes")
#: How ranks ended whose program says nothing about it.
_ENDED: Final = (endings.NO_RECORD, "was killed by", "exited with code")


def advice(found: Divergence) -> str:
    """One sentence of advice without capital and full stop; "" if the trace says too little."""
    if found.skipped is not None:
        which = at(found.skipped.events[0])
        return f"let every rank make the call {which}: find the condition, loop or handler that makes {ranks_text(found.skipped.ranks)} skip it"
    if found.rule:
        return _BY_RULE[found.rule]
    match found.verdict:
        case "mismatch":
            return _of_mismatch(found)
        case "timeout":
            return "have the slow rank do less before the call, or give the group a longer `timeout`"
        case "unmatched":
            return _BY_RULE["CL201"]
        case "deadlock":
            return _of_deadlock(found)
    return ""


def _of_mismatch(found: Divergence) -> str:
    """Of calls at different lines, most do not belong together, and what differs in them is a consequence."""
    same = "let all ranks make the same call: see where their stacks differ"
    change = _BY_DIFFERENCE.get(found.what)
    if change is None:
        return same
    places = [side.event.place for side in found.sides[:2] if side.event is not None]
    is_apart = len({(place.path, place.line) for place in places}) > 1
    return (
        f"{same}; if these two calls belong together, {change}" if is_apart and found.what in _OF_ONE_CALL else change
    )


def _of_deadlock(found: Divergence) -> str:
    others = [side for side in found.sides[1:] if not side.is_consequence]
    gone = sorted(rank for side in others if any(how in side.state for how in _ENDED) for rank in side.ranks)
    if gone:
        whose = "their" if len(gone) > 1 else "its"
        return f"find out why {ranks_text(gone)} ended: read {whose} output, that of the launcher, and the system log, which names processes killed for lack of memory"
    return (
        "compare the stacks of both sides: where they differ shows why the ranks do not make the same call"
        if others
        else ""
    )


def of_slow(slow: SlowRank) -> str:
    """The advice on a slow rank."""
    where = "between the two calls" if slow.before is not None else "before the call"
    return f"see what rank {slow.rank} does {where} that the other ranks do not, or do faster: its share of the data, its device, its host"
