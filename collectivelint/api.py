"""What a rule is written with: the one module that rules import, those of collectivelint as well as those of others.

* a rule: `Rule`, `Findings` (what it can ask), `Report` with its `Confidence`, and `Place` (what it yields);
* the analysis: `Analysis`, `FunctionFacts`, `ApiCall`, `Value` with its `Cause`s, `Divergence`, terms of `Event`s;
* the program: statements and expressions (`Call`, `Loop`, ...) with `walk`, `calls`, `blocks`, `expressions`;
* the catalogue: `Api` and its `Operation`, with what ranks agree on (`agreed_roles`);
* fixes: `call_fix`, `statement_fix`, and for others `FixContext`, `Fix`, `Edit`; arguments of calls on their syntax tree.

Each name is imported when it is asked for first. `argument`, `with_argument`, `with_keyword`, `without_keyword`, `as_raise`,
`edit` and `Anchored` import libcst, which only a fix that is shown should pay for: import them where the fix is built, or for
type checkers only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .analysis.checks.divergence import Divergence
    from .analysis.checks.divergence_report import (
        cause_text,
        clause_text,
        condition_text,
        divergence_trail,
        divergences_of,
        group_exclusions,
        group_text,
        loop_advice,
        loop_text,
        report_divergence,
        sharing_fix,
        subject_text,
        what_text,
        why_text,
    )
    from .analysis.checks.each_node import removed_on_each_node
    from .analysis.checks.excluded_ranks import collectives_beside_subgroups
    from .analysis.checks.file_races import Race, conditions_around, hinted, is_plain, made_by_callers, names_in, races
    from .analysis.checks.file_turns import (
        OutOfTurn,
        is_about_ranks,
        out_of_turn,
        places_of,
        statement_at,
    )
    from .analysis.checks.first_of_job import first_of_job
    from .analysis.checks.first_of_many import first_saved, replaced_by_fallback
    from .analysis.checks.group_lifetime import outside_default_group
    from .analysis.checks.group_made_for import group_made_for
    from .analysis.checks.host_copies import unsettled_copies
    from .analysis.checks.lone_raises import lone_failures, lone_raises
    from .analysis.checks.lost_graphs import lost_graphs
    from .analysis.checks.optional_passes import optional_passes
    from .analysis.checks.own_keys import keyed_collectives
    from .analysis.checks.rank_numbers import is_compared_inside, is_inside_group, speaks_of_group
    from .analysis.checks.rank_zero import has_rank_zero
    from .analysis.checks.rotation import removed_too_early
    from .analysis.checks.serving import is_request
    from .analysis.checks.unwaited_harm import is_covered
    from .analysis.checks.work_handles import Early, Fate, Unwaited, is_async, unwaited, used_before_wait
    from .analysis.checks.written_by_all import (
        filled_where_missing,
        is_for_all,
        is_given,
        runs_on_all,
        takes_ranks,
        written_by_all,
    )
    from .analysis.checks.written_twice import saved_again, write_pairs
    from .analysis.domain.causes import Cause
    from .analysis.domain.symbol import WORLD, Symbol
    from .analysis.domain.value import PLACES, UNKNOWN, Value
    from .analysis.effects import Choice, Event, Guard, Repeat, Term, events
    from .analysis.positions import following, terms
    from .analysis.program import Analysis
    from .analysis.summary.facts import FunctionFacts
    from .analysis.summary.file_use import FileUse, is_own
    from .analysis.summary.model import ApiCall, GroupInReach, HelperCall, Invariant, Note, misplaced
    from .analysis.summary.observed import PathUse, Stamped
    from .catalog.model import Api, Catalog
    from .catalog.operations import GLOBAL_ROOTS, ROOTS, Operation, agreed_roles
    from .finding import Applicability, Edit, Fix, Severity
    from .findings.anchor import Anchored, edit
    from .findings.confidence import Confidence
    from .findings.suppress import Ignore
    from .fixes.arguments import argument, with_argument, with_keyword, without_keyword
    from .fixes.asserts import as_raise
    from .fixes.call_fix import call_edits, call_fix, statement_fix
    from .fixes.name_group import is_without_group, name_group, pass_group, takes_group
    from .ir.names import plain as dotted_name
    from .ir.nodes import (
        Assign,
        Attribute,
        Block,
        Branch,
        Call,
        Compare,
        Compound,
        Comprehension,
        Conditional,
        Constant,
        Define,
        Evaluate,
        Exit,
        Expr,
        Function,
        Lambda,
        Logical,
        Loop,
        Name,
        Not,
        Span,
        Statement,
        Subscript,
        Try,
        With,
        assignments,
        blocks,
        calls,
        expressions,
        parts,
        walk,
    )
    from .program.resolver import Program
    from .program.target import Target
    from .rule import Findings, FixBuilder, FixContext, Place, Report, RuleModule, Site
    from .rule_id import Rule
    from .source.discover import is_test
    from .source.text import Source, UnreadableError

__all__ = [
    "GLOBAL_ROOTS", "PLACES", "ROOTS", "UNKNOWN", "WORLD", "Analysis", "Anchored", "Api",
    "ApiCall", "Applicability", "Assign", "Attribute", "Block", "Branch", "Call", "Catalog", "Cause", "Choice",
    "Compare", "Compound", "Comprehension", "Conditional", "Confidence", "Constant", "Define", "Divergence", "Early", "Edit",
    "Evaluate", "Event", "Exit", "Expr", "Fate", "FileUse", "Findings", "Fix", "FixBuilder", "FixContext",
    "Function", "FunctionFacts", "GroupInReach", "Guard", "HelperCall", "Ignore", "Invariant", "Lambda", "Logical",
    "Loop", "Name", "Not", "Note", "Operation", "OutOfTurn", "PathUse", "Place", "Program", "Race", "Repeat", "Report", "Rule",
    "RuleModule", "Severity", "Site", "Source", "Span", "Stamped", "Statement", "Subscript", "Symbol", "Target", "Term", "Try",
    "UnreadableError", "Unwaited", "Value", "With", "agreed_roles", "argument", "as_raise", "assignments", "blocks",
    "call_edits", "call_fix", "calls", "cause_text", "clause_text", "collectives_beside_subgroups", "condition_text", "conditions_around", "divergence_trail",
    "divergences_of", "dotted_name", "edit", "events", "expressions", "filled_where_missing", "first_of_job",
    "first_saved", "following", "group_exclusions", "group_made_for", "group_text", "has_rank_zero", "hinted",
    "is_about_ranks", "is_async", "is_compared_inside", "is_covered", "is_for_all", "is_given", "is_inside_group",
    "is_own", "is_plain", "is_request", "is_test", "is_without_group", "keyed_collectives", "lone_failures",
    "lone_raises", "loop_advice", "loop_text", "lost_graphs", "made_by_callers",
    "misplaced", "name_group", "names_in", "optional_passes",
    "out_of_turn", "outside_default_group", "parts", "pass_group", "places_of", "races", "removed_on_each_node",
    "removed_too_early", "replaced_by_fallback", "report_divergence", "runs_on_all", "saved_again", "sharing_fix", "speaks_of_group", "statement_at",
    "statement_fix", "subject_text", "takes_group", "takes_ranks", "terms", "unsettled_copies", "unwaited", "used_before_wait", "walk",
    "what_text", "why_text", "with_argument",
    "with_keyword", "without_keyword", "write_pairs", "written_by_all",
]  # fmt: skip

#: Module of the package -> the names that come from it.
_HOMES: Final[Mapping[str, str]] = {
    "analysis.checks.divergence": "Divergence",
    "analysis.checks.divergence_report": (
        "cause_text clause_text condition_text divergence_trail divergences_of group_exclusions group_text loop_advice loop_text "
        "report_divergence sharing_fix subject_text what_text why_text"
    ),
    "analysis.checks.excluded_ranks": "collectives_beside_subgroups",
    "analysis.checks.file_races": "Race conditions_around hinted is_plain made_by_callers names_in races",
    "analysis.checks.each_node": "removed_on_each_node",
    "analysis.checks.file_turns": "OutOfTurn is_about_ranks out_of_turn places_of statement_at",
    "analysis.checks.first_of_job": "first_of_job",
    "analysis.checks.first_of_many": "first_saved replaced_by_fallback",
    "analysis.checks.group_lifetime": "outside_default_group",
    "analysis.checks.group_made_for": "group_made_for",
    "analysis.checks.host_copies": "unsettled_copies",
    "analysis.checks.own_keys": "keyed_collectives",
    "analysis.checks.rank_numbers": "is_compared_inside is_inside_group speaks_of_group",
    "analysis.checks.rank_zero": "has_rank_zero",
    "analysis.checks.serving": "is_request",
    "analysis.checks.unwaited_harm": "is_covered",
    "analysis.checks.lone_raises": "lone_failures lone_raises",
    "analysis.checks.lost_graphs": "lost_graphs",
    "analysis.checks.optional_passes": "optional_passes",
    "analysis.checks.rotation": "removed_too_early",
    "analysis.checks.work_handles": "Early Fate Unwaited is_async unwaited used_before_wait",
    "analysis.checks.written_by_all": "filled_where_missing is_for_all is_given runs_on_all takes_ranks written_by_all",
    "analysis.checks.written_twice": "saved_again write_pairs",
    "analysis.domain.causes": "Cause",
    "analysis.domain.symbol": "WORLD Symbol",
    "analysis.domain.value": "PLACES UNKNOWN Value",
    "analysis.effects": "Choice Event Guard Repeat Term events",
    "analysis.positions": "following terms",
    "analysis.program": "Analysis",
    "analysis.summary.facts": "FunctionFacts",
    "analysis.summary.file_use": "FileUse is_own",
    "analysis.summary.model": "ApiCall GroupInReach HelperCall Invariant Note misplaced",
    "analysis.summary.observed": "PathUse Stamped",
    "catalog.model": "Api Catalog",
    "catalog.operations": "GLOBAL_ROOTS ROOTS Operation agreed_roles",
    "finding": "Applicability Edit Fix Severity",
    "findings.anchor": "Anchored edit",
    "findings.confidence": "Confidence",
    "findings.suppress": "Ignore",
    "fixes.arguments": "argument with_argument with_keyword without_keyword",
    "fixes.asserts": "as_raise",
    "fixes.call_fix": "call_edits call_fix statement_fix",
    "fixes.name_group": "is_without_group name_group pass_group takes_group",
    "ir.names": "dotted_name",
    "ir.nodes": (
        "Assign Attribute Block Branch Call Compare Compound Comprehension Conditional Constant Define Evaluate "
        "Exit Expr Function Lambda Logical Loop Name Not Span Statement Subscript Try With assignments blocks calls "
        "expressions parts walk"
    ),
    "program.resolver": "Program",
    "program.target": "Target",
    "rule": "Findings FixBuilder FixContext Place Report RuleModule Site",
    "rule_id": "Rule",
    "source.discover": "is_test",
    "source.text": "Source UnreadableError",
}
#: Names that are others in the module they come from.
_RENAMED: Final = {"dotted_name": "plain"}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a name of the API on first access."""
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"collectivelint.{module}"), _RENAMED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The names of the API."""
    return sorted(__all__)
