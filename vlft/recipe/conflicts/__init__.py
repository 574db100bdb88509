"""Fields of different sections that exclude each other, each with the nearest thing that works."""

from vlft.recipe.conflicts import beside, calibration, data, host, training
from vlft.recipe.conflicts.conflict import Conflict
from vlft.recipe.schema import Recipe


def conflicts(recipe: Recipe) -> list[Conflict]:
    """Return every contradiction of a recipe, in the order of its sections."""
    checks = (
        host.precision,
        host.quantized_storage,
        host.adapter_names,
        beside.images_beside,
        beside.cached_features,
        host.adapter_places,
        host.trained_towers,
        calibration.calibrated,
        data.data_sets,
        data.held_out_sets,
        data.loss_family,
        training.upstream_names,
        training.extra_arguments,
        training.validations,
        training.best_checkpoint,
        training.publishing,
    )
    return [conflict for check in checks for conflict in check(recipe)]


__all__ = ["Conflict", "conflicts"]
