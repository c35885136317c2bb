"""Index files (`model.safetensors.index.json`): which file holds which tensor, and whether it does."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ...quantities import and_more
from ..model import CheckpointError, Problem
from . import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ..model import Content

SUFFIX: Final = ".index.json"
#: `00001-of-00002`
_PART: Final = re.compile(r"(\d{1,9})-of-(\d{1,9})")


class Index:
    """An index: `weight_map` by the names of tensors, `total_size` in bytes if it says so."""

    def __init__(self, file: Path) -> None:
        """Read it. Raises CheckpointError if the file is not an index."""
        self.name = file.name
        try:
            data: dict[str, Any] = texts.parsed(file, _unique)
            self.weight_map = {str(name): str(where) for name, where in data["weight_map"].items()}
            metadata = data.get("metadata")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = f"not an index of files: {type(error).__name__} {error}"
            raise CheckpointError(f"{file}: {text}") from None
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        self.total_size = total if isinstance(total, (int, float)) and not isinstance(total, bool) else None
        for where in self.weight_map.values():
            if where.startswith(("/", "\\")) or ".." in where.split("/"):
                raise CheckpointError(f"{file}: names `{where}`, outside of its folder")
        self.weight_map = {name: posixpath.normpath(where) for name, where in self.weight_map.items()}

    @property
    def files(self) -> list[str]:
        """The files that it names."""
        return sorted(set(self.weight_map.values()))

    def check(self, contents: Mapping[str, Content], missing: list[str]) -> Iterator[Problem]:
        """Whether the files hold what the index says. `contents` are those that were read, `missing` those that are not there."""
        if missing:
            lost = sum(where in missing for where in self.weight_map.values())
            more = and_more(len(missing) - 1, "file")
            text = f"names `{missing[0]}`{more}, with {lost} of its {len(self.weight_map)} tensors: missing"
            yield Problem("CK102", self.name, text)
        else:
            yield from self._fewer(contents)
        where: dict[str, list[str]] = {}
        for file, content in contents.items():
            for name in content.tensors:
                where.setdefault(name, []).append(file)
        named = set(self.files)
        elsewhere: list[tuple[str, str, str]] = []
        absent: list[tuple[str, str, str]] = []
        copies: list[tuple[str, str, str]] = []
        for name, file in self.weight_map.items():
            found = where.get(name, [])
            if file in contents and file not in found:
                (elsewhere if found else absent).append((name, file, found[0] if found else ""))
            copies += [(name, file, other) for other in found if other != file and file in found]
        unnamed = [(name, files[0], "") for name, files in where.items() if name not in self.weight_map]
        texts = (
            (elsewhere, "the index says it is in {0}, it is in {1}", "error"),
            (absent, "the index says it is in {0}, which does not have it", "error"),
            ([copy for copy in copies if copy[2] in named], "is in {0}, as the index says, and in {1} too", "error"),
            ([copy for copy in copies if copy[2] not in named], "is in {1} too, which the index does not name", "note"),
            (unnamed, f"is in {{0}}, and {self.name} does not name it: it is not loaded", "error"),
        )
        for some, text, severity in texts:
            if some:
                (name, file, other), others = some[0], len(some) - 1
                tail = f" ({more.strip()})" if (more := and_more(others, "tensor")) else ""
                yield Problem(
                    "CK102", name, text.format(file, other) + tail, "error" if severity == "error" else "note"
                )
        if not missing and not elsewhere and not absent and not unnamed and set(contents) >= named:
            yield from self._size(contents)

    def _fewer(self, contents: Iterable[str]) -> Iterator[Problem]:
        """File families with fewer files than their names count, if the index does not name the others either."""
        named = set(self.files)
        there: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        for name in (*named, *contents):
            part = _PART.search(name)
            form = _PART.sub(f"*-of-{part[2]}", name) if part else ""
            if part and (name in named or (form, int(part[2])) in there):
                there[(form, int(part[2]))].add(int(part[1]))
        for (form, count), numbers in there.items():
            if len(numbers) < count:
                text = (
                    f"names {len(numbers)} of the {count} files `{form}`; the rest is missing, and with it what it held"
                )
                yield Problem("CK102", self.name, text)

    def _size(self, contents: Mapping[str, Content]) -> Iterator[Problem]:
        tensors = [contents[file].tensors[name] for name, file in self.weight_map.items()]
        pieces = {chunk.piece for tensor in tensors for chunk in tensor.chunks if chunk.piece is not None}
        # Tied tensors of torch.save share their storage, and are counted once or twice.
        sizes = {sum(piece.length for piece in pieces), sum(tensor.bytes for tensor in tensors)}
        if self.total_size not in (None, *sizes):
            text = f"says that its tensors have {self.total_size} bytes (total_size), they have {max(sizes)}"
            yield Problem("CK202", self.name, text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for name, value in pairs:
        if found[name] != value:
            raise ValueError(f"`{name}` occurs twice, with different values")
    return found
