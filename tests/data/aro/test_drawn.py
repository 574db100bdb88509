"""Shuffled captions are drawn once, saved, found again, and told by their hash."""

import json
from hashlib import sha256

import pytest

from vlft.data.aro.drawn import RIGHT, WRONG, Captioned, drawn_options
from vlft.data.aro.shuffles import Tagged
from vlft.errors import DataError


class Words:
    """Tags every word as a noun, and counts how often it is asked."""

    def __init__(self, identity="words"):
        self.identity, self.asked = identity, 0

    def tag(self, captions):
        self.asked += 1
        found = [tuple(caption.split()) for caption in captions]
        return [Tagged(tokens, ("NN",) * len(tokens), tokens) for tokens in found]


CASES = [Captioned(f"{n}.png", f"One two three {n} five six seven.") for n in range(5)]


def draw(cases=CASES, tagger=None, seed=1):
    return drawn_options(cases, tagger=tagger or Words(), seed=seed, name="folder/set.json")


def test_options_are_cleaned_and_the_right_one_comes_first():
    for case, options in zip(CASES, draw().options, strict=True):
        assert options[0] == case.caption.lower().rstrip(".")
        assert len(options) == 5
        assert sorted(options[1].split()) == sorted(options[0].split())


def test_draws_are_saved_as_rows_that_can_be_passed_on_and_not_drawn_again(cache):
    tagger = Words()
    first, again = draw(tagger=tagger), draw(tagger=tagger)
    assert (first, tagger.asked) == (again, 1)
    (rows,) = (cache / "aro").glob("*.jsonl")
    assert rows.name.startswith("set-")
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [list(line) for line in lines] == [["image", RIGHT, *WRONG]] * 5
    assert [tuple(line[key] for key in (RIGHT, *WRONG)) for line in lines] == first.options
    digest = sha256(rows.read_bytes()).hexdigest()
    assert first.facts == f"sha256-{digest[:12]}, seed 1, words"
    about = json.loads(rows.with_suffix(".json").read_text())
    assert (about["sha256"], about["cases"], about["tagger"]) == (digest, 5, "words")


def test_another_seed_tagger_or_order_is_another_draw(cache):
    first = draw()
    others = [draw(seed=2), draw(tagger=Words("other")), draw(CASES[::-1])]
    assert len({first.facts, *(other.facts for other in others)}) == 4
    assert first.options != others[0].options
    assert first.options == others[1].options  # the same tokens, under another name
    assert len([*(cache / "aro").glob("*.jsonl")]) == 4


def test_a_damaged_file_is_drawn_again(cache):
    first = draw()
    (rows,) = (cache / "aro").glob("*.jsonl")
    rows.write_text(rows.read_text().replace("one", "won", 1))
    assert draw() == first
    rows.with_suffix(".json").write_text("{")
    assert draw() == first
    assert [path.name[0] for path in (cache / "aro").iterdir()] == ["s", "s"]


def test_a_folder_that_cannot_be_written_is_named(cache):
    cache.write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be saved in .*cache/aro .*VLFT_CACHE"):
        draw()
