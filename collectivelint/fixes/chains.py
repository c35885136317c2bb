"""`--thread-groups`: pass a group down the call chain, from where it is available to the collectives without `group`.

Every function in between gets a keyword parameter with the default None, so that a caller without a group gets
the default group as before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import libcst as cst

from .arguments import with_keyword
from .belongings import Belongings
from .call_graph import LOCKED, CallGraph
from .parameters import annotation_of_group, with_parameter
from .related import Changed, changed
from .ungrouped import Key, by_function, divergent, rooted
from .world import caution

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall
    from ..finding import Edit
    from ..findings.anchor import Anchored
    from ..ir.nodes import Span
    from ..source.text import Source, UnreadableError

_NAMES: Final = ("group", "process_group", "collective_group")


@dataclass(slots=True)
class Plan:
    """The edits of `--thread-groups` by file; `calls` counts the calls that they change.

    `threaded` names the functions that get a parameter, `refused` says what is left unchanged and why. `unreadable` are
    files that could not be analysed.
    """

    edits: dict[str, list[Edit]] = field(default_factory=dict)
    threaded: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    calls: int = 0
    unreadable: list[tuple[str, UnreadableError]] = field(default_factory=list)


class Chains:
    """The functions between groups and the collectives without one, over a whole program."""

    def __init__(
        self,
        analysis: Analysis,
        source: Callable[[str], Source],
        anchor: Callable[[str, Span], Anchored | None],
        expression: str,
        locked: Collection[str] = (),
    ) -> None:
        """`analysis` covers all functions and was made with `explaining`.

        `expression` is the group to pass, if the user named it; `locked` are the files that must not be changed.
        """
        self._analysis, self._anchor, self._expression = analysis, anchor, expression
        self._locked = locked
        self._graph = CallGraph(analysis, locked)
        self._facts, self._sites = self._graph.facts, self._graph.sites
        self._parameter: dict[Key, str] = {}
        self._calls: dict[tuple[str, Span], tuple[Span, str, str, Key]] = {}
        self._belongings = Belongings(analysis, source, self._facts, self._sites)
        self._divergent = divergent(analysis)
        self._plan = Plan()

    def plan(self, calls: Iterable[ApiCall]) -> Plan:
        """What to change so that these collectives get a group."""
        without_group: list[Key] = []
        for key, some in by_function(calls).items():
            reason = self._graph.refusal(key)
            if reason is None and not self._has_source(key, set()):
                reason = f"no group is in reach where `{key[1]}` is called, directly or further up"
            # Half of a sequence on one group and half on another would only be worse.
            unequal = (self._unequal(call.function.path, call.span) for call in some)
            reason = reason or next((text for text in unequal if text), None)
            ready = [call for call in some if self._is_ready(call, reason)]
            name = self._named(key) if ready else ""
            reason = self._belongings.take(key, [changed(call) for call in ready], name) if ready else ""
            for call in ready:
                if reason:
                    self._refuse(call, reason)
                else:
                    self._calls[call.function.path, call.span] = (call.statement, call.api.roles["group"], name, key)
            if reason:
                self._forget(key)
            elif ready:
                without_group.append(key)
        seen: set[Key] = set()
        while without_group:
            key = without_group.pop(0)
            for member in self._graph.family(key):
                if member not in seen:
                    seen.add(member)
                    without_group += self._callers(member)
        while self._prune():
            pass
        self._write()
        return self._plan

    def _prune(self) -> bool:
        """Give up a parameter that not all callers can pass a group to; returns whether one was given up.

        A caller without one would silently keep its collective on the default group.
        """
        for key, name in list(self._parameter.items()):
            family = set(self._graph.family(key))
            sites = {(site.path, span): site for member in family for (_, span), site in self._sites[member].items()}
            uses = [place for place, call in self._calls.items() if call[3] in family and call[2] == name]
            without = [site for place, site in sites.items() if place not in self._calls]
            if sites and uses and not without:
                continue
            if without and len(without) < len(sites):
                where = f"{without[0].path}:{without[0].span.line}"
                self._plan.refused.append(
                    f"{key[0]} {key[1]}: it is also called where no group can be given, at {where}"
                )
            for place in (*uses, *sites):
                self._calls.pop(place, None)
            for member in family:
                self._parameter.pop(member, None)
                self._belongings.forget(member, name)
            return True
        return False

    def _is_ready(self, call: ApiCall, reason: str | None) -> bool:
        """Whether the call can get a group; if not, the reason is added to the plan."""
        reason = reason or rooted(call)
        if reason:
            self._refuse(call, reason)
        return not reason

    def _unequal(self, path: str, span: Span) -> str:
        """Why a call that only some ranks reach keeps its group: on another one the divergence may not be reported."""
        where = self._divergent.get((path, span))
        return "" if where is None else f"not all ranks reach it ({where}); fix that first"

    def _refuse(self, call: ApiCall, reason: str) -> None:
        self._plan.refused.append(f"{call.function.path}:{call.span.line} {call.api.op}: {reason}")

    def _forget(self, key: Key) -> None:
        """Give up the parameter of a function and its overrides."""
        for member in self._graph.family(key):
            self._parameter.pop(member, None)

    def _callers(self, key: Key) -> Iterator[Key]:
        """Pass a group at the call sites of a function; yields the callers that need to be given one themselves."""
        name = self._named(key)
        for (caller, span), site in sorted(self._sites[key].items(), key=lambda item: (item[0][0], item[0][1])):
            if (site.path, span) in self._calls:
                continue
            where = f"{site.path}:{span.line} {key[1]}"
            if unequal := self._unequal(site.path, span):
                self._plan.refused.append(f"{where}: {unequal}")
                continue
            text = self._given(caller, span)
            groups, _ = self._facts[caller].reaching.get(span, ((), frozenset()))
            if site.path in self._locked:
                self._plan.refused.append(f"{where}: {LOCKED}")
                continue
            if text is not None and (wrong := caution(groups, text)):
                self._plan.refused.append(f"{where}: {wrong}")
                continue
            if text is None and groups:
                names = ", ".join(f"`{item.text}`" for item in groups)
                several = f"several groups are in reach, {names}" if len(groups) > 1 else f"{names} needs a dimension"
                self._plan.refused.append(f"{where}: {several}; --group says which")
                continue
            is_new = text is None
            if text is None:
                reason = self._graph.refusal(caller)
                if reason is None and not self._has_source(caller, set()):
                    reason = "no group is in reach here, nor where it is called from"
                if reason is not None:
                    self._plan.refused.append(f"{where}: {reason}")
                    continue
                known = caller in self._parameter
                text = self._named(caller)
            reason = self._belongings.take(caller, [Changed(span)], text, ends=not is_new)
            if reason:
                self._plan.refused.append(f"{where}: {reason}")
                if is_new and not known:
                    self._forget(caller)
                continue
            if is_new:
                yield caller
            self._calls[site.path, span] = (site.statement, name, text, caller)

    def _given(self, caller: Key, span: Span) -> str | None:
        """The group available at a call: the one the user named, or the only one in scope."""
        groups, bound = self._facts[caller].reaching.get(span, ((), frozenset()))
        head = re.split(r"[.\[(]", self._expression, maxsplit=1)[0]
        if self._expression and (head in bound or head in self._analysis.program.indexes[caller[0]].variables):
            return self._expression
        return groups[0].text if len(groups) == 1 and groups[0].certain else None

    def _has_source(self, key: Key, seen: set[Key]) -> bool:
        """Whether a direct or indirect caller of the function has a group available."""
        for member in self._graph.family(key):
            if member in seen:
                continue
            seen.add(member)
            for caller, span in self._sites[member]:
                if self._given(caller, span) is not None:
                    return True
                if self._graph.refusal(caller) is None and self._has_source(caller, seen):
                    return True
        return False

    def _named(self, key: Key) -> str:
        """The name of the new parameter: the same for all methods of a family."""
        if key not in self._parameter:
            family = self._graph.family(key)
            taken = {
                name
                for member in family
                for name in (
                    *(item.name for item in self._facts[member].function.params),
                    *self._facts[member].names,
                )
            }
            name = next((name for name in _NAMES if name not in taken), "threaded_group")
            self._parameter |= dict.fromkeys(family, name)
        return self._parameter[key]

    # ---------------------------------------------------------------------------------------------------- edits

    def _write(self) -> None:
        for path, edits in self._belongings.edits():
            self._add(path, edits)
        for key, name in sorted(self._parameter.items()):
            function = self._facts[key].function
            anchored = self._anchor(function.path, function.span)
            if anchored is None or not isinstance(anchored.statement, cst.FunctionDef):
                self._plan.refused.append(
                    f"{function.path}:{function.span.line} `{function.qualname}` cannot be changed"
                )
                continue
            new = with_parameter(anchored.statement, name, annotation_of_group(self._analysis, function))
            self._add(function.path, anchored.replace(anchored.statement, new))
            self._plan.threaded.append(f"{function.path}:{function.span.line} {function.qualname}")
        for (path, span), (statement, role, text, _) in sorted(self._calls.items()):
            anchored = self._anchor(path, statement)
            node = anchored.find(cst.Call, span) if anchored is not None else None
            if anchored is None or node is None:
                self._plan.refused.append(f"{path}:{span.line} the call cannot be changed")
                continue
            if any(arg.keyword is not None and arg.keyword.value == role for arg in node.args):
                continue
            if any(arg.star == "**" for arg in node.args):
                self._plan.refused.append(
                    f"{path}:{span.line} the call passes `**` on, which may hold `{role}` already"
                )
                continue
            self._add(path, anchored.replace(node, with_keyword(node, role, cst.parse_expression(text))))
            self._plan.calls += 1

    def _add(self, path: str, edits: Iterable[Edit]) -> None:
        self._plan.edits.setdefault(path, []).extend(edits)
