"""Records, in torchrun's process, which ranks torchrun ends by a signal to their group, which children.py misses."""

from __future__ import annotations

import functools
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .children import Children


def hook_close(children: Children, module: Any) -> None:
    """Wrap the method that an agent calls when all of its ranks have ended, or one of them has failed.

    `module`: torch.distributed.elastic.multiprocessing.api.
    """
    original = module.PContext.close

    @functools.wraps(original)
    def close(context: Any, *args: Any, **kwargs: Any) -> Any:
        before = _codes(context)
        number = (args[0] if args else kwargs.get("death_sig")) or signal.SIGTERM
        for pid, code in before.items():
            if code is None:
                children.sends(pid, number)
            else:
                children.ended(pid, code)
        try:
            return original(context, *args, **kwargs)
        finally:
            after = _codes(context)
            for pid, code in before.items():
                if code is None:
                    children.ended(pid, after.get(pid))

    module.PContext.close = close


def _codes(context: Any) -> dict[int, int | None]:
    """The exit code of each process by PID, None while it runs; {} if this torch stores its processes differently."""
    try:
        from .torch_api import started_processes

        return {pid: code() for pid, code in started_processes(context)}
    except Exception:
        # Whatever it is, the agent has to end its ranks.
        return {}
