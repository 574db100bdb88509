"""CorDA's decomposition of a weight (arXiv 2406.05223, sections 3.2 to 3.4).

    W C~ = U S V^T       C~ = C + damping * mean(diag C) * I, sigma descending
    B = U_J sqrt(S_J)    A = sqrt(S_J) V_J^T C~^-1    J: first r (ipm) or last r (kpm)
    W' = W - s B A       frozen

Both factors are divided by ``sqrt(s)``, so that the identity holds for any scale. No inverse is
formed. Where the weight has no more rows than columns, ``V^T C~^-1 = S^-1 U^T W`` needs none, and
``B A = U_J U_J^T W``; otherwise the Cholesky factor of ``C~`` is solved with. All is computed in
float64, one layer at a time; what is needed besides C is of the size of that layer.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlft.adapters.base import Pair
from vlft.adapters.corda.covariance import Covariance, groups
from vlft.adapters.corda.directions import End, outermost
from vlft.adapters.mutation import residual, weight_of
from vlft.errors import AdapterError

Mode = Literal["ipm", "kpm"]

ENDS: dict[Mode, End] = {"ipm": "largest", "kpm": "smallest"}
"""Instruction-previewed trains the largest components, knowledge-preserved the smallest."""

DAMPING = 0.01
"""Where damping starts; it doubles until the inverse is good."""

TOLERANCE = 0.05
"""Frobenius distance of ``C~ C~^-1`` from the identity at which an inverse is good."""

PROBES = 8
"""Random vectors that estimate that distance."""


@dataclass(frozen=True)
class Wanted:
    """What a layer gets.

    Attributes:
        r: Rank, of each block where there are several.
        mode: Which components are trained.
        scale: What the LoRA multiplies ``B A`` by, see ``scaling``; positive.
        blocks: Projections of one input that the weight's rows hold, in equal parts (merged query,
            key and value), each decomposed on its own: ``A`` then has ``r`` rows for each, and
            ``B`` is zero outside of the blocks, which makes a plain LoRA of rank ``r`` times their
            number. One decomposition of all rows would share a basis of rank ``r`` between them.
    """

    r: int
    mode: Mode
    scale: float = 1.0
    blocks: int = 1


@dataclass(frozen=True, eq=False)
class Damped:
    """A covariance made ready to decompose with.

    Attributes:
        matrix: ``C~``, in float64.
        cholesky: Its lower factor; None where no weight needs its inverse.
        damping: The factor that was needed.
        effective_rank: Of ``C``, by its participation ratio ``tr(C)^2 / tr(C^2)``: its width if
            all directions carry equally much, k if k directions do and the others nothing.
    """

    matrix: Float[Tensor, "width width"]
    cholesky: Float[Tensor, "width width"] | None
    damping: float
    effective_rank: float


@dataclass(frozen=True, eq=False)
class Factors:
    """A LoRA's start for one layer, on the device of the weight.

    Attributes:
        a: In the dtype that it is stored in.
        b: The same.
        singular_values: Those of ``W C~`` that the factors hold, descending; of each block in turn
            where there are several.
        scale: ``alpha / r``, or ``alpha / sqrt(r)``: what ``B A`` is multiplied by.
        damping: See ``Damped``.
        effective_rank: See ``Damped``.
    """

    a: Float[Tensor, "r columns"]
    b: Float[Tensor, "rows r"]
    singular_values: Float[Tensor, " r"]
    scale: float
    damping: float
    effective_rank: float

    @property
    def pair(self) -> Pair:
        """The factors alone."""
        return Pair(self.a, self.b, self.scale)

    def on_cpu(self) -> "Factors":
        """Return the same in the memory of the CPU."""
        a, b, values = (part.cpu() for part in (self.a, self.b, self.singular_values))
        return replace(self, a=a, b=b, singular_values=values)

    def residual(self, weight: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Return ``W - s B A`` of the factors as they are stored, rounded once.

        Args:
            weight: The layer's weight; its dtype and device are kept.
        """
        return residual(weight, self.pair)


@torch.no_grad()
def damp(covariance: Float[Tensor, "width width"], *, invert: bool = True) -> Damped:
    """Add to the diagonal until the matrix can be inverted.

    As in the authors' code damping starts at 0.01 and doubles until the Frobenius distance of
    ``C~ C~^-1`` from the identity is below 0.05. The inverse that is judged is the one that is
    used, a Cholesky solve in float64, by Hutchinson's estimate: the mean of ``|C~ C~^-1 z - z|^2``
    over random signs ``z`` is the squared distance. So damping does not grow with the width of a
    layer because an explicit float32 inverse would be poor. A covariance of zeros says nothing
    about directions; its ``C~`` is a multiple of the identity.

    Args:
        covariance: ``C``, such as ``Covariance.mean()``; its device is computed on.
        invert: Whether a weight (or block) with more rows than columns is decomposed with it. The
            others need no inverse, and damping stays where it starts.

    Raises:
        AdapterError: It holds NaN or infinity.
    """
    matrix = covariance.double()
    matrix = (matrix + matrix.mT).div_(2)
    trace, squares = matrix.trace().item(), torch.linalg.vector_norm(matrix).item() ** 2
    if not math.isfinite(squares):
        raise AdapterError("adapter: a covariance holds NaN or infinity; calibrate again")
    width = matrix.shape[0]
    level = trace / width or 1.0
    matrix.diagonal().add_(DAMPING * level)
    damping, factor = DAMPING, None
    while invert:
        factor = _cholesky(matrix)
        if factor is not None:
            break
        matrix.diagonal().add_(damping * level)
        damping *= 2
    return Damped(matrix, factor, damping, trace**2 / squares if squares else 0.0)


