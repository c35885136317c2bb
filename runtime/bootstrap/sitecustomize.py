"""Imported by every Python process of a traced job, because this folder is first in PYTHONPATH.

Enables the tracer, then runs the sitecustomize that this one hides. It may run in any process, including the launcher's
agent and helpers of shells, so it imports next to nothing and never fails.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys


def _load(name: str, folder: str) -> None:
    """Import a package from the launcher's installation, for a job whose environment does not have collectivelint."""
    if name not in sys.modules:
        init = os.path.join(folder, "__init__.py")
        spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
        if spec is None or spec.loader is None:
            raise ImportError(f"no package in {folder}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def _trace() -> None:
    folder = os.environ.get("COLLECTIVELINT_TRACE")
    if not folder:
        return
    try:
        _load("collectivelint", os.environ["COLLECTIVELINT_HOME"])
        _load("collectivelint.runtime", os.environ["COLLECTIVELINT_RUNTIME_HOME"])
        import pathlib

        from collectivelint.runtime.activate import activate

        activate(pathlib.Path(folder))
    except Exception as error:
        sys.stderr.write(f"collectivelint: this process runs untraced: {type(error).__name__}: {error}\n")


def _chain() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


_trace()
_chain()
