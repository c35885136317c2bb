"""What a name of the program refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What a name means: a function, class, module or global variable of the program, or something outside it.

    For "external" `name` is the full dotted name and `path` is empty; for a module `name` is empty.
    """

    kind: Literal["function", "class", "module", "variable", "external"]
    path: str
    name: str
