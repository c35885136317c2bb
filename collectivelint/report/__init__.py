"""Output formats: one module for each, all with the same function `render`."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .cells import placed

if TYPE_CHECKING:
    from .model import Document, Renderer

#: The formats, by the name of their module.
FORMATS: Final = (
    *("text", "full", "concise", "grouped", "pylint", "json", "json-lines", "rdjson", "sarif"),
    *("github", "gitlab", "junit", "html", "agent"),
)
#: Formats that services read to mark lines of files: there a notebook is a file of JSON.
_OF_FILES: Final = frozenset({"pylint", "rdjson", "sarif", "github", "gitlab"})


def renderer(name: str) -> Renderer:
    """The module of a format; no other is imported."""
    module: Renderer = importlib.import_module(f".{'json_' if name == 'json' else name.replace('-', '_')}", __name__)
    return module


def render(name: str, document: Document) -> str:
    """A report in one of the formats, with the places in notebooks as that format has them."""
    result, sources = placed(document.result, document.sources, as_file=name in _OF_FILES)
    return renderer(name).render(replace(document, result=result, sources=sources))
