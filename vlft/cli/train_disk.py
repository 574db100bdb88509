"""Whether the disk has room for a run's checkpoints, said before the first step."""

from collections.abc import Callable
from pathlib import Path

from vlft.cli.report import gigabytes
from vlft.disk import free_bytes
from vlft.recipe.schema import Recipe
from vlft.training.forecast import checkpoint_bytes
from vlft.types import Backbone


def say_if_tight(
    backbone: Backbone, recipe: Recipe, run_dir: Path, say: Callable[[str], None]
) -> None:
    """Warn when the checkpoints that are kept, and the one being written, do not fit the disk.

    Args:
        backbone: With its adapter.
        recipe: How many checkpoints are kept.
        run_dir: Where they are written.
        say: Prints on the main process.
    """
    training = recipe.training
    one = checkpoint_bytes(backbone.model, training.optim)
    if one is None or training.save_strategy == "no" or training.save_total_limit is None:
        return
    needed, free = one * (training.save_total_limit + 1), free_bytes(run_dir)
    if free < needed:
        say(
            f"warning: {training.save_total_limit} checkpoints and the one being written take "
            f"{gigabytes(needed)}, and {gigabytes(free)} are free at {run_dir}: lower "
            "training.save_total_limit, or write elsewhere (training.output_dir)"
        )
