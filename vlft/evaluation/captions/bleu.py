"""BLEU-1 to BLEU-4 over a corpus, as COCO's evaluation computes it.

Papineni et al., "BLEU", 2002, with the reference length that is closest to the caption's (of two
equally close ones the shorter), and without smoothing. All that the number depends on are ten
counts per image, which are summed first: so a corpus' BLEU is no mean of its captions' BLEU, and a
resample of the corpus is a sum of other rows.
"""

from collections.abc import Sequence

import numpy as np

from vlft.evaluation.captions.ngrams import LONGEST, ngram_counts

SMALL = 1e-9
TINY = 1e-15
"""Added below and above each fraction, as in COCO's evaluation (pycocoevalcap, bleu_scorer.py).
They matter only where nothing matches: BLEU-n is then next to 0, and where no caption is long
enough to have an n-gram, 1e-6 stands for the share of those that match."""

NUM_COUNTS = 2 * LONGEST + 2


def bleu_counts(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Return what a caption adds to the counts of its corpus.

    Args:
        hypothesis: Its words.
        references: Words of each reference, at least one.

    Returns:
        N-grams of length 1 to 4 that match (each at most as often as in a reference), n-grams of
        length 1 to 4, words, and words of the closest reference.
    """
    most: dict[tuple[str, ...], int] = {}
    for reference in references:
        for ngram, count in ngram_counts(reference).items():
            if count > most.get(ngram, 0):
                most[ngram] = count
    matches = [0] * LONGEST
    for ngram, count in ngram_counts(hypothesis).items():
        matches[len(ngram) - 1] += min(count, most.get(ngram, 0))
    size = len(hypothesis)
    ngrams = [max(0, size - shorter) for shorter in range(LONGEST)]
    closest = min((abs(len(reference) - size), len(reference)) for reference in references)[1]
    return (*matches, *ngrams, size, closest)


def bleu(counts: np.ndarray) -> np.ndarray:
    """Return BLEU-1 to BLEU-4, in 0..1.

    Args:
        counts: Sums of what ``bleu_counts`` gives: any number of axes, the last one of ten.

    Returns:
        The same axes, the last one of four.
    """
    counts = np.asarray(counts, dtype=float)
    matches, ngrams = counts[..., :LONGEST], counts[..., LONGEST : 2 * LONGEST]
    products = np.cumprod((matches + TINY) / (ngrams + SMALL), axis=-1)
    means = products ** (1 / np.arange(1, LONGEST + 1))
    ratio = (counts[..., -2] + TINY) / (counts[..., -1] + SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
    return means * brevity[..., None]
