"""Arming the tracer in a process: nothing happens before torch.distributed is imported, little before it is used."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType

#: The directory that traces go to; set by `collectivelint trace`, or by hand in an image.
VARIABLE: Final = "COLLECTIVELINT_TRACE"
_TARGET: Final = "torch.distributed"

#: Let the job go on when its ranks have diverged, or end it.
OnDivergence: TypeAlias = Literal["report", "abort"]

_armed: list[Path] = []


def activate(folder: Path, watch: OnDivergence | None = None) -> None:
    """Trace this process into `folder` from its first process group on. Safe to call again.

    `watch`: nobody watches the job, so a process beside it has to; what that does when ranks have diverged.
    """
    if _armed:
        return
    _armed.append(folder)
    if "torch.distributed.distributed_c10d" in sys.modules:
        _arm(folder, watch)
    else:
        sys.meta_path.insert(0, _Finder(folder, watch))


class _Finder(importlib.abc.MetaPathFinder):
    """Lets torch.distributed be found as ever, and arms the tracer when it has been executed."""

    def __init__(self, folder: Path, watch: OnDivergence | None) -> None:
        self._folder, self._watch = folder, watch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Wrap the loader of torch.distributed; anything else is not ours."""
        del path, target
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _wrap(spec.loader, self._folder, self._watch)
        return spec


def _wrap(loader: Any, folder: Path, watch: OnDivergence | None) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == _TARGET:
            _arm(folder, watch)

    loader.exec_module = exec_module


def _arm(folder: Path, watch: OnDivergence | None) -> None:
    """Hook init_process_group; everything else is installed when it is called, since torch itself is ready then."""
    try:
        import torch
        from torch.distributed import distributed_c10d as c10d

        from .groups import hook_groups, hook_init
        from .tracer import Tracer

        tracer = Tracer(folder, os.path.dirname(torch.__file__), watch)
        installed: list[object] = []

        def first() -> None:
            if installed:
                return
            installed.append(None)
            try:
                from . import methods
                from .handles import Handles
                from .kernels import Kernels

                handles = Handles(tracer)
                kernels = Kernels(tracer, handles)
                installed.append(kernels)
                methods.install(tracer, handles, kernels)
                hook_groups(c10d, tracer)
            except Exception as error:
                warn(error)

        hook_init(c10d, tracer, first)
    except Exception as error:
        warn(error)


def warn(error: BaseException) -> None:
    """The job goes on without us."""
    sys.stderr.write(f"collectivelint: this process runs untraced: {type(error).__name__}: {error}\n")
    sys.stderr.flush()
