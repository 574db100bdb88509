"""ROUGE-L as COCO's evaluation computes it."""

from collections.abc import Sequence

BETA = 1.2
"""Weight of recall over precision in COCO's evaluation."""


def rouge_l(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the F score of the longest common subsequence of words, in 0..1.

    Lin, "ROUGE", 2004, section 3, with several references as in COCO's evaluation (arXiv
    1504.00325): the best precision and the best recall over all references, not of one of them.
    A caption without words gets 0.

    Args:
        hypothesis: Words of the caption.
        references: Words of each reference, at least one.
    """
    common = [longest_common(hypothesis, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(hypothesis)
    recall = max(
        size / len(reference)
        for size, reference in zip(common, references, strict=True)
        if reference
    )
    squared = BETA**2
    return (1 + squared) * precision * recall / (recall + squared * precision)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    A row of the usual table is one whole number, whose bits say where the row does not grow (Hyyrö,
    "Bit-parallel LCS-length computation revisited", 2004).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        matching = row & places.get(word, 0)
        row = ((row + matching) | (row - matching)) & every
    return len(one) - row.bit_count()
