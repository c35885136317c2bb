"""The digests that the ranks of a save exchange with their plans, and their comparison. Plain data, no torch.

Each rank digests whatever another rank may hold under the same name and offset. If digests differ, one rank's values
are about to be kept and the others' lost; the save has not begun to write yet.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ...quantities import amount, ranks_text, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Name, and where the part begins; None for what is no tensor.
Key: TypeAlias = "tuple[str, tuple[int, ...] | None]"


class Digest(NamedTuple):
    """What a rank holds under a key. Sent as a plain tuple, which a rank without collectivelint can unpickle.

    `kind`: "plain" for a tensor, "sharded" for a part of a DTensor, "object". `crc` is the CRC-32 of the values in
    row-major order, None if no other rank can hold them or they cannot be read.
    """

    kind: str
    crc: int | None
    sizes: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """The size of the values in bytes."""
        size = 1
        for n in self.sizes:
            size *= n
        return size * width(self.dtype) if self.kind != "object" else 0


#: Buffers of torch's batch normalisation: DDP makes them equal before each forward pass, and so not when it saves.
_STATISTICS: Final = (".running_mean", ".running_var")


@dataclass(frozen=True, slots=True)
class Loss:
    """A key with different values on different ranks. `variants`: (ranks, digest) of each value, the kept one first."""

    key: Key
    variants: tuple[tuple[tuple[int, ...], Digest], ...]
    kept: int | None
    #: The kept rank's place in the group of the save, which its file is named after.
    position: int | None = None
    #: Why the ranks should hold the same under a plain tensor's name (replicas.py); "" if nothing says so.
    replicated_by: str = ""

    @property
    def kind(self) -> str:
        """How the value was declared: "plain", "sharded" or "object"."""
        return self.variants[0][1].kind

    @property
    def is_serious(self) -> bool:
        """Whether it is a weight. Generator states, meters and normalisation statistics may differ between ranks."""
        first = self.variants[0][1]
        if first.kind == "object" or not first.sizes or self.key[0].endswith(_STATISTICS):
            return False
        is_small = first.dtype in ("int8", "uint8", "qint8", "quint8") and len(first.sizes) > 1
        return is_small or "float" in first.dtype or "complex" in first.dtype


@dataclass(slots=True)
class Save:
    """The summary of one save on the coordinator rank."""

    path: str
    site: Mapping[str, Any]
    world_size: int
    losses: list[Loss] = field(default_factory=list)
    #: Keys of plain tensors that several ranks hold: one copy of each is written.
    deduplicated: int = 0
    memory: int = 0
    written: int = 0
    errors: list[str] = field(default_factory=list)
    #: Names that several ranks hold without a digest: wrappers without a storage, very large objects.
    unread: list[str] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        """Whether the save loses weights, or has written wrong data."""
        return bool(self.errors) or any(loss.is_serious for loss in self.losses)


def compare(
    path: str,
    site: Mapping[str, Any],
    held: Sequence[Mapping[Key, Digest]],
    kept: Mapping[Key, int],
    ranks: Sequence[int],
) -> Save:
    """Compare the ranks' digests. By position in the group: `held` digests, `ranks`; `kept`: the writer of each key."""
    save = Save(path, site, len(held))
    by_key: defaultdict[Key, list[tuple[int, Digest]]] = defaultdict(list)
    for position, digests in enumerate(held):
        for key, digest in digests.items():
            by_key[key].append((position, digest))
            save.memory += digest.bytes
    for key, found in by_key.items():
        save.written += found[0][1].bytes
        if len(found) < 2:
            continue
        save.deduplicated += found[0][1].kind == "plain"
        variants: defaultdict[Digest, list[int]] = defaultdict(list)
        for position, digest in found:
            variants[digest._replace(kind="")].append(position)
        if any(digest.crc is None for _, digest in found):
            save.unread += [key[0]] * (found[0][1].kind != "sharded")
        elif len(variants) > 1:
            keeper = kept.get(key)
            ordered = sorted(variants.items(), key=lambda item: (keeper not in item[1], item[1]))
            kind = found[0][1].kind
            sides = tuple((tuple(ranks[p] for p in some), digest._replace(kind=kind)) for digest, some in ordered)
            save.losses.append(Loss(key, sides, ranks[keeper] if keeper is not None else None, keeper))
    return save


# ------------------------------------------------------------------------------------------------------- in words


_DIGITS: Final = re.compile(r"\d+")
#: So many patterns of names are shown of what has one cause, and of notes, where each name has its own.
_MOST: Final = 6
_MOST_NOTED: Final = 100


def text(save: Save) -> str:
    """The report of a save; "" if nothing was lost or differs."""
    serious = [loss for loss in save.losses if loss.is_serious]
    paragraphs = [
        _lost(save, [loss for loss in serious if loss.kind == "plain" and not loss.replicated_by]),
        _drifted(
            [loss for loss in serious if loss.kind == "sharded"],
            "by placements",
            "the replicas have drifted: somewhere a gradient, or an update, was not reduced over all of them",
        ),
    ]
    for reason in dict.fromkeys(loss.replicated_by for loss in serious if loss.replicated_by):
        paragraphs.append(_drifted([loss for loss in serious if loss.replicated_by == reason], reason, _REPLICAS))
    for headline, losses in _noted(save):
        paragraphs.append([f"note: {headline}", *_patterns(losses, _MOST_NOTED), *_kept(losses)])
    lines = [line for paragraph in paragraphs for line in paragraph]
    lines += [f"CHECKPOINT: {error}" for error in save.errors]
    if not lines:
        return ""
    site = save.site
    place = f"{site.get('path')}:{site.get('line')}  {site.get('function')}" if site.get("path") else "an unknown place"
    lines.insert(1, f"  save   {save.path} at {place}")
    return "\n".join(lines) + "\n"


