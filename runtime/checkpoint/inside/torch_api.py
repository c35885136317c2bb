"""Replaces private functions of torch.serialization and torch.distributed.checkpoint, used nowhere else.

Not in runtime/inside/torch_api.py, which needs torch.distributed: torch itself is still being imported when these
modules appear. Each function gets the module, and raises AttributeError if the installed torch lacks what it replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: The classes that an asynchronous save is run by, of the versions that have them.
_EXECUTORS: Final = ("_ThreadBasedAsyncCheckpointExecutor", "_ProcessBasedAsyncCheckpointExecutor")


def exchange_save(
    saver: Any, save: Callable[[Any], Any], ranks: Callable[[Any], Any], executor: Callable[[Any], Any]
) -> None:
    """Wrap, in state_dict_saver, the function behind every form of saving, the communication class, the executors."""
    saver._save_state_dict = save(saver._save_state_dict)
    saver._DistWrapper = ranks(saver._DistWrapper)
    for name in _EXECUTORS:
        if hasattr(saver, name):
            setattr(saver, name, executor(getattr(saver, name)))


def exchange_load(loader: Any, load: Callable[[Any], Any], ranks: Callable[[Any], Any]) -> None:
    """Wrap, in state_dict_loader, the function behind every form of loading, and the communication class."""
    loader._load_state_dict = load(loader._load_state_dict)
    loader._DistWrapper = ranks(loader._DistWrapper)


def local_part(tensor: Any) -> Any:
    """The tensor that this rank holds of a DTensor, without a collective and without a place in autograd's graph."""
    return tensor._local_tensor


def pool(executor: Any) -> Any:
    """The pool of threads that an executor runs a save in; None if it has none."""
    return getattr(executor, "_executor", None)


def exchange_torch_save(
    serialization: Any, opened: Callable[[Any], None], saved: Callable[[Any, Callable[[], Any]], Any]
) -> None:
    """Call `opened(path or file)` when torch.save opens it, then `saved(obj, write)` instead of the original writer.

    Every form of torch.save to a path calls these two functions, which are looked up at call time.
    """
    open_writer, save = serialization._open_zipfile_writer, serialization._save

    def _open_zipfile_writer(target: Any) -> Any:
        opened(target)
        return open_writer(target)

    def _save(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return saved(obj, lambda: save(obj, *args, **kwargs))

    serialization._open_zipfile_writer, serialization._save = _open_zipfile_writer, _save
