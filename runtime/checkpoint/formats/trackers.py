"""Files that name the latest checkpoint of a folder: `latest`, `latest_checkpointed_iteration.txt`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..model import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def followed(file: Path, name: str, folders: Sequence[Path], *, has_data: bool) -> tuple[str, Problem | None]:
    """The folder named by a tracker file, "" if none, and its problem. `folders` are the ones beside it.

    It contains the name of a folder, or its number. If there is no folder beside it but data, it was copied with the
    data.
    """
    text = file.read_text(errors="replace").strip()
    found = next((folder.name for folder in folders if folder.name == text), "")
    if not found and text.isdigit():
        ends = [
            folder.name for folder in folders if (m := re.search(r"(\d+)$", folder.name)) and int(m[1]) == int(text)
        ]
        found = ends[0] if ends else ""
    if found or (has_data and not folders):
        return found, None
    there = f"; there are {', '.join(folder.name for folder in folders[:3])}" if folders else ""
    return "", Problem("CK103", name, f"names `{text:.60}`, which is not there{there}" if text else f"is empty{there}")
