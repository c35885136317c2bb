"""Words to the user from inside a job: stderr may be closed, or nobody may read it, and that is never the job's trouble."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Write to stderr, if that is possible."""
    with suppress(Exception):
        sys.stderr.write(text)
        sys.stderr.flush()
