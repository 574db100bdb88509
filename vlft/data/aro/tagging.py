"""Where tokens and tags come from: a file that the user gives, or spaCy as upstream.

The taggers are downloads, so none of them is needed: whoever has the tokens can write them down.
"""

import importlib
import importlib.metadata
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vlft.data.aro.shuffles import Tagged
from vlft.data.readers.fields import Place, shown
from vlft.data.sources.json_rows import json_lines
from vlft.data.sources.paths import existing_file
from vlft.errors import DataError

MODEL = "en_core_web_sm"
"""The spaCy model that upstream loads."""

ADVICE = (
    "tokens and tags are needed for their shuffles: pip install spacy nltk && python -m spacy "
    f"download {MODEL}; or lay JSON Lines with `caption`, `tokens` and `tags` beside the data, of "
    "the same name with the ending .tags.jsonl; or take rows that hold their shuffles "
    "(`correct_caption`, `hard_text_1` to `hard_text_4`), such as the Hub copies"
)


@runtime_checkable
class Tagger(Protocol):
    """Splits captions into tagged tokens."""

    identity: str
    """What the tokens depend on, in a few words."""

    def tag(self, captions: Sequence[str]) -> list[Tagged]:
        """Return the tokens of each caption."""
        ...


def tagger_of(tags: Path | None) -> Tagger:
    """Return what tags captions: the file, or spaCy where there is none.

    Args:
        tags: JSON Lines with tokens and tags.

    Raises:
        DataError: There is no such file, or no file and no spaCy.
    """
    return FileTagger(tags) if tags is not None else SpacyTagger()


class FileTagger:
    """Tokens and tags that somebody wrote down.

    A line has ``caption``, ``tokens`` and ``tags`` (one per token, of the Penn Treebank). It may
    have ``words``: what NLTK's ``word_tokenize`` gives, which upstream cuts into groups of three.
    Without it the tokens serve for both.

    Args:
        path: JSON Lines, one caption per line.

    Raises:
        DataError: There is no such file, or a line is not of this form.
    """

    def __init__(self, path: Path) -> None:
        file = existing_file(str(path))
        self._name = str(path)
        rows = json_lines(file)
        self._found: dict[str, Tagged] = {}
        for index in range(len(rows)):
            values, row, _ = rows[index]
            place = Place(self._name, row, row)
            tokens, tags = _texts(place, values, "tokens"), _texts(place, values, "tags")
            if len(tokens) != len(tags):
                raise place.error(f"found {len(tokens)} `tokens` and {len(tags)} `tags`")
            words = _texts(place, values, "words") if "words" in values else tokens
            self._found[place.need(values, "caption", str)] = Tagged(tokens, tags, words)
        digest = sha256(file.read_bytes()).hexdigest()[:12]
        self.identity = f"tokens and tags of {path.name} (sha256-{digest})"

    def tag(self, captions: Sequence[str]) -> list[Tagged]:
        """Return the tokens of each caption.

        Raises:
            DataError: The file does not have one of them.
        """
        missing = [caption for caption in captions if caption not in self._found]
        if missing:
            raise DataError(
                f"{self._name}: {len(missing)} of {len(captions)} captions are not in it (first: "
                f"{shown(missing[0])}); add them, letter by letter as the data have them"
            )
        return [self._found[caption] for caption in captions]


class SpacyTagger:
    """spaCy's tokens and tags as upstream takes them, and NLTK's words for the groups of three.

    Without NLTK and its data spaCy's tokens serve for both, which the identity says.

    Raises:
        DataError: spaCy or its model is not installed.
    """

    def __init__(self) -> None:
        spacy, model = _version("spacy"), _version(MODEL)
        if spacy is None or model is None:
            missing = "spacy" if spacy is None else f"its model {MODEL}"
            raise DataError(
                f"these captions are not shuffled yet, and {missing} is missing: {ADVICE}"
            )
        self._split = _nltk_words()
        words = f"words of NLTK {_version('nltk')}" if self._split else "words of spaCy"
        self.identity = f"spaCy {spacy} with {MODEL} {model}, {words}"

    def tag(self, captions: Sequence[str]) -> list[Tagged]:
        """Return the tokens of each caption."""
        pipeline = importlib.import_module("spacy").load(MODEL)
        found = []
        for caption, document in zip(captions, pipeline.pipe(captions), strict=True):
            tokens = tuple(token.text for token in document)
            words = tuple(self._split(caption)) if self._split else tokens
            found.append(Tagged(tokens, tuple(token.tag_ for token in document), words))
        return found


def _nltk_words() -> Any:
    """Return NLTK's ``word_tokenize``, or None where it or its data are not installed."""
    try:
        split = importlib.import_module("nltk").word_tokenize
        split("a b")
    except (ImportError, LookupError):
        return None
    return split


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _texts(place: Place, values: dict[str, Any], field: str) -> tuple[str, ...]:
    listed = place.need(values, field, list)
    return tuple(place.typed(text, str, field) for text in listed)
