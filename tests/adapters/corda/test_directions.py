"""Outermost directions against a full SVD in float64, down to a hopeless condition."""

import pytest
import torch

from vlft.adapters.corda.directions import outermost

SPECTRA = {
    "even": lambda k, ratio: torch.logspace(0, -ratio, k, dtype=torch.float64),
    "one massive": lambda k, ratio: torch.cat(
        [torch.ones(1), torch.linspace(1, 0.1, k - 1) / 10**ratio]
    ),
    "a cliff": lambda k, ratio: torch.cat(
        [torch.linspace(1, 0.5, k - 9), torch.linspace(0.5, 0.1, 9) / 10**ratio]
    ),
}


def matrix(draw, rows, columns, values):
    count = min(rows, columns)
    left, right = (torch.linalg.qr(draw(side, count)).Q for side in (rows, columns))
    return left, left * values.double() @ right.mT, right


def sine(basis, other):
    """Of the largest angle between two subspaces."""
    return (basis - other @ (other.mT @ basis)).norm(2).item()


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("ratio", [1, 4, 8, 11])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(
    "shape", [(30, 30), (20, 45), (45, 20), (72, 90)], ids=["square", "wide", "tall", "large"]
)
def test_as_accurate_as_a_full_svd(draw, shape, spectrum, ratio, end):
    count, r = min(shape), 6
    values = SPECTRA[spectrum](count, ratio)
    left, product, right = matrix(draw, *shape, values)
    wanted = slice(0, r) if end == "largest" else slice(count - r, count)
    found = outermost(product, r, end=end)
    full = torch.linalg.svd(product, full_matrices=False)
    is_tall = shape[0] > shape[1]
    true = (right if is_tall else left)[:, wanted]
    theirs = (full.Vh.mT if is_tall else full.U)[:, wanted]
    ours = found.right if is_tall else found.left
    assert sine(ours, true) <= 20 * sine(theirs, true) + 1e-7
    torch.testing.assert_close(
        found.values, values[wanted].double(), rtol=1e-14 * 10**ratio + 1e-12, atol=0
    )


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)], ids=["wide", "tall"])
def test_triples_are_singular_triples(draw, shape, end):
    product = draw(*shape)
    found = outermost(product, 5, end=end)
    torch.testing.assert_close(product @ found.right, found.left * found.values)
    torch.testing.assert_close(product.mT @ found.left, found.right * found.values)
    assert found.values.diff().max() <= 0


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("r", [1, 5, 8])
def test_equal_missing_and_all_directions(draw, r, end):
    for values in (torch.ones(8), torch.tensor([1.0] * 3 + [0.0] * 5), torch.zeros(8)):
        _, product, _ = matrix(draw, 8, 11, values)
        found = outermost(product, r, end=end)
        wanted = values[:r] if end == "largest" else values[8 - r :]
        torch.testing.assert_close(found.values, wanted.double(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.left.mT @ found.left, torch.eye(r).double())
