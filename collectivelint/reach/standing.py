"""What is left of findings once it is known which programs run the functions they are in, and on how many ranks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..findings.confidence import Confidence
from ..program.target import Target
from ..source.discover import is_test
from .callers import Callers
from .entry_points import EntryPoints, console_scripts, is_test_function
from .import_reach import ImportReach
from .libraries import Libraries
from .one_rank import OneRank
from .openness import Openness
from .single_process import SingleProcess
from .single_rank import SingleRank
from .texts import Texts
from .uses import Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..catalog.model import Catalog
    from ..finding import Finding
    from ..program.resolver import Program

#: Rules about what differs between ranks that all get there, by their codes: where one rank does, nothing differs.
_LOCAL: Final = ("CL202", "CL203", "CL204", "CL205", "CL206", "CL208", "CL403", "CL404")
#: Those of them that may also be about a condition on ranks.
_OWN: Final = ("CL202", "CL208")
#: Rules about what happens between ranks. The other rules of checkpoints are as true of a program of one process: a
#: script that converts a checkpoint is where the number of its parts is guessed, and what it has read is trusted.
_BETWEEN_RANKS: Final = ("CL1", "CL2", "CL3", "CL401", "CL402", "CL403", "CL404")


class Reach:
    """Which functions one rank runs, and which only programs of one process do."""

    def __init__(
        self, program: Program, catalog: Catalog, text: Callable[[str], bytes], configurations: Iterable[str] = ()
    ) -> None:
        """`text` gives the content of a file; `configurations` are the texts that name the commands of the project."""
        texts = Texts(program.indexes, cache(text))
        callers = Callers(program, texts, Openness(program, catalog, texts))
        libraries = Libraries(program, catalog, texts)
        self._program = program
        self.entry_points = EntryPoints(
            program, callers, ImportReach(program, texts), console_scripts(program, configurations)
        )
        self.single_process = SingleProcess(program, catalog, callers, self.entry_points, libraries)
        self.single_rank = SingleRank(program, callers, OneRank(program, catalog), self.single_process)
        self._uses = Uses(program, catalog, texts, self.entry_points)

    def judged(self, finding: Finding) -> Finding | None:
        """A finding as sure as what runs it allows, or None where it cannot be."""
        if (
            not (finding.api or finding.code.startswith(_BETWEEN_RANKS))
            or self._program.indexes[finding.path].problem is not None
        ):
            return finding
        target = Target("function", finding.path, finding.function or "<module>")
        if finding.api and self._uses.leave_open(target, finding):
            finding = replace(finding, confidence=min(finding.confidence, Confidence.LOW))
        if finding.code in _LOCAL and self.single_rank.runs(target):
            # A decorator is part of what it decorates: that it runs on one rank may be what the finding says.
            return finding if finding.code in _OWN and self.single_rank.decorates(target) else None
        if self.single_process.runs(target):
            entries = self.entry_points.programs_of(target).entries
            is_known = all(entry.name == "<module>" or is_test_function(entry) for entry in entries)
            is_own = is_test(Path(finding.path)) or any(entry.path == finding.path for entry in entries)
            return None if is_own and is_known else replace(finding, confidence=min(finding.confidence, Confidence.LOW))
        return finding
