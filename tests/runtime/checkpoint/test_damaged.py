"""Each kind of damage is named, by its code and in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.checkpoint.audit import Wanted, audit, opened
from collectivelint.runtime.checkpoint.checks import constant, manifest
from collectivelint.runtime.checkpoint.model import NoCheckpointError

from .conftest import codes, looked, module

if TYPE_CHECKING:
    from collections.abc import Callable

damages = module("damages").DAMAGES

#: Damage -> code, and words of what is said.
EXPECTED = {
    "truncated": ("CK102", ("__1_0.distcp", "this chunk ends at")),
    "missing": ("CK102", ("__1_0.distcp", "No such file")),
    "swapped": ("CK102", ("__0_0.distcp", "cannot be read")),
    "flipped_bit": ("CK102", ("up", "but were written with")),
    "zeroed_page": ("CK102", ("down", "but were written with")),
    "aliased": ("CK102", ("up", "both point at byte")),
    "torn": ("CK205", ("__0_0.distcp", "behind the last chunk")),
    "rank_gap": ("CK201", ("up", "no chunk has [8:16, :] of [32, 12]")),
    "left_over": ("CK103", ("__7_0.distcp", "no tensor refers to this file")),
    "temporary": ("CK103", (".metadata.tmp", "a temporary file")),
    "no_metadata": ("CK101", ("no .metadata",)),
    "overlap": ("CK201", ("up", "overlap")),
    "hole": ("CK201", ("up", "no chunk has [32:40, :] of [40, 12]")),
    "wrong_dtype": ("CK202", ("up", "the metadata say float16, the file has float32")),
    "gadget": ("CK101", ("`posix.system`", "nothing of it was run")),
    "outside": ("CK102", ("up", "outside of the checkpoint")),
    "absurd": ("CK102", ("this chunk ends at",)),
}


def test_every_damage_is_tried() -> None:
    assert set(EXPECTED) | {"mixed", "not_a_number"} == set(damages)


def test_what_is_no_number_is_a_note(copy: Callable[[str], Path]) -> None:
    folder = copy("tensor_parallel")
    damages["not_a_number"](folder)
    assert [(p.code, p.where, p.text) for p in looked(folder).problems] == [("CK204", "up", "holds NaN or Inf")]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_damage(copy: Callable[[str], Path], name: str) -> None:
    folder = copy("tensor_parallel")
    damages[name](folder)
    report = looked(folder)
    code, words = EXPECTED[name]
    assert code in codes(report), [problem.text for problem in report.problems]
    lines = [f"{problem.where}: {problem.text}" for problem in report.problems if problem.code == code]
    assert any(all(word in line for word in words) for line in lines), lines
    assert not Path("/tmp/ranit").exists()


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"flipped_bit", "zeroed_page"}))
def test_headers_alone_are_enough_for_most(copy: Callable[[str], Path], name: str) -> None:
    folder = copy("tensor_parallel")
    damages[name](folder)
    assert EXPECTED[name][0] in codes(looked(folder, headers_only=True))


def test_two_saves_mixed_are_told_by_the_manifest(copy: Callable[[str], Path]) -> None:
    """One new shard beside old ones, and every CRC-32 is right: nothing else could know."""
    folder, _ = copy("tensor_parallel"), copy("tensor_parallel-later")
    damages["mixed"](folder)
    later = (folder / ".metadata").stat().st_mtime + 60
    os.utime(folder / "__1_0.distcp", (later, later))
    report = looked(folder)
    assert (codes(report), codes(report, "note")) == ([], ["CK205"])

    folder.rename(folder.with_name("mixed"))
    folder = copy("tensor_parallel")
    with opened(folder) as (side, _):
        manifest.write(folder, manifest.make(side, {"world_size": 4}))
    assert looked(folder).problems == []
    damages["mixed"](folder)
    report = looked(folder)
    assert codes(report) == ["CK303"]
    wrong = [problem for problem in report.problems if problem.code == "CK303"]
    assert {problem.where for problem in wrong} == {"up", "down", "tied"}
    assert "the chunk at [8, 0] in __1_0.distcp is not the one that was saved" in {p.where: p.text for p in wrong}["up"]


def test_a_manifest_of_another_save(copy: Callable[[str], Path], made: Path) -> None:
    folder = copy("fsdp")
    with opened(folder) as (side, _):
        written = manifest.make(side, {})
    written["tensors"]["model.0.bias"]["chunks"][1][2] = "00000000"
    written["tensors"]["model.2.bias"]["shape"] = [13]
    written["tensors"]["gone"] = dict(written["tensors"]["model.2.bias"])
    del written["tensors"]["model.0.weight"]
    manifest.write(folder, {**written, "save_id": "another"})
    texts = sorted(problem.text for problem in looked(folder, headers_only=True).problems if problem.code == "CK303")
    assert [text.split(",")[0][:46] for text in texts] == [
        "the chunk at [8] in __1_0.distcp is not the on",
        "the metadata are of an earlier save than the m",
        "was not part of the save that the manifest is ",
        "was saved as float32[13]",
        "was saved",
    ]


def test_a_manifest_that_nobody_wrote_again(copy: Callable[[str], Path], made: Path) -> None:
    """A later save into the same folder, not under the tracer: that is no damage."""
    folder = copy("tensor_parallel")
    with opened(folder) as (side, _):
        manifest.write(folder, manifest.make(side, {}))
    for file in (made / "tensor_parallel-later").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    report = looked(folder)
    assert report.is_sound
    assert [(problem.code, problem.severity) for problem in report.problems] == [("CK303", "note")]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tensors": {}, "collectivelint": 9}', '{"tensors": [1]}'])
def test_a_manifest_that_is_none(copy: Callable[[str], Path], text: str) -> None:
    folder = copy("later")
    (folder / manifest.NAME).write_text(text)
    report = looked(folder)
    assert not report.is_sound
    assert manifest.NAME in report.problems[0].text


def test_nan_and_constant_chunks_are_notes(copy: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    bad = torch.ones(3000)
    bad[1234] = float("nan")
    infinite = torch.ones(3000, dtype=torch.bfloat16)
    infinite[1] = float("-inf")
    save_file({"bad": bad, "infinite": infinite, "good": torch.arange(3000)}, tmp_path / "model.safetensors")
    report = looked(tmp_path / "model.safetensors")
    assert [(problem.code, problem.where, problem.severity) for problem in report.problems] == [
        ("CK204", "bad", "note"),
        ("CK204", "infinite", "note"),
    ]


# -------------------------------------------------------------------------------------------------- consolidated files


@pytest.mark.parametrize(
    ("shards", "file", "where", "text"),
    [
        ("tensor_parallel", "rank0", "up", "holds only rank 0's rows 0..7 of 32"),
        ("tensor_parallel", "rank0", "down", "holds only rank 0's columns 0..7 of 32"),
        ("tensor_parallel", "same", "up", "all 4 parts are the same: rank 0's [0, 0]"),
        ("tensor_parallel", "order", "up", "has the shards in the wrong order: 3, 2, 1, 0"),
        ("hand_made", "whole", "up", "the checkpoint holds only rows "),
        ("hand_made-ranks", "rank0", "up", "holds what rank 0 has; the 4 ranks hold different values"),
        ("hand_made-ranks", "same", "down", "all 4 parts are the same"),
        ("hand_made-ranks", "order", "up", "has the shards in the wrong order"),
    ],
)
def test_what_a_consolidated_file_really_holds(made: Path, shards: str, file: str, where: str, text: str) -> None:
    report = looked(made / shards, headers_only=True, consolidated=made / f"hand_made-{file}.safetensors")
    found = {problem.where: problem.text for problem in report.problems if problem.code == "CK302"}
    assert found[where].startswith(text)


def test_files_of_ranks_and_the_file_made_of_them(made: Path) -> None:
    report = looked(made / "hand_made-ranks", consolidated=made / "hand_made-whole.safetensors")
    assert report.problems == []


def test_a_rank_whose_file_is_missing(copy: Callable[[str], Path]) -> None:
    folder = copy("hand_made-ranks")
    (folder / "rank_2_model.pt").unlink()
    report = looked(folder)
    assert [(problem.code, problem.text) for problem in report.problems] == [
        ("CK103", "no file of rank 2, though there is one of rank 3")
    ]


def test_a_consolidated_file_of_something_else(made: Path) -> None:
    report = looked(made / "two_dimensions", consolidated=made / "fsdp.safetensors")
    assert codes(report) == ["CK302"]


# ---------------------------------------------------------------------------------------------------------- resharding


@pytest.mark.parametrize(
    ("saved", "world", "is_safe"), [("2", 4, False), ("2", 1, True), ("6", 4, False), ("6", 3, True), ("6", 6, True)]
)
def test_values_that_belong_to_a_rank(made: Path, saved: str, world: int, is_safe: bool) -> None:
    report = looked(made / "slots" / saved, headers_only=True, world_size=world)
    (found,) = [problem for problem in report.problems if problem.where.startswith("table.mapping")]
    assert (found.code, found.severity) == ("CK401", "note" if is_safe else "error")
    assert f"safe by position: {'1, 2' if saved == '2' else '1, 2, 3, 6'}" in found.text
    if not is_safe:
        assert f"cut by position for {world}, rank 0 gets" in found.text


def test_what_does_not_divide_is_a_note(made: Path) -> None:
    report = looked(made / "odd", headers_only=True, world_size=3)
    assert [(problem.code, problem.severity) for problem in report.problems] == [("CK401", "note")]


# -------------------------------------------------------------------------------------------------------- nothing there


def test_paths_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "missing"):
        with pytest.raises(NoCheckpointError):
            audit(path, Wanted())
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 and no more")
    assert codes(audit(tmp_path / "model.pt", Wanted())) == ["CK101"]
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    assert codes(audit(tmp_path / "model.safetensors", Wanted())) == ["CK101"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
@pytest.mark.parametrize(("where", "code"), [("values", "up"), ("anywhere", "__1_0.distcp")])
def test_a_disk_that_does_not_give_them_back(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, where: str, code: str
) -> None:
    """Everything else is looked at none the less. The disk is made up: what the system calls say is not."""
    # Smaller ones are never asked whether they are one number throughout.
    monkeypatch.setattr(constant, "ENDS", 16)
    folder = copy("tensor_parallel")
    with opened(folder) as (side, _):
        chunks = side.checkpoint.tensors["up"].chunks
        index = next(n for n, chunk in enumerate(chunks) if chunk.piece is not None and "__1_0" in chunk.piece.file)
        bad = side.values[("up", index)].storage
    (folder / "__7_0.distcp").write_bytes(b"x")
    preadv, pread = os.preadv, os.pread

    def fails(fd: int, begin: int, end: int) -> None:
        is_hit = where == "anywhere" or begin <= bad.offset + 10 < end
        if is_hit and Path(f"/proc/self/fd/{fd}").readlink().name == bad.file:
            raise OSError(5, "Input/output error")

    def reads(fd: int, buffers: list[memoryview], at: int) -> int:
        fails(fd, at, at + sum(map(len, buffers)))
        return preadv(fd, buffers, at)

    def reads_one(fd: int, length: int, at: int) -> bytes:
        if where == "anywhere":
            fails(fd, at, at + length)
        return pread(fd, length, at)

    monkeypatch.setattr(os, "preadv", reads)
    monkeypatch.setattr(os, "pread", reads_one)
    problems = looked(folder).problems
    assert {"CK102", "CK103"} <= {problem.code for problem in problems}
    (problem,) = (problem for problem in problems if "Input/output error" in problem.text)
    assert (problem.code, problem.where) == ("CK102", code)
