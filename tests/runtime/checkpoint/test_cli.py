"""The commands: what they print, and how they end."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime.checkpoint.checks import manifest
from collectivelint.runtime.checkpoint.cli import ckpt

from .conftest import module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

damages = module("damages").DAMAGES


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(ckpt, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def test_sound_and_damaged(copy: Callable[[str], Path]) -> None:
    folder = copy("tensor_parallel")
    code, out, _ = run("verify", folder)
    assert code == 0
    assert re.fullmatch(
        r"tensor_parallel: dcp, 5 tensors in 17 chunks of ranks 0-3, 6\.2 kB\n"
        r"Sound: torch\.distributed\.checkpoint, 5 tensors, 6\.2 kB, 4 of 4 files read in [0-9.]+ s\. Only a manifest could "
        r"show that all files come from one save\.\n",
        out,
    )
    damages["flipped_bit"](folder)
    code, out, _ = run("verify", folder)
    assert code == 1
    assert "error  CK102 [unreadable] up: its bytes in __1_0.distcp have the CRC-32" in out
    assert out.splitlines()[-1].startswith("1 error")
    code, out, _ = run("verify", "--json", folder)
    data = json.loads(out)
    assert (code, data["sound"], data["problems"][0]["code"]) == (1, False, "CK102")


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["diff", "."]])
def test_there_is_nothing(tmp_path: Path, command: list[str]) -> None:
    code, _, err = run(*command, tmp_path / "missing")
    assert code == 2
    assert "no such file" in err or "not a checkpoint" in err


def test_a_listing(made: Path) -> None:
    code, out, _ = run("inspect", made / "two_dimensions")
    assert code == 0
    lines = out.splitlines()
    assert lines[2].split("  ")[0] == "grid"
    assert lines[2].endswith("[0:4, 0:3] rank 0, [0:4, 3:6] rank 1, [4:8, 0:3] rank 2, [4:8, 3:6] rank 3")
    data = json.loads(run("inspect", "--json", made / "two_dimensions")[1])
    assert data["tensors"]["hybrid"]["chunks"][1] == {
        "offsets": [4, 0],
        "sizes": [4, 6],
        "rank": 3,
        "file": "__3_0.distcp",
    }


def test_a_comparison(made: Path) -> None:
    assert run("diff", made / "sizes" / "4", made / "sizes" / "4-as-2")[0] == 0
    code, out, _ = run("diff", made / "tensor_parallel", made / "tensor_parallel-later")
    assert code == 1
    assert out.splitlines()[0].startswith("values              up: 384 of 384 elements differ, by at most ")
    assert out.splitlines()[-1].startswith("2 tensors are the same, 3 differences")
    rows = json.loads(run("diff", "--json", made / "tensor_parallel", made / "tensor_parallel-later")[1])
    assert {row["first"] for row in rows} == {"up", "down", "tied"}


def test_a_damaged_tensor_is_not_the_same(made: Path, copy: Callable[[str], Path]) -> None:
    # Both files hold the checksum of the values that were written.
    folder = copy("tensor_parallel")
    damages["flipped_bit"](folder)
    for pair, which in (((made / "tensor_parallel", folder), "second"), ((folder, made / "tensor_parallel"), "first")):
        code, out, error = run("diff", *pair)
        assert (code, "but were written with" in error) == (1, True)
        assert out.splitlines()[0] == f"unreadable          up: damaged in the {which}"
        assert out.splitlines()[-1].startswith("4 tensors are the same, 1 difference,")


def test_the_page(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("tensor_parallel")
    damages["flipped_bit"](folder)
    damages["temporary"](folder)
    page = tmp_path / "map.html"
    assert run("verify", "--html", page, folder)[0] == 1
    text = page.read_text()
    # It works without anything else.
    assert not re.search(r'(src|href)="|url\(|@import|https?://(?!www\.w3\.org)', text)
    data = data_of(text)
    first = data["tensors"][0]
    assert (first["name"], first["shape"]) == ("up", [32, 12])
    assert [chunk[4] for chunk in first["chunks"]].count("error") == 1
    assert "CK103" in [row[0] for row in data["general"]]


def test_the_page_cannot_be_broken_by_a_name(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    page = tmp_path / "map.html"
    assert run("inspect", "--html", page, file)[0] == 0
    assert page.read_text().count("</script>") == 2
    assert data_of(page.read_text())["tensors"][0]["name"] == name


def test_a_manifest_is_written_for_what_is_sound(copy: Callable[[str], Path]) -> None:
    folder = copy("sizes/2")
    assert run("verify", "--write-manifest", folder)[0] == 0
    assert manifest.read(folder / manifest.NAME)["tensors"]["up"]["shape"] == [32, 12]
    assert run("verify", folder)[0] == 0
    shutil.copy(folder / "__0_0.distcp", folder / "__1_0.distcp")
    (folder / manifest.NAME).unlink()
    assert run("verify", "--write-manifest", folder)[0] == 1
    assert not (folder / manifest.NAME).exists()


def test_declared_names(copy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values outside of their rank's range are not found by themselves, but they can be named."""
    import torch

    folder = tmp_path / "ranks"
    folder.mkdir()
    for rank in range(2):
        torch.save({"table.slots": torch.arange(8) + 100 * rank}, folder / f"rank_{rank}.pt")
    monkeypatch.chdir(tmp_path)
    assert run("verify", "--world-size", 4, folder)[0] == 0
    (tmp_path / "collectivelint.toml").write_text('per-rank-tensors = ["table.*"]\n')
    code, out, _ = run("verify", "--world-size", 4, folder)
    assert code == 1
    assert "CK401 [resharding] table.slots" in out


def test_a_page_that_cannot_be_written_is_named(copy: Callable[[str], Path], tmp_path: Path) -> None:
    page = tmp_path / "missing" / "page.html"
    folder = copy("tensor_parallel")
    for command in ("inspect", "verify"):
        code, _, err = run(command, folder, "--html", page)
        assert (code, err) == (2, f"error: {page}: No such file or directory\n")


def test_what_is_no_checkpoint_is_named_once(copy: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = run("verify", tmp_path / "empty")
    assert (code, out, err.count("empty")) == (2, "", 1)
    assert "not a checkpoint: neither" in err
    _, out, _ = run("verify", copy("tensor_parallel"), "--consolidated", tmp_path / "nope")
    assert f"{tmp_path}/nope: no such file or directory" in out
    assert out.count("nope") == 1, out


@pytest.mark.parametrize("words", [["verify", ""], ["inspect", ""], ["diff", ".", ""], ["verify", ".", "--html", ""]])
def test_a_name_that_is_empty(words: list[str]) -> None:
    code, _, err = run(*words)
    assert code == 2
    assert "the name is empty" in err
