"""The event tree: what a function does, reduced to what the analysis needs.

Python's statements are reduced to nine: everything that only computes is `Evaluate`, `match` becomes nested branches,
`async` is dropped. This module re-exports all of its classes.
"""

from __future__ import annotations

from .expressions import (
    Attribute,
    Bind,
    Call,
    Compare,
    Compound,
    Comprehension,
    Conditional,
    Constant,
    Declared,
    Expr,
    Lambda,
    Logical,
    Name,
    Not,
    Subscript,
)
from .span import Span
from .statements import (
    Assert,
    Assign,
    Block,
    Branch,
    Define,
    Evaluate,
    Exit,
    Function,
    Loop,
    Parameter,
    Statement,
    Try,
    With,
)
from .traversal import assignments, blocks, calls, children, expressions, parts, walk

__all__ = [
    "Assert",
    "Assign",
    "Attribute",
    "Bind",
    "Block",
    "Branch",
    "Call",
    "Compare",
    "Compound",
    "Comprehension",
    "Conditional",
    "Constant",
    "Declared",
    "Define",
    "Evaluate",
    "Exit",
    "Expr",
    "Function",
    "Lambda",
    "Logical",
    "Loop",
    "Name",
    "Not",
    "Parameter",
    "Span",
    "Statement",
    "Subscript",
    "Try",
    "With",
    "assignments",
    "blocks",
    "calls",
    "children",
    "expressions",
    "parts",
    "walk",
]
