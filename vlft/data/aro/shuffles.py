"""The four shuffles of ARO's order sets, from given tokens and tags.

Source: ``dataset_zoo/perturbations.py`` of mertyg/vision-language-models-are-bows. That code draws
from the global generators of numpy and Python; ours are private and give the same draws.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
ADJECTIVES = frozenset(("JJ", "JJR", "JJS"))
"""Tags of the Penn Treebank."""

WAYS = ("nouns_and_adjectives", "all_but_nouns_and_adjectives", "within_trigrams", "trigrams")
"""The shuffles in the order in which they are drawn."""

_GROUP = 3


class Tagged(NamedTuple):
    """A caption as the shuffles see it.

    Attributes:
        tokens: Its tokens, punctuation included.
        tags: Their tags.
        words: Tokens that groups of three are made of; another tokenizer may have found them.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    words: tuple[str, ...]


class Shuffler:
    """Shuffles captions one after the other: one stream of draws runs through all of them.

    Args:
        seed: Seed of both generators.
    """

    def __init__(self, seed: int) -> None:
        # The legacy generator: its draws are frozen, and they are those of numpy's global one.
        self._numpy = np.random.RandomState(seed)
        self._python = random.Random(seed)

    def shuffles(self, caption: Tagged) -> tuple[str, ...]:
        """Return a caption shuffled in the four ways of ``WAYS``, not cleaned yet."""
        nouns = [place for place, tag in enumerate(caption.tags) if tag in NOUNS]
        adjectives = [place for place, tag in enumerate(caption.tags) if tag in ADJECTIVES]
        others = sorted({*range(len(caption.tokens))}.difference(nouns, adjectives))
        first = list(caption.tokens)
        self._permute(first, nouns)
        self._permute(first, adjectives)
        second = list(caption.tokens)
        self._permute(second, others)
        inside, groups = _groups(caption.words), _groups(caption.words)
        for group in inside:
            self._python.shuffle(group)
        self._python.shuffle(groups)
        third, fourth = ([word for group in found for word in group] for found in (inside, groups))
        return tuple(" ".join(words) for words in (first, second, third, fourth))

    def _permute(self, tokens: list[str], places: Sequence[int]) -> None:
        """Permute the tokens at some places among themselves."""
        drawn = self._numpy.permutation(len(places))
        moved = [tokens[places[other]] for other in drawn]
        for place, token in zip(places, moved, strict=True):
            tokens[place] = token


def _groups(words: Sequence[str]) -> list[list[str]]:
    """Cut words into consecutive groups of three; the last one may be shorter."""
    return [list(words[start : start + _GROUP]) for start in range(0, len(words), _GROUP)]
