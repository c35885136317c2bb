"""Analysing the stale files of a program, in this process or in several, with progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from .pool import Crew, WorkerError, divide, split, usable
from .shard import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..analysis.summary.making import Making
    from ..program.index import FileIndex, Indexes
    from ..program.resolver import Program
    from .plan import CacheView

#: Called with the number of steps that are done, and of all steps.
Progress: TypeAlias = "Callable[[int, int], None]"
#: The findings of some files, given where the program makes groups.
AnalyseFiles: TypeAlias = "Callable[[Sequence[str], Sequence[Making]], Shard]"

#: Each process does its part of the files in as many pieces; one that is done takes some of the others'.
_PIECES: Final = 8


@dataclass(frozen=True, slots=True)
class Schedule:
    """The work of one run: `stale` are the files to analyse, on at most `jobs` processes (0: one for each CPU)."""

    program: Program
    indexes: Indexes
    view: CacheView
    stale: Sequence[str]
    jobs: int
    progress: Progress

    def run(self, analyse: AnalyseFiles) -> Shard:
        """The merged results of `analyse` for all stale files; if a process ended, that is an error in it."""
        whole = Shard()
        jobs = usable(self.jobs, len(self.stale))
        try:
            if jobs == 1:
                self._run_alone(analyse, whole)
            else:
                self._run_shared(analyse, jobs, whole)
        except WorkerError as error:
            # The findings of the pieces that were finished are true.
            whole.errors.append(str(error))
        return whole

    def _run_alone(self, analyse: AnalyseFiles, whole: Shard) -> None:
        """Index all stale files, then analyse them piece by piece."""
        steps = 2 * len(self.stale)
        done = 0
        for path in self.stale:
            # Its functions are all needed soon: lower them while the tree is there, parsing is the larger half.
            self.indexes.get(path)
            done += 1
            self.progress(done, steps)
        making = self.view.making(self.program)
        for piece in split(self.stale, _PIECES):
            whole.add(analyse(piece, making))
            done += len(piece)
            self.progress(done, steps)

    def _run_shared(self, analyse: AnalyseFiles, jobs: int, whole: Shard) -> None:
        """Index and analyse in `jobs` processes: each analyses the files that it has indexed."""
        program, indexes, view = self.program, self.indexes, self.view
        if not view.full_run:
            # The processes cannot ask the cache themselves.
            indexes.preload(index for path in list(indexes) if (index := view.index(path)) is not None)
        read = list(view.every) if view.full_run else self.stale
        steps = len(read) + len(self.stale)
        parts = divide(read, jobs)
        stale = set(self.stale)

        def index_all(part: list[str]) -> list[FileIndex]:
            return [indexes[path] for path in part]

        def find_groups(given: tuple[list[str], list[FileIndex]]) -> dict[str, list[Making]]:
            part, others = given
            indexes.preload(others)
            return view.made_in(program, part)

        def analyse_piece(given: tuple[list[str], Sequence[Making]]) -> Shard:
            return analyse(*given)

        crew = Crew((index_all, find_groups, analyse_piece), jobs)
        done = 0
        try:
            found: list[list[FileIndex]] = [[] for _ in parts]
            pieces = [split(part, _PIECES) for part in parts]
            for member, some in crew.share(index_all, pieces, help_others=False):
                found[member] += some
                done += len(some)
                self.progress(done, steps)
            indexes.preload(index for some in found for index in some)
            if view.full_run:
                others = [[index for some in found if some is not mine for index in some] for mine in found]
                view.merge(crew.ask(find_groups, list(zip(parts, others, strict=True))))
            making = view.making(program)
            pieces = [split([path for path in part if path in stale], _PIECES) for part in parts]
            for _, shard in crew.share(analyse_piece, [[(piece, making) for piece in some] for some in pieces]):
                whole.add(shard)
                done += len(shard.looked)
                self.progress(done, steps)
        except BaseException:
            crew.stop()
            raise
        crew.close()
