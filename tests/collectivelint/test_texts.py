"""Looking for words in the texts of a program: the same files are found however it is done, and each text is read a few times."""

from __future__ import annotations

from collections import Counter

from collectivelint.reach.texts import Texts

_CODE = {
    "a.py": b"def start(rank):\n    run(rank)",
    "b.py": b"restart = start_all\nxrun = 1",
    "c.py": "stärt = 'run'".encode(),
    "d.py": b"x.start()",
}


def test_many_words_are_found_where_one_is() -> None:
    alone = {word: Texts(_CODE, _CODE.__getitem__).files(word) for word in ("start", "run", "st", "x", "nowhere", "rt")}
    assert alone["start"] == ["a.py", "d.py"]
    texts = Texts(_CODE, _CODE.__getitem__)
    for number in range(100):
        assert texts.files(f"unknown{number}") == []
    assert {word: texts.files(word) for word in alone} == alone
    # No word of letters of which words are made: searched for as it is.
    assert texts.files("x.start") == ["d.py"]


def test_the_texts_are_not_read_for_each_word() -> None:
    read: Counter[str] = Counter()

    def code(path: str) -> bytes:
        read[path] += 1
        return _CODE[path]

    texts = Texts(_CODE, code)
    for number in range(1000):
        texts.files(f"word{number}")
    assert max(read.values()) < 50