#: What to do about tensors that are each rank's copy of one.
_REPLICAS: Final = (
    "the replicas have drifted: a gradient was not reduced (a parameter used outside of the wrapped forward, `no_sync`, a step "
    "that only some ranks take), or a rank changes a buffer by itself\n"
    "  fix    reduce every gradient; broadcast what ranks set themselves: dist.broadcast(tensor, src=0) for each tensor of the module"
)


def notes(save: Save) -> list[str]:
    """One line for each kind of difference that loses no weights, and one for what was not compared."""
    found = [
        f"{headline}: {_names([loss.key[0] for loss in losses], _MOST_NOTED)}" for headline, losses in _noted(save)
    ]
    if save.unread:
        what = "value that ranks share was" if len(save.unread) == 1 else "values that ranks share were"
        found.append(f"{len(save.unread)} {what} not compared: {_names(save.unread, _MOST)}")
    return found


def _noted(save: Save) -> Iterator[tuple[str, list[Loss]]]:
    rest = [loss for loss in save.losses if not loss.is_serious]
    for is_object, one, several in (
        (False, "tensor that is not a weight", "tensors that are not weights"),
        (True, "Python object", "Python objects"),
    ):
        losses = [loss for loss in rest if (loss.kind == "object") is is_object]
        if losses:
            what = f"1 {one} differs" if len(losses) == 1 else f"{len(losses)} {several} differ"
            yield f"{what} between ranks, and only one rank's copy survives", losses


def _lost(save: Save, losses: list[Loss]) -> list[str]:
    if not losses:
        return []
    one = save.deduplicated == 1
    what = "name is a plain tensor" if one else "names are plain tensors"
    return [
        f"CHECKPOINT LOSES DATA: {save.deduplicated} {what} on several ranks, of which the save keeps one copy{' each' * (not one)}; "
        f"{len(losses)} of them differ{'s' * (len(losses) == 1)} between ranks",
        *_patterns(losses, _MOST),
        *_kept(losses),
        f"  bytes  {amount(save.memory)} in memory, {amount(save.written)} on disk",
        "  fix    pass DTensors: DTensor.from_local(tensor, mesh, [Shard(0)]) records which part each rank holds",
        "  CL402 plain-sharded-state explains this: a distributed checkpoint takes tensors of one name for replicas",
    ]


def _drifted(losses: list[Loss], reason: str, advice: str) -> list[str]:
    if not losses:
        return []
    what = "tensor is" if len(losses) == 1 else "tensors are"
    return [
        f"CHECKPOINT DRIFT: {len(losses)} {what} replicated {reason}, with other values on other ranks",
        *_patterns(losses, _MOST),
        *_kept(losses),
        f"  {advice}",
    ]


def _kept(losses: list[Loss]) -> Iterator[str]:
    """Which ranks' copies are written, and to which file."""
    kept = Counter((loss.kept, loss.position) for loss in losses if loss.kept is not None)
    survivors = ", ".join(
        f"{count} from rank {rank} (__{position}_0.distcp)" for (rank, position), count in sorted(kept.items())
    )
    yield f"  kept   {survivors or 'not known'}"


def _patterns(losses: list[Loss], most: int) -> Iterator[str]:
    """Names with their numbers taken out, the most frequent first, and an example of which rank holds what."""
    yield f"  names  {_names([loss.key[0] for loss in losses], most)}"
    loss = losses[0]
    sides = [
        f"{ranks_text(ranks)} {digest.dtype}{list(digest.sizes) if digest.kind != 'object' else ''} #{digest.crc or 0:08x}"
        for ranks, digest in loss.variants[:3]
    ]
    more = f"; and {len(loss.variants) - 3} more" if len(loss.variants) > 3 else ""
    yield f"  e.g.   {loss.key[0]}: {'; '.join(sides)}{more}"


def _names(names: list[str], most: int) -> str:
    patterns = Counter(_DIGITS.sub("*", name) for name in names)
    if len(patterns) == len(names):
        # As they are written.
        patterns = Counter(names)
    shown = [f"{name} ({count})" if count > 1 else name for name, count in patterns.most_common(most)]
    return ", ".join(shown) + (f", and {len(patterns) - most} more" if len(patterns) > most else "")


def as_dict(save: Save) -> dict[str, Any]:
    """As plain data, for the trace directory."""
    return {
        "path": save.path,
        "site": dict(save.site),
        "world_size": save.world_size,
        "wrong": save.is_wrong,
        "deduplicated": save.deduplicated,
        "bytes_in_memory": save.memory,
        "bytes_on_disk": save.written,
        "errors": save.errors,
        "notes": notes(save),
        "losses": [
            {
                "name": loss.key[0],
                "serious": loss.is_serious,
                "offset": list(loss.key[1]) if loss.key[1] is not None else None,
                "kind": loss.kind,
                "kept": loss.kept,
                "replicated_by": loss.replicated_by,
                "variants": [
                    {"ranks": list(ranks), "sizes": list(digest.sizes), "dtype": digest.dtype, "crc32": digest.crc}
                    for ranks, digest in loss.variants
                ],
            }
            for loss in save.losses
        ],
    }
