"""CorDA's preparation: from calibration data to the factors that each layer starts from.

One calibration after the other, so that its covariances can go before the next comes; over several
processes each sees its share of the data, sums are added up, and layers are decomposed in turn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import nn

from vlft.adapters.base import Counted, Note, Pair, Prepared
from vlft.adapters.corda.covariance import Covariance, gather, groups, processes, shape_of, summed
from vlft.adapters.corda.decompose import Factors, decomposed
from vlft.adapters.corda.plan import Layer, plan
from vlft.adapters.sites import resolve_modules
from vlft.recipe.adapter import CordaAdapter
from vlft.types import Backbone, Batch

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SHARE = 0.8
"""Most of a device's free memory that covariances are kept in; otherwise the CPU holds them."""


def prepare(
    backbone: Backbone,
    section: CordaAdapter,
    batches: Sequence[Iterable[Counted]],
    run: Callable[[Batch], object],
) -> Prepared:
    """Return the factors of every layer that calibration data reach, the same in every process.

    The host is run without gradients, one batch after the other: a sample per batch, if the
    normalizer is to see what the authors' sees.

    Args:
        backbone: The bare host, in evaluation mode; it stays as it is.
        section: The recipe's ``adapter``.
        batches: This process's share of each data set of ``section.calibrations``.
        run: Runs the host on a batch.

    Raises:
        SiteError: A module is no linear layer.
        AdapterError: A rank does not fit, a weight is quantized, or a layer saw NaN or infinity.
    """
    modules = resolve_modules(backbone, section)
    layers = plan(section, modules, backbone)
    start: dict[str, Pair] = {}
    notes: dict[str, Note] = {}
    for index, shown in enumerate(batches):
        paths = [path for path in modules if layers[path].calibration == index]
        if not paths:
            continue
        covariances = _measure(backbone, section, paths, shown, run)
        found = _factors(backbone.model, covariances, layers, balance=section.balance)
        start |= {path: factors.pair for path, factors in found.items()}
        notes |= {path: _note(layers[path], covariances[path], found[path]) for path in found}
    ordered = [path for path in modules if path in start]
    return Prepared(
        start={path: start[path] for path in ordered},
        notes={path: notes[path] for path in ordered},
        unseen=tuple(path for path in modules if path not in start),
    )


def _measure(
    backbone: Backbone,
    section: CordaAdapter,
    paths: list[str],
    batches: Iterable[Counted],
    run: Callable[[Batch], object],
) -> Mapping[str, Covariance]:
    """Return the covariances of some layers, over all processes."""
    model = backbone.model
    dtype = DTYPES[section.covariance_dtype]
    within = (*backbone.towers.get("language", ()), *backbone.towers.get("text", ()))
    with (
        torch.no_grad(),
        gather(
            model,
            paths,
            normalizer=section.normalizer,
            dtype=dtype,
            device=_home(model, paths, dtype),
        ) as found,
    ):
        for batch, mask in batches:
            if mask is None:
                run(batch)
                continue
            with found.mask(mask, within=within):
                run(batch)
    return summed(found)


def _factors(
    model: nn.Module,
    covariances: Mapping[str, Covariance],
    layers: Mapping[str, Layer],
    *,
    balance: bool,
) -> dict[str, Factors]:
    """Return the factors of all layers; each process decomposes every so-many-th group."""
    rank, world = processes()
    mine = [path for shared in groups(covariances)[rank::world] for path in shared]
    found = {
        path: factors.on_cpu()
        for path, factors in decomposed(
            model,
            {path: covariances[path] for path in mine},
            {path: layers[path].wanted for path in mine},
            balance=balance,
        )
    }
    if world == 1:
        return found
    everyones: list[dict[str, Factors]] = [{} for _ in range(world)]
    dist.all_gather_object(everyones, found)
    return {path: factors for part in everyones for path, factors in part.items()}


def _note(layer: Layer, covariance: Covariance, factors: Factors) -> Note:
    return Note(
        mode=layer.wanted.mode,
        r=layer.r,
        tokens=covariance.tokens,
        calls=covariance.calls,
        width=factors.a.shape[1],
        effective_rank=factors.effective_rank,
        damping=factors.damping,
    )


def _home(model: nn.Module, paths: list[str], dtype: torch.dtype) -> torch.device | None:
    """Return the CPU where the covariances would not fit beside the model; None: they do."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return None
    widths = (shape_of(path, model.get_submodule(path))[1] for path in paths)
    free, _ = torch.cuda.mem_get_info(device)
    needed = sum(width * width for width in widths) * dtype.itemsize
    return torch.device("cpu") if needed > SHARE * free else None
