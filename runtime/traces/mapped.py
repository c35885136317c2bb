"""Rings as mapped memory."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from collectivelint import reading

from .ring import TraceError

if TYPE_CHECKING:
    from pathlib import Path


def opened(ring: Path) -> mmap.mmap:
    """Map a file read-only. Raises TraceError if it cannot be opened."""
    try:
        handle = reading.opened(ring, follow=False)
        try:
            return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
    except ValueError:
        raise TraceError(f"{ring}: not a collectivelint trace, it is empty") from None
    except OSError as error:
        raise TraceError(f"{ring}: {error.strerror or error}") from None


def release(data: mmap.mmap) -> None:
    """Release the memory of the pages that were read; they are read from the file again on access."""
    if hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)
