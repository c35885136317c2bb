"""`--thread-groups`: the plan for the collectives without a `group` argument, and the files that it must not change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..findings.publish import anchored
from ..registry import discover
from ..settings.selection import runs_in
from .chains import Chains
from .links import outside
from .ungrouped import missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall
    from ..findings.comments import Comments
    from ..program.project import Project
    from ..settings.resolver import Resolver
    from ..source.files import SourceFiles
    from .chains import Plan


def thread_groups(
    analysis: Analysis,
    project: Project,
    paths: Sequence[Path],
    resolver: Resolver,
    files: SourceFiles,
    comments: Comments,
) -> Plan:
    """The edits that pass a group to the collectives of the files behind `paths`; `analysis` knows the whole project."""
    asked = set(project.asked)
    calls = [
        call for call in missing(analysis) if call.function.path in asked and _is_reported(call, resolver, comments)
    ]
    expression = resolver.settings(paths[0]).group
    # No link is followed out of the project.
    locked = outside(analysis.paths, [*paths, *project.roots])
    plan = Chains(
        analysis, files.source, lambda path, span: anchored(files.source(path), span), expression, locked
    ).plan(calls)
    indexes = analysis.program.indexes
    problems = [(path, problem) for path in project.asked if (problem := indexes[path].problem) is not None]
    plan.unreadable = sorted([*problems, *project.unreadable], key=lambda item: item[0])
    return plan


def _is_reported(call: ApiCall, resolver: Resolver, comments: Comments) -> bool:
    """Whether CL101 is on in the file of a call, and not silenced on its lines."""
    rule, path = discover()["CL101"].RULE, call.function.path
    lines = [call.span.line, call.span.end_line, call.statement.line]
    return runs_in(path, resolver.settings(Path(path)), rule) and not comments.silenced(path, rule, lines)
