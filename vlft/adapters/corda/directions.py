"""The outermost singular directions of a matrix, exact without a full SVD.

An eigendecomposition of the smaller Gram matrix costs a fraction of an SVD, and its vectors are as
good wherever eigenvalues lie apart by more than rounding, measured against the largest. Only the
directions around the cut between wanted and unwanted ones matter; those that are too close together
there are separated again among themselves, in a Gram matrix of their own, where the largest is no
longer in the way.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

End = Literal["largest", "smallest"]

CLOSE = 1.0e-8
"""Eigenvalues of a Gram matrix that lie closer, relative to the largest, are not told apart by it:
in float64 a vector then still leans less than 1e-7 towards one beyond the cut."""

PANEL = 256
"""Rows of a Gram matrix that are computed at once."""


class Directions(NamedTuple):
    """Singular triples, the largest first."""

    left: Float[Tensor, "rows r"]
    values: Float[Tensor, " r"]
    right: Float[Tensor, "columns r"]


def outermost(matrix: Float[Tensor, "rows columns"], r: int, *, end: End) -> Directions:
    """Return the ``r`` largest or smallest of the ``min(rows, columns)`` singular triples.

    On the shorter side vectors are as accurate as those of an SVD in float64; on the other, whose
    vectors are images of these, errors are larger by the ratio of the largest value to theirs.

    Args:
        matrix: In float64.
        r: How many.
        end: Which.
    """
    rows, columns = matrix.shape
    if rows > columns:
        right, values, left = outermost(matrix.mT, r, end=end)
        return Directions(left, values, right)
    lower = r if end == "smallest" else rows - r
    basis = _split(matrix, lower)
    wanted = basis[:, :r] if end == "smallest" else basis[:, lower:]
    inner, values, right = torch.linalg.svd(wanted.mT @ matrix, full_matrices=False)
    return Directions(wanted @ inner, values, right.mT)


def _split(matrix: Float[Tensor, "rows columns"], lower: int) -> Float[Tensor, "rows rows"]:
    """Return an orthonormal basis whose first ``lower`` columns span the smallest directions."""
    size = matrix.shape[0]
    values, basis = torch.linalg.eigh(_lower_gram(matrix))
    margin = CLOSE * values[-1]
    if lower in (0, size) or values[lower] - values[lower - 1] > margin:
        return basis
    first = int((values < values[lower - 1] - margin).sum())
    last = int((values <= values[lower] + margin).sum())
    if last - first < size:  # else they are all alike, and any split is as good
        close = basis[:, first:last]
        basis[:, first:last] = close @ _split(close.mT @ matrix, lower - first)
    return basis


def _lower_gram(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows rows"]:
    """Return the lower triangle of the Gram matrix of the rows, all that ``eigh`` reads."""
    rows = matrix.shape[0]
    gram = matrix.new_zeros(rows, rows)
    for start in range(0, rows, PANEL):
        end = start + PANEL
        gram[start:end, :end] = matrix[start:end] @ matrix[:end].mT
    return gram
