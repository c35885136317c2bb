"""The modules that a compiled wheel has as machine code too, and whether this installation is one.

`setup.py` compiles them with mypyc where COLLECTIVELINT_COMPILE is 1; a pure wheel runs the same source. What such a
module must not contain is listed in the architecture page of the documentation.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

MODULES: Final = (
    "collectivelint.analysis.calls.annotations",
    "collectivelint.analysis.calls.catalog_calls",
    "collectivelint.analysis.calls.dispatch",
    "collectivelint.analysis.calls.file_effects",
    "collectivelint.analysis.calls.groups_in_reach",
    "collectivelint.analysis.calls.library_calls",
    "collectivelint.analysis.calls.meshes",
    "collectivelint.analysis.calls.program_calls",
    "collectivelint.analysis.checks.alignment",
    "collectivelint.analysis.checks.deciding",
    "collectivelint.analysis.checks.divergence",
    "collectivelint.analysis.checks.divergence_report",
    "collectivelint.analysis.checks.file_races",
    "collectivelint.analysis.checks.group_lifetime",
    "collectivelint.analysis.checks.group_sites",
    "collectivelint.analysis.checks.sides",
    "collectivelint.analysis.checks.work_handles",
    "collectivelint.analysis.domain.causes",
    "collectivelint.analysis.domain.implication",
    "collectivelint.analysis.domain.inlining",
    "collectivelint.analysis.domain.joining",
    "collectivelint.analysis.domain.kinds",
    "collectivelint.analysis.domain.normalise",
    "collectivelint.analysis.domain.path_condition",
    "collectivelint.analysis.domain.recognise",
    "collectivelint.analysis.domain.sweep",
    "collectivelint.analysis.domain.symbol",
    "collectivelint.analysis.effects",
    "collectivelint.analysis.guard",
    "collectivelint.analysis.positions",
    "collectivelint.analysis.summary.closures",
    "collectivelint.analysis.summary.facts",
    "collectivelint.analysis.summary.file_use",
    "collectivelint.analysis.summary.fixpoint",
    "collectivelint.analysis.summary.interprocedural",
    "collectivelint.analysis.summary.lattice",
    "collectivelint.analysis.summary.model",
    "collectivelint.analysis.summary.observed",
    "collectivelint.analysis.summary.recursion",
    "collectivelint.analysis.terms",
    "collectivelint.analysis.transfer.annotated",
    "collectivelint.analysis.transfer.attributes",
    "collectivelint.analysis.transfer.binding",
    "collectivelint.analysis.transfer.comparisons",
    "collectivelint.analysis.transfer.compounds",
    "collectivelint.analysis.transfer.conditions",
    "collectivelint.analysis.transfer.exceptions",
    "collectivelint.analysis.transfer.expressions",
    "collectivelint.analysis.transfer.group_names",
    "collectivelint.analysis.transfer.guards",
    "collectivelint.analysis.transfer.loops",
    "collectivelint.analysis.transfer.managers",
    "collectivelint.analysis.transfer.names",
    "collectivelint.analysis.transfer.parameters",
    "collectivelint.analysis.transfer.scopes",
    "collectivelint.analysis.transfer.state",
    "collectivelint.analysis.transfer.statements",
    "collectivelint.analysis.transfer.wrappers",
    "collectivelint.findings.suppress",
    "collectivelint.ir.expressions",
    "collectivelint.ir.lower",
    "collectivelint.ir.lower_expressions",
    "collectivelint.ir.lower_match",
    "collectivelint.ir.nodes",
    "collectivelint.ir.span",
    "collectivelint.ir.statements",
    "collectivelint.ir.traversal",
    "collectivelint.program.imports",
    "collectivelint.program.modules",
    "collectivelint.program.resolution",
    "collectivelint.program.resolver",
    "collectivelint.program.target",
    "collectivelint.record",
)


def is_compiled() -> bool:
    """Whether machine code of these modules is what is imported."""
    found = find_spec(MODULES[0])
    return found is not None and not (found.origin or "").endswith(".py")
