"""Controls of the CorDA study: weights cut to their largest components, by three decompositions.

The context-oriented one is CorDA's own: the smallest components as its knowledge-preserved mode
finds them, and the residual weight without them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evidence.corda_calibration import SAMPLES, covariances, layers_of, magnitudes
from evidence.corda_start import HELD_OUT, loss_on, start
from evidence.corda_text import DOMAINS, WINDOW, Domain, text
from evidence.lines import Found
from vlft.adapters.corda.covariance import Covariance
from vlft.adapters.corda.decompose import Wanted, damp, decomposed

RANKS = (8, 12, 16, 24, 32, 48)
"""What is kept of 128."""

CONTROLS: tuple[Domain, ...] = ("grammar", "code")
"""Domains that controls are about: each is the wrong one for the other. Facts are looked at too."""

EXPONENT = 0.5
"""Of ASVD's scales (arXiv 2312.05821)."""

Weights = Mapping[str, Float[Tensor, "rows columns"]]


def truncation(seed: int) -> Found:
    """Return losses of a cut model: by domain, decomposition, domain calibrated on and rank."""
    model = start(seed)
    whole = {path: layer.weight.detach().clone() for path, layer in layers_of(model).items()}
    numbers = {f"{domain}: whole": loss_on(model, domain) for domain in DOMAINS}
    for name, cut in _cuts(model, whole, seed).items():
        for rank in RANKS:
            _put(model, cut(rank))
            for domain in DOMAINS:
                numbers[f"{domain}: {name}, {rank}"] = loss_on(model, domain)
            _put(model, whole)  # what is decomposed is always the whole model
    return Found(numbers, HELD_OUT * (WINDOW - 1), 0)


def least_error(seed: int) -> Found:
    """Return losses of the cut that changes each layer's outputs least, for every domain.

    ``W L`` is cut, with ``C~ = L L^T``: no other weight of its rank has a smaller squared error of
    outputs over the tokens that it was calibrated with.
    """
    model = start(seed)
    whole = {path: layer.weight.detach().clone() for path, layer in layers_of(model).items()}
    numbers = {}
    for domain in DOMAINS:
        found = covariances(model, calibration(domain, seed), tuple(whole))
        roots = {
            path: torch.linalg.cholesky(damp(one.mean(), invert=False).matrix)
            for path, one in found.items()
        }
        for rank in RANKS:
            _put(model, _rooted(whole, roots, rank))
            numbers[f"{domain}: least error, {rank}"] = loss_on(model, domain)
            _put(model, whole)
    return Found(numbers, HELD_OUT * (WINDOW - 1), 0)


def _cuts(model: Any, whole: Weights, seed: int) -> dict[str, Callable[[int], Weights]]:
    """Return functions from a rank to cut weights, by name."""
    cuts: dict[str, Callable[[int], Weights]] = {"plain": partial(_plain, whole)}
    for domain in DOMAINS:
        samples = calibration(domain, seed)
        scales = magnitudes(model, samples, tuple(whole))
        found = covariances(model, samples, tuple(whole))
        cuts[f"ASVD on {domain}"] = partial(_scaled, whole, scales)
        cuts[f"context on {domain}"] = partial(_context_oriented, model, whole, found)
    return cuts


def calibration(domain: Domain, seed: int) -> Tensor:
    """Return windows of a domain to calibrate with, which no loss is measured on."""
    return text(domain, SAMPLES, torch.Generator().manual_seed(2000 + seed))


def _plain(whole: Weights, rank: int) -> Weights:
    return {path: _largest(weight, rank).to(weight) for path, weight in whole.items()}


def _scaled(whole: Weights, magnitudes: Mapping[str, Tensor], rank: int) -> Weights:
    cut = {}
    for path, weight in whole.items():
        scales = magnitudes[path].double().clamp_min(1e-6) ** EXPONENT
        cut[path] = (_largest(weight.double() * scales, rank) / scales).to(weight)
    return cut


def _rooted(whole: Weights, roots: Mapping[str, Tensor], rank: int) -> Weights:
    return {
        path: torch.linalg.solve_triangular(
            roots[path], _largest(weight.double() @ roots[path], rank), upper=False, left=False
        ).to(weight)
        for path, weight in whole.items()
    }


def _context_oriented(
    model: Any, whole: Weights, found: Mapping[str, Covariance], rank: int
) -> Weights:
    wanted = {path: Wanted(min(weight.shape) - rank, "kpm") for path, weight in whole.items()}
    return {
        path: factors.residual(whole[path]) for path, factors in decomposed(model, found, wanted)
    }


def _largest(weight: Tensor, rank: int) -> Float[Tensor, "rows columns"]:
    left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


@torch.no_grad()
def _put(model: Any, weights: Weights) -> None:
    for path, layer in layers_of(model).items():
        layer.weight.copy_(weights[path])