@torch.no_grad()
def decompose(
    weight: Float[Tensor, "rows columns"],
    damped: Damped,
    wanted: Wanted,
    *,
    dtype: torch.dtype = torch.float32,
    balance: bool = False,
) -> Factors:
    """Return the factors that a LoRA on this weight starts from.

    Args:
        weight: As of ``weight_of``.
        damped: Its input's covariance.
        wanted: Rank, mode, scale and blocks.
        dtype: What the factors are stored in.
        balance: Make both halves of each rank-one pair equally long. The product does not change;
            by default the lengths follow the scale of the covariance, as the authors' do.

    Raises:
        AdapterError: The rank is larger than a side of the weight or of a block.
    """
    scale = wanted.scale
    parts = [
        _factor(part, damped, r=wanted.r, mode=wanted.mode)
        for part in weight.to(damped.matrix).chunk(wanted.blocks)
    ]
    a = torch.cat([a for a, _, _ in parts]) / scale**0.5
    b = torch.block_diag(*(b for _, b, _ in parts)) / scale**0.5
    if balance:
        lengths = a.norm(dim=1), b.norm(dim=0)
        ratio = torch.where(lengths[0] * lengths[1] > 0, lengths[1] / lengths[0], 1.0).sqrt()
        a, b = a * ratio[:, None], b / ratio
    return Factors(
        a=a.to(weight.device, dtype).contiguous(),
        b=b.to(weight.device, dtype).contiguous(),
        singular_values=torch.cat([values for _, _, values in parts]),
        scale=scale,
        damping=damped.damping,
        effective_rank=damped.effective_rank,
    )


def decomposed(
    model: nn.Module,
    covariances: Mapping[str, Covariance],
    wanted: Mapping[str, Wanted],
    *,
    dtype: torch.dtype = torch.float32,
    balance: bool = False,
) -> Iterator[tuple[str, Factors]]:
    """Yield path and factors of each layer, those with a common covariance behind each other.

    The model is not changed.

    Args:
        model: Where the layers are.
        covariances: By path.
        wanted: What each of these layers gets.
        dtype: See ``decompose``.
        balance: See there.
    """
    for paths in groups(covariances):
        weights = {path: weight_of(model.get_submodule(path)) for path in paths}
        is_any_tall = any(_is_tall(weights[path], wanted[path].blocks) for path in paths)
        covariance = covariances[paths[0]].mean().to(weights[paths[0]].device)
        ready = damp(covariance, invert=is_any_tall)
        for path, weight in weights.items():
            yield path, decompose(weight, ready, wanted[path], dtype=dtype, balance=balance)


def _is_tall(weight: Float[Tensor, "rows columns"], blocks: int) -> bool:
    return weight.shape[0] // blocks > weight.shape[1]


def _factor(
    weight: Float[Tensor, "rows columns"], damped: Damped, *, r: int, mode: Mode
) -> tuple[Float[Tensor, "r columns"], Float[Tensor, "rows r"], Float[Tensor, " r"]]:
    """Return A, B and singular values of one block, in float64 and without a scale."""
    rows, columns = weight.shape
    if not 0 < r <= min(rows, columns):
        raise AdapterError(
            f"adapter.r: {r} does not fit a weight of {rows} rows and {columns} columns: it is at "
            f"most {min(rows, columns)}"
        )
    product = weight @ damped.matrix
    found = outermost(product, r, end=ENDS[mode])
    roots = found.values.sqrt()
    if rows > columns:
        assert damped.cholesky is not None, "damp(covariance, invert=True)"
        a = torch.cholesky_solve(found.right * roots, damped.cholesky)
    else:
        limits = torch.finfo(product.dtype)
        rounding = max(limits.eps * product.norm().item(), limits.tiny)
        # what is smaller the weight does not have: W^T u is rounding too, and stays small
        a = weight.mT @ (found.left / found.values.clamp_min(rounding).sqrt())
    return a.mT, found.left * roots, found.values


def _cholesky(matrix: Float[Tensor, "width width"]) -> Float[Tensor, "width width"] | None:
    """Return the factor, or None if solving with it is no good inverse."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return None
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (matrix.shape[0], PROBES), generator=generator).to(matrix) * 2 - 1
    error = matrix @ torch.cholesky_solve(signs, factor) - signs
    return factor if error.square().sum(0).mean().sqrt() < TOLERANCE else None
