"""Libraries that the catalogue does not describe: which of them may start the ranks of a job."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from .texts import Imported, Texts

#: Parts of dotted names of what starts ranks. No list of the catalogue, where a name is a name: `dist` is meant as a word of its
#: own, `distributions` are of random numbers, and the names of classes are meant as they are written.
_STARTING: Final = re.compile(
    r"(?i:launch|distribut(?!ions?\b)|(?:\b|_)dist(?:\b|_)|spawn|parallel|init_from_env|initiali[sz]e|ddp|fsdp|nccl"
    r"|elastic|cluster|process_group|deepspeed)|Trainer|Fabric|Strategy|Engine"
)


class Libraries:
    """The libraries that the files of a program use."""

    def __init__(self, program: Program, catalog: Catalog, texts: Texts) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._texts = program, texts
        #: Packages that start no ranks, and call what they are given in the program that gives it.
        self._in_process = catalog.in_process | sys.stdlib_module_names
        self._launchers = catalog.launchers
        self._in_one_process = catalog.one_process
        self._starting: dict[str, bool] = {}

    def is_in_process(self, name: str) -> bool:
        """Whether a library function, given by dotted name, runs in the program that uses it and starts no ranks."""
        top, _, rest = name.partition(".")
        return top in self._in_process or (top == "torch" and not rest.startswith("distributed"))

    def run_in_one(self, path: str) -> bool:
        """Whether a file imports a package that runs it as a program, in a single process."""
        targets = (self._program.absolute(path, item.target) for item in self._texts.imports(path))
        return any(
            target.kind == "external" and target.name.partition(".")[0] in self._in_one_process for target in targets
        )

    def may_start(self, path: str) -> bool:
        """Whether a file uses part of a library that may start ranks, or works only with several.

        That is any use of a package that launches programs or runs functions in other processes, and for other packages
        (except `torch` and those known to start none) a call whose dotted name suggests distributed programs.
        """
        if path not in self._starting:
            self._starting[path] = any(self._is_starting(path, item) for item in self._texts.imports(path))
        return self._starting[path]

    def _is_starting(self, path: str, item: Imported) -> bool:
        if item.target.startswith("."):
            return False
        target = self._program.absolute(path, item.target)
        if target.kind != "external":
            return False
        top = target.name.partition(".")[0]
        if top == "torch" or top in self._in_process or not item.name:
            return False
        if top in self._launchers:
            return True
        pattern = re.compile(rb"(?<![\w.])%b((?:\.\w+)*)\s*\(" % re.escape(item.name.encode(errors="surrogateescape")))
        prefix = target.name if item.name != item.target else item.name
        return any(
            _STARTING.search(f"{prefix}{rest.decode()}") for rest in set(pattern.findall(self._texts.code(path)))
        )


def is_starting_name(name: str) -> bool:
    """Whether a dotted name of a library suggests distributed programs."""
    return _STARTING.search(name) is not None
