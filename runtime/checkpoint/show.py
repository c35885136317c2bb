"""Formats audits, listings and comparisons as text and as plain data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from collectivelint.printable import printable

from ..quantities import amount, ranks_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .audit import Report, Wanted
    from .checks.diff import Difference
    from .model import Checkpoint, Chunk, Problem, Tensor

#: What each check is called, and what it says in a line.
CODES: Final = {
    "CK101": ("metadata", "the metadata are there, and can be read"),
    "CK102": ("unreadable", "every chunk is there, has the bytes it was written with, and shares them with no other"),
    "CK103": ("files", "no file is missing beside its kin, and none is left over"),
    "CK104": ("unsafe", "pickles import and call only what is on the list of what is allowed"),
    "CK201": ("coverage", "the chunks of each tensor tile it: no hole, no overlap"),
    "CK202": ("stored-otherwise", "what is stored has the dtype and sizes that the metadata say"),
    "CK203": ("same-twice", "different chunks of a tensor hold different bytes"),
    "CK204": ("odd-values", "no NaN or Inf, and no chunk that is one number while others are not"),
    "CK205": ("torn-save", "all files are of one save, and each of one rank"),
    "CK301": ("optimizer", "every parameter has its optimizer state, of the same shape and step"),
    "CK302": ("consolidated", "the consolidated file is what the shards make"),
    "CK303": ("manifest", "the files are those that the save wrote"),
    "CK401": ("resharding", "values that belong to a rank still do with another number of ranks"),
}
#: Lines for one code, before the rest is counted.
_MOST: Final = 12


def text(report: Report, wanted: Wanted) -> Iterator[str]:
    """The report as lines: problems with errors first, what was not read, and a verdict."""
    if report.checkpoint is not None:
        yield headline(report.checkpoint)
    shown: Counter[tuple[str, str]] = Counter()
    for problem in report.problems:
        key = (problem.code, problem.severity)
        shown[key] += 1
        if shown[key] <= _MOST:
            yield line(problem)
    for (code, severity), count in shown.items():
        if count > _MOST:
            yield f"{severity:<5}  {code} [{CODES[code][0]}] and {count - _MOST} more of these (--json has all)"
    for item in report.coverage.unread:
        yield row(f"unread {item.where}: {item.why}")
    for folder in report.coverage.apart:
        yield row(f"apart  {folder}: a separate checkpoint, not verified here")
    if report.is_sound and wanted.consolidated is not None:
        yield row(f"Compared with {wanted.consolidated}: no errors.")
    if report.is_sound and wanted.world_size is not None:
        yield f"Checked for loading by {wanted.world_size} rank{'s' * (wanted.world_size != 1)}: no errors."
    yield verdict(report)


def verdict(report: Report) -> str:
    """The verdict: `Sound: DeepSpeed ZeRO-3 (world size 4), 291 tensors, 2.1 GB, 4 of 4 files read in 1.20 s.`"""
    errors = sum(problem.severity == "error" for problem in report.problems)
    notes = len(report.problems) - errors
    parts = [f"{count} {word}{'s' * (count != 1)}" for count, word in ((errors, "error"), (notes, "note")) if count]
    sound = "Sound" if report.is_complete else "Sound as far as read"
    found = ", ".join(parts if errors else [sound, *parts])
    if report.checkpoint is None:
        return f"{found}."
    covered = report.coverage
    files = f"{covered.files_read} of {covered.files} file{'s' * (covered.files != 1)}"
    read = f"{files} read" if report.read or not covered.bytes else f"headers of {files} read"
    tensors = f"{covered.tensors} tensor{'s' * (covered.tensors != 1)}"
    text = f"{found}: {report.layout}, {tensors}, {amount(covered.bytes)}, {read} in {report.seconds:.2f} s."
    if covered.one_save == "cannot be told" and not errors:
        text += " Only a manifest could show that all files come from one save."
    return text


def line(problem: Problem) -> str:
    """A problem in a line."""
    return row(f"{problem.severity:<5}  {problem.code} [{CODES[problem.code][0]}] {problem.where}: {problem.text}")


def row(text: str) -> str:
    """Text with names from files as one line, without terminal control characters."""
    return printable(text).replace("\n", r"\n")


def headline(checkpoint: Checkpoint) -> str:
    """`step_100: dcp, 180 tensors in 360 chunks of ranks 0-1, 1.1 GB`."""
    chunks = sum(len(tensor.chunks) for tensor in checkpoint.tensors.values())
    ranks = sorted({rank for tensor in checkpoint.tensors.values() for rank in tensor.ranks})
    of = f" of {ranks_text(ranks)}" if ranks else ""
    objects = f", {count} other value{'s' * (count != 1)}" if (count := len(checkpoint.objects)) else ""
    return row(
        f"{checkpoint.path.name or checkpoint.path}: {checkpoint.format}, {len(checkpoint.tensors)} tensor{'s' * (len(checkpoint.tensors) != 1)} in {chunks} "
        f"chunk{'s' * (chunks != 1)}{of}{objects}, {amount(checkpoint.bytes)}"
    )


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    checkpoint = report.checkpoint
    return {
        "sound": report.is_sound,
        "complete": report.is_complete,
        "path": str(checkpoint.path) if checkpoint is not None else None,
        "format": checkpoint.format if checkpoint is not None else None,
        "layout": report.layout.name if report.layout is not None else None,
        "world_size": report.layout.world_size if report.layout is not None else None,
        "tensors": report.coverage.tensors,
        "bytes": report.coverage.bytes,
        "files": report.coverage.files,
        "files_read": report.coverage.files_read,
        "unread": [{"where": item.where, "why": item.why} for item in report.coverage.unread],
        "apart": list(report.coverage.apart),
        "one_save": report.coverage.one_save,
        "chunks": report.chunks,
        "bytes_read": report.read,
        "seconds": report.seconds,
        "problems": [
            {
                "code": problem.code,
                "name": CODES[problem.code][0],
                "severity": problem.severity,
                "where": problem.where,
                "text": problem.text,
                "chunks": list(problem.chunks),
            }
            for problem in report.problems
        ],
    }


# --------------------------------------------------------------------------------------------------------- listing


def listing(checkpoint: Checkpoint) -> Iterator[str]:
    """The lines for each tensor (dtype, shape, size, chunks) and each file, of all parts; then what is not read."""
    for unit in (checkpoint, *checkpoint.beside):
        yield headline(unit)
        yield ""
        width = min(60, max(map(len, unit.tensors), default=0))
        for name, tensor in unit.tensors.items():
            shape = f"{tensor.dtype}{list(tensor.shape)}"
            yield row(f"{name:<{width}}  {shape:<28} {amount(tensor.bytes):>9}  {coverage(tensor)}")
        for name in unit.objects:
            yield row(f"{name:<{width}}  (no tensor)")
        yield ""
        for name, size in unit.files.items():
            yield row(f"{amount(size):>9}  {name}")
        yield from (row(f"{'unread':>9}  {item.where}: {item.why}") for item in unit.unread)
        if unit is not checkpoint or checkpoint.beside:
            yield ""


def coverage(tensor: Tensor) -> str:
    """Which part of the first sharded dimension is whose: `[0:4096] rank 0, [4096:8192] rank 1`."""
    if len(tensor.chunks) == 1:
        return _who(tensor.chunks[0])
    apart = [
        d for d in range(len(tensor.shape)) if len({chunk.offsets[d] for chunk in tensor.chunks if chunk.offsets}) > 1
    ]
    parts = [f"{_place(chunk, apart)} {_who(chunk)}" for chunk in tensor.chunks[:4]]
    more = f", and {len(tensor.chunks) - 4} more" if len(tensor.chunks) > 4 else ""
    return ", ".join(parts) + more


def _place(chunk: Chunk, apart: Sequence[int]) -> str:
    parts = [
        f"{offset}:{offset + size}" if d in apart else ":"
        for d, (offset, size) in enumerate(zip(chunk.offsets, chunk.sizes, strict=False))
    ]
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return f"[{', '.join(parts)}]"


def _who(chunk: Chunk) -> str:
    return (
        f"rank {chunk.rank}" if chunk.rank is not None else chunk.piece.file if chunk.piece is not None else "nowhere"
    )


def listed(checkpoint: Checkpoint) -> dict[str, Any]:
    """The listing as plain data."""
    return {
        "path": str(checkpoint.path),
        "format": checkpoint.format,
        "save_id": checkpoint.save_id or None,
        "tensors": {
            name: {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "bytes": tensor.bytes,
                "chunks": [
                    {
                        "offsets": list(chunk.offsets),
                        "sizes": list(chunk.sizes),
                        "rank": chunk.rank,
                        "file": chunk.piece.file if chunk.piece is not None else None,
                    }
                    for chunk in tensor.chunks
                ],
            }
            for name, tensor in checkpoint.tensors.items()
        },
        "objects": sorted(checkpoint.objects),
        "files": dict(checkpoint.files),
        "unread": [{"where": item.where, "why": item.why} for item in checkpoint.unread],
        "beside": [listed(unit) for unit in checkpoint.beside],
    }


# ------------------------------------------------------------------------------------------------------ comparison


def differences(found: Sequence[Difference], first: Checkpoint, second: Checkpoint, how: str) -> Iterator[str]:
    """The lines for each difference; `how` says how names were matched."""
    for item in found[:200]:
        names = item.first if item.first == item.second else " / ".join(filter(None, (item.first, item.second)))
        yield row(f"{item.kind:<18}  {names or 'all tensors'}: {item.text}")
    if len(found) > 200:
        yield f"and {len(found) - 200} more (--json has all)"
    if [item.kind for item in found] == ["cannot be compared"] and not found[0].first:
        yield row(f"Nothing was compared ({first.path} and {second.path})")
        return
    units = (first, *first.beside) if second.beside else (first,)
    same = sum(len(unit.tensors) for unit in units)
    # A tensor of another dtype may have other values as well.
    same -= sum({(item.first, item.tensors): item.tensors for item in found if item.first or item.tensors > 1}.values())
    counts = (same, "tensor"), (len(found), "difference")
    tensors, differ = (f"{count} {word}{'s' * (count != 1)}" for count, word in counts)
    yield row(
        f"{tensors} {'is' if same == 1 else 'are'} the same, {differ}, compared {how} ({first.path} and {second.path})"
    )
