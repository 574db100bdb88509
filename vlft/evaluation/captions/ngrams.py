"""The n-grams of a caption."""

from collections import Counter
from collections.abc import Sequence

LONGEST = 4
"""Words of the longest n-gram."""


def ngram_counts(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Count the n-grams of length 1 to 4."""
    counts: Counter[tuple[str, ...]] = Counter()
    for size in range(1, LONGEST + 1):
        counts.update(zip(*(words[start:] for start in range(size)), strict=False))
    return counts
