"""The modules that a compiled wheel has as machine code too, and whether this installation is one.

`setup.py` compiles them with mypyc where COLLECTIVELINT_COMPILE is 1; a pure wheel runs the same source. What such a
module must not contain is listed in the architecture page of the documentation.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

MODULES: Final = (
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
    "collectivelint.findings.suppress",
)


def is_compiled() -> bool:
    """Whether machine code of these modules is what is imported."""
    found = find_spec(MODULES[0])
    return found is not None and not (found.origin or "").endswith(".py")
