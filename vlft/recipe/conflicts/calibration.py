"""What does not go with an adapter that is prepared on calibration data (CorDA)."""

from collections.abc import Iterator

from vlft.errors import near
from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.adapter.corda import Calibration
from vlft.recipe.conflicts.conflict import Conflict
from vlft.recipe.schema import Recipe


def calibrations(adapter: CordaAdapter) -> Iterator[tuple[str, Calibration]]:
    """Yield every calibration with its place in the recipe."""
    yield from zip(adapter.calibration_fields, adapter.calibrations, strict=True)


def calibrated(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse overrides of nothing, positions that a host does not have, and inexact exports."""
    adapter, host = recipe.adapter, recipe.backbone
    if not isinstance(adapter, CordaAdapter):
        return
    for name in adapter.overrides:
        if name not in (*host.tower_names, *adapter.sites):
            possible = (*host.tower_names, *adapter.sites)
            guess = near(name, possible)
            hint = f" Did you mean {guess!r}?" if guess else ""
            yield Conflict(
                f"adapter.overrides.{name}",
                f"neither a tower of host type {host.type} nor one of adapter.sites.{hint} "
                f"Possible: {', '.join(dict.fromkeys(possible))}",
            )
    for place, calibration in calibrations(adapter):
        if calibration.positions != "all" and host.family != "generative":
            yield Conflict(
                f"{place}.positions",
                f"a {host.family} host has no sequence in which they differ: use all",
            )
        elif calibration.positions == "image" and host.type == "causal_lm":
            yield Conflict(f"{place}.positions", "host type causal_lm sees no images: use all")
    inside = [site for site in adapter.sites if site.partition(".")[0] in host.quantized_towers]
    if host.quantization != "none" and inside and adapter.save == "portable":
        yield Conflict(
            "adapter.save",
            f"what is trained sits on the residual as {host.quantization} stores it at "
            f"{inside[0]!r}, and on the untouched base the same update would sit on other "
            "rounding errors: use save: residual",
        )
