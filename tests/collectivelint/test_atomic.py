"""A file is written at once or not at all, and no link leads a write out of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectivelint.atomic import write
from collectivelint.printable import printable


def test_keeps_the_mode_and_leaves_no_temporary(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    file.chmod(0o640)
    write(file, "one\r\ntwo\n")
    assert file.read_bytes() == b"one\r\ntwo\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_named_link_leads_to_its_file_and_a_name_of_ours_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    link = tmp_path / "link"
    link.symlink_to("target")
    write(link, "named")
    assert (link.is_symlink(), (tmp_path / "target").read_text()) == (True, "named")
    write(link, "ours", follow=False)
    assert (link.is_symlink(), link.read_text(), (tmp_path / "target").read_text()) == (False, "ours", "named")


@pytest.mark.parametrize("follow", [True, False])
def test_a_link_to_nothing_is_not_followed(tmp_path: Path, follow: bool) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    if follow:
        with pytest.raises(FileNotFoundError, match="does not exist"):
            write(link, "x")
    else:
        write(link, "x", follow=False)
        assert not link.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_device_that_was_named_is_written_to(tmp_path: Path) -> None:
    write(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()


def test_a_failing_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(file, "new")
    assert (file.read_text(), [file.name for file in tmp_path.iterdir()]) == ("old", ["a.txt"])


def test_escapes_of_a_terminal_become_text() -> None:
    assert (
        printable("a\x1b]0;title\x07b\tc\nd\x9b2J\u202e\ud800é→") == "a\\x1b]0;title\\x07b\tc\nd\\x9b2J\\u202e\\ud800é→"
    )


def test_characters_that_move_or_end_a_line_are_shown() -> None:
    assert printable("a\u061cb\u2028c\u2029d") == "a\\u061cb\\u2028c\\u2029d"
