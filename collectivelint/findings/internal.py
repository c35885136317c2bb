"""The message for an internal error."""

from __future__ import annotations

from pathlib import Path


def internal_error(where: str, error: BaseException) -> str:
    """A message for an exception in a rule, a fix or the analysis of a function, which `where` names."""
    import traceback

    if isinstance(error, RecursionError):
        return f"{where} is not analysed: it is nested too deeply"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"internal error in {where}: {type(error).__name__}: {error} ({place}); please report it"
