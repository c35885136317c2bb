"""The CRC-32 of archives, by zlib-ng if it is installed (extra `runtime`), in a tenth of the time."""

from __future__ import annotations

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
