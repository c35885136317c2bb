"""The record of a rank's process before it joins a process group: one small file for each, in the folder of the run.

`rank1-of-4-HOST-PID.present` holds JSON padded to `SIZE` bytes and is overwritten in place, so that a disk that fills
up later does no harm. The name has the rank too: on a disk that is already full the file stays empty. Processes that
never use torch write it as well, so this module imports little; rank_processes.py reads it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

SIZE: Final = 4096


def file_name(rank: int, world_size: int, host: str, pid: int) -> str:
    """The name of a record."""
    return f"rank{rank}-of-{world_size}-{host.replace(os.sep, '-')}-{pid}.present"


def asking_file(folder: Path | str) -> str:
    """The file whose change asks each process to record its main thread's stack; its mtime in ns is the request id."""
    return os.path.join(folder, "where.ask")


def encode(facts: dict[str, Any]) -> bytes:
    """The content of a record; outermost frames are left out if they do not fit."""
    while True:
        data = json.dumps(facts, ensure_ascii=False).encode(errors="replace")
        if len(data) <= SIZE or not facts.get("frames"):
            return data.ljust(SIZE)
        facts = {**facts, "frames": facts["frames"][:-1]}
