"""The closed vocabulary: every word and punctuation mark that a sentence of the world can hold."""

import re

from vlft.data.scenes.world import COLORS, KINDS, SHAPES, SIZES, TEXTURES

PUNCTUATION = ("?", ".", ",")

NUMBERS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")

# One string: a list of 78 quoted words would fill a page.
_TEMPLATES = (
    "a about above an and answer are below both bottom caption choose color column columns "
    "describe describes do does find flipped for from given half has have how image images in is "
    "it kind larger left many matches mirrored more no object objects of or part question relative "
    "represent right row rows same seen shape show shows size texture than that the there to top "
    "turned what where which yes"
)


def vocabulary() -> tuple[str, ...]:
    """Return all words in alphabetical order, then the punctuation marks."""
    words = {*_TEMPLATES.split(), *NUMBERS, *KINDS, *SHAPES, *COLORS, *SIZES, *TEXTURES}
    return (*sorted(words), *PUNCTUATION)


def words_of(sentence: str) -> list[str]:
    """Split a sentence into its words and punctuation marks."""
    return re.findall(r"[^\s?.,]+|[?.,]", sentence)
