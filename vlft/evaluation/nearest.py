"""How the right candidate of each query stands among the others, for many queries at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vlft.evaluation.benchmark import TieRule

SIMILARITIES = 2**25
"""Similarities that are held at once."""

NUMBERS = 2**24
"""Numbers of candidate vectors that are held in double precision at once."""


class Outcome(NamedTuple):
    """How one query ended.

    Attributes:
        best: Place of the candidate that is chosen.
        ahead: Wrong candidates above the right one.
        ties: Wrong candidates that score exactly what the right one scores.
    """

    best: int
    ahead: int
    ties: int


def outcome_of(values: np.ndarray, *, tie_rule: TieRule) -> Outcome:
    """Return how a query ended whose candidates have these values, the right one's first.

    Of equal wrong candidates the one that stands first is chosen.

    Args:
        values: Higher is better.
        tie_rule: Whether the right candidate is chosen among equal ones.
    """
    right, others = values[0], values[1:]
    ahead, ties = int((others > right).sum()), int((others == right).sum())
    wins = ahead == 0 and (ties == 0 or tie_rule == "for_model")
    return Outcome(0 if wins else 1 + int(others.argmax()), ahead, ties)


def outcomes(
    queries: Float[np.ndarray, "queries width"],
    targets: Float[np.ndarray, "targets width"],
    candidates: Sequence[np.ndarray],
    *,
    tie_rule: TieRule,
) -> Iterator[Outcome]:
    """Yield how each query ends, by the dot product with its candidates.

    Products are summed in double precision and rounded to single, so that neither the order of the
    candidates nor the number of threads decides. Equal vectors are multiplied once, so that they
    tie.

    Args:
        queries: Vectors of unit length.
        targets: The same for all candidates of a data set.
        candidates: For each query, the places of its own candidates, the right one's first.
        tie_rule: As for ``outcome_of``.
    """
    numbers: dict[bytes, int] = {}
    number_of = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in targets])
    different = targets[np.unique(number_of, return_index=True)[1]]
    step = max(1, SIMILARITIES // len(different))
    for start in range(0, len(queries), step):
        similarities = _products(queries[start : start + step], different)
        for row, own in zip(similarities, candidates[start : start + step], strict=True):
            yield outcome_of(row[number_of[own]], tie_rule=tie_rule)


def _products(queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
    found = np.empty((len(queries), len(targets)), dtype=np.float32)
    precise = queries.astype(np.float64)
    step = max(1, NUMBERS // targets.shape[1])
    for start in range(0, len(targets), step):
        part = targets[start : start + step].astype(np.float64)
        found[:, start : start + step] = precise @ part.T
    return found
