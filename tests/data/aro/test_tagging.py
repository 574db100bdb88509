"""Tokens and tags from a file, or from spaCy and NLTK as upstream calls them."""

import importlib.metadata
import json
import sys
from types import SimpleNamespace

import pytest

from vlft.data.aro import tagging
from vlft.data.aro.tagging import MODEL, FileTagger, SpacyTagger, tagger_of
from vlft.errors import DataError, RecordError

LINE = {"caption": "A dog.", "tokens": ["A", "dog", "."], "tags": ["DT", "NN", "."]}


@pytest.fixture
def tags(tmp_path):
    def write(*lines):
        path = tmp_path / "mine.tags.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def installed(monkeypatch):
    """Pretend that packages are there, with these versions, or not."""

    def install(**versions):
        def version(package):
            if package in versions:
                return versions[package]
            raise importlib.metadata.PackageNotFoundError(package)

        def pipe(captions):
            for caption in captions:
                yield [SimpleNamespace(text=word, tag_="NN") for word in caption.split()]

        def load(name):
            assert name == MODEL
            return SimpleNamespace(pipe=pipe)

        monkeypatch.setattr(tagging.importlib.metadata, "version", version)
        monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
        split = SimpleNamespace(word_tokenize=lambda text: list(text.replace(" ", "")))
        monkeypatch.setitem(sys.modules, "nltk", split if "nltk" in versions else None)

    return install


def test_a_file_gives_tokens_tags_and_words(tags):
    other = LINE | {"caption": "A cat.", "words": ["A", "cat."]}
    tagger = FileTagger(tags(LINE, other))
    cat, dog = tagger.tag(["A cat.", "A dog."])
    assert (dog.tokens, dog.tags, dog.words) == (("A", "dog", "."), ("DT", "NN", "."), dog.tokens)
    assert cat.words == ("A", "cat.")
    assert tagger.identity.startswith("tokens and tags of mine.tags.jsonl (sha256-")


def test_the_identity_follows_the_content(tags):
    before = FileTagger(tags(LINE)).identity
    assert FileTagger(tags(LINE)).identity == before
    assert FileTagger(tags(LINE | {"tags": ["DT", "NNP", "."]})).identity != before


def test_a_caption_that_is_not_in_the_file_is_named(tags):
    with pytest.raises(DataError, match=r'1 of 2 captions are not in it \(first: "A cow\."\)'):
        FileTagger(tags(LINE)).tag(["A dog.", "A cow."])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": ["DT"]}, r"line 2: found 3 `tokens` and 1 `tags`"),
        ({"tokens": "A dog."}, r"line 2: field `tokens`: found \"A dog\.\", expected a list"),
        ({"tags": ["DT", 3, "."]}, r"line 2: field `tags`: found 3, expected text"),
        ({"caption": None}, r"line 2: field `caption`: found null, expected text"),
    ],
)
def test_a_bad_line_is_named(tags, changes, message):
    with pytest.raises(RecordError, match=message):
        FileTagger(tags(LINE, LINE | changes))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl' does not exist"):
        tagger_of(tmp_path / "gone.jsonl")


@pytest.mark.parametrize(
    ("versions", "missing"), [({}, "spacy"), ({"spacy": "3.8"}, f"its model {MODEL}")]
)
def test_without_a_tagger_the_message_says_three_ways_out(installed, versions, missing):
    installed(**versions)
    with pytest.raises(DataError) as caught:
        tagger_of(None)
    text = str(caught.value)
    assert f"and {missing} is missing" in text
    assert "pip install spacy nltk && python -m spacy download en_core_web_sm" in text
    assert "the ending .tags.jsonl" in text
    assert "`hard_text_4`" in text
    assert "\n" not in text


def test_spacy_gives_tokens_and_nltk_the_words(installed):
    installed(spacy="3.8", nltk="3.9", **{MODEL: "3.8.0"})
    tagger = tagger_of(None)
    assert tagger.identity == f"spaCy 3.8 with {MODEL} 3.8.0, words of NLTK 3.9"
    (found,) = tagger.tag(["ab c"])
    assert (found.tokens, found.tags, found.words) == (("ab", "c"), ("NN", "NN"), ("a", "b", "c"))


def test_without_nltk_the_tokens_serve_for_both_and_that_is_said(installed):
    installed(spacy="3.8", **{MODEL: "3.8.0"})
    tagger = SpacyTagger()
    assert tagger.identity.endswith("words of spaCy")
    assert tagger.tag(["ab c"])[0].words == ("ab", "c")
