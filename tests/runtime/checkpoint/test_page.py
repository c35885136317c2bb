"""The map: what is damaged is drawn as such, and found by the filter. In a browser where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.page import of_report

from .conftest import module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

damages = module("damages")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Damage -> the class it is drawn with, and the tensors that have it.
DRAWN = {
    "missing": ("missing", {"up", "down", "tied", "fresh", "bias"}),
    "truncated": ("unreadable", {"tied", "fresh", "bias"}),
    "flipped_bit": ("damaged", {"up"}),
    "hole": ("hole", {"up"}),
}


def _page(folder: Path) -> Path:
    report = audit(folder, Wanted())
    assert report.checkpoint is not None
    page = folder.parent / "map.html"
    page.write_text(of_report(report, report.checkpoint))
    return page


def _shown(page: Path, hash_: str = "") -> str:
    """The document after its script has run."""
    assert BROWSER is not None
    profile = page.parent / "profile"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom"]
    ran = subprocess.run([BROWSER, *flags, f"{page.as_uri()}{hash_}"], capture_output=True, text=True, timeout=120)
    assert "</html>" in ran.stdout, ran.stderr
    return ran.stdout


def _cards(document: str) -> dict[str, str]:
    """The drawn tensors by name, as HTML."""
    cards = re.findall(r"<article.*?</article>", re.sub(r"<wbr[^>]*>", "", document), re.S)
    return {match[1]: card for card in cards if (match := re.search(r"<h2[^>]*>([^<]*)</h2>", card))}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("damage", DRAWN)
def test_damage_is_drawn_and_found(copy: Callable[[str], Path], damage: str) -> None:
    folder = copy("tensor_parallel")
    getattr(damages, damage)(folder)
    kind, tensors = DRAWN[damage]
    cards = _cards(_shown(_page(folder), "#problems"))
    drawn = {name for name, card in cards.items() if re.search(rf'class="bad {kind}"', card)}
    assert drawn == tensors
    assert {name for name, card in cards.items() if "hidden" not in card.partition(">")[0]} == tensors
    assert all('class="error"' in cards[name] for name in tensors)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_nothing_is_marked_on_a_sound_one(copy: Callable[[str], Path]) -> None:
    document = _shown(_page(copy("tensor_parallel")), "#problems")
    assert 'class="bad' not in document
    assert "0 of 5 tensors" in document
    assert "Sound: torch.distributed.checkpoint, 5 tensors" in document


def test_chunks_of_a_missing_file_are_marked(copy: Callable[[str], Path]) -> None:
    folder = copy("tensor_parallel")
    damages.missing(folder)
    text = _page(folder).read_text()
    assert text.count('"__1_0.distcp","missing"') == 5
    assert '"__1_0.distcp",""' not in text
