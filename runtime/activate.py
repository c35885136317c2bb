"""Enabling the tracer in a process: no cost before torch.distributed is imported, little before it is used."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from .environment import CHECK_DATA, STOPPED
from .say import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType, TracebackType

    from .environment import OnDivergence
    from .inside.children import Children
    from .inside.tracer import Tracer

_armed: list[Path] = []


def activate(folder: Path, watch: OnDivergence | None = None, *, check_data: bool = False) -> None:
    """Trace this process into `folder` from its first process group on. Safe to call again.

    `folder` is the folder of the run, or the one that the user named; then the run is created below it, see folders.py.
    `watch`: no launcher watches the job, so a process is started to do it; the value is what that process does when
    ranks diverge. `check_data`: also record the data passed to calls; the environment can enable this as well.
    """
    if _armed:
        return
    # The job may change its current folder before it joins a group.
    folder = folder.absolute()
    _armed.append(folder)
    if os.environ.get("RANK"):
        _appear(folder)
    from .inside.children import Children

    children = Children(folder)
    _when_imported(
        {
            "subprocess": children.hook_subprocess,
            "multiprocessing.popen_fork": children.hook_multiprocessing,
            "multiprocessing.popen_forkserver": children.hook_multiprocessing,
            "torch.serialization": lambda module: _audit(folder, "hook_torch", module),
            "torch.distributed": lambda _: _arm(
                folder, watch, check_data=check_data or bool(os.environ.get(CHECK_DATA))
            ),
            "torch.distributed.checkpoint.state_dict_saver": lambda module: _audit(folder, "hook_saver", module),
            "torch.distributed.checkpoint.state_dict_loader": lambda module: _audit(folder, "hook_loader", module),
            "torch.distributed.elastic.multiprocessing.api": lambda module: _hook_agent(folder, children, module),
            "safetensors.torch": lambda module: _audit(folder, "hook_safetensors", module),
        }
    )


def _when_imported(hooks: dict[str, Callable[[ModuleType], None]]) -> None:
    """Call each hook once its module has been executed; immediately if it has been already."""
    waiting = {}
    for name, hook in hooks.items():
        module = sys.modules.get(name)
        # torch.distributed stands in sys.modules while it is being executed.
        if module is not None and (name != "torch.distributed" or f"{name}.distributed_c10d" in sys.modules):
            hook(module)
        else:
            waiting[name] = hook
    if waiting:
        sys.meta_path.insert(0, _Finder(waiting))


class _Finder:
    """A meta path finder that delegates to the other finders and calls hooks once certain modules have been executed.

    Not derived from importlib.abc.MetaPathFinder, whose import would be half of this module's cost at process start.
    """

    def __init__(self, hooks: dict[str, Callable[[ModuleType], None]]) -> None:
        self._hooks = hooks
        self._finding: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Wrap the loader of a module for which a hook is registered; other modules are left alone."""
        del path, target
        if fullname not in self._hooks or fullname in self._finding:
            return None
        self._finding.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._finding.discard(fullname)
        if spec is not None and spec.loader is not None:
            self._wrap(spec.loader, fullname)
        return spec

    def _wrap(self, loader: Any, name: str) -> None:
        """Wrap the loader rather than call the hook: a caller may only check whether the module exists."""
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            hook = self._hooks.pop(name, None) if module.__name__ == name else None
            if hook is not None:
                hook(module)

        loader.exec_module = exec_module


def _appear(folder: Path) -> None:
    """Start the record of this rank's process (see traces/rank_record.py)."""
    try:
        from .inside import presence

        presence.start(folder)
    except Exception as error:
        say(f"collectivelint: what this process does before it joins a group is not recorded: {error!r}\n")


_auditors: list[Any] = []


def _hook_agent(folder: Path, children: Children, module: ModuleType) -> None:
    """In torchrun: record which ranks it ends, and suppress its traceback when our launcher ended it."""
    _leave_quietly(folder, module)
    try:
        from .inside.agent import hook_close

        hook_close(children, module)
    except Exception as error:
        say(f"collectivelint: which ranks torchrun ends is not recorded: {type(error).__name__}: {error}\n")


def _leave_quietly(folder: Path, module: Any) -> None:
    """In torchrun: suppress its traceback when our launcher ended it, which would hide the verdict."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        signalled = getattr(module, "SignalException", ())
        if isinstance(error, signalled) and os.path.isfile(os.path.join(folder, STOPPED)):
            say("collectivelint: torchrun has ended the ranks\n")
        else:
            previous(kind, error, trace)

    sys.excepthook = hook


def _audit(folder: Path, hook: str, module: ModuleType) -> None:
    """Have checkpoints audited as they are written and read."""
    try:
        if not _auditors:
            from .checkpoint.inside.auditor import Auditor
            from .inside.sites import Sites

            # torch itself may still be being imported.
            where = os.path.dirname(sys.modules["torch"].__file__ or "")
            _auditors.append(Auditor(folder, Sites(where)))
        getattr(_auditors[0], hook)(module)
    except Exception as error:
        say(f"collectivelint: checkpoints are not audited here: {type(error).__name__}: {error}\n")


def _arm(folder: Path, watch: OnDivergence | None, *, check_data: bool) -> None:
    """Wrap init_process_group; the other wrappers are installed when it is called, since torch itself is ready then."""
    try:
        from torch.distributed import distributed_c10d as c10d

        from .inside import presence
        from .inside.group_creation import hook_init
        from .inside.torch_api import TorchSource
        from .inside.tracer import Tracer

        presence.imported(folder)
        tracer = (_checking() if check_data else Tracer)(folder, TorchSource(), watch)
        installed: list[object] = []

        def first() -> tuple[str, ...]:
            if installed:
                return ()
            installed.append(None)
            try:
                from .inside.layers import install

                return install(tracer)
            except Exception as error:
                warn(error)
                return ()

        hook_init(c10d, tracer, first)
    except Exception as error:
        warn(error)


def _checking() -> type[Tracer]:
    """The tracer class that also checks data; the plain one if the installed torch does not support that."""
    from .inside.tracer import Tracer

    try:
        from .inside.data_checks import CheckingTracer
    except ImportError as error:
        say(f"collectivelint: data is not checked: {error}\n")
        return Tracer
    return CheckingTracer


def warn(error: BaseException) -> None:
    """Report that this process runs untraced because of `error`; the job continues."""
    from .inside import presence

    presence.untraced(error)
    say(f"collectivelint: this process runs untraced: {type(error).__name__}: {error}\n")
