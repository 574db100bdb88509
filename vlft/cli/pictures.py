"""Pictures of runs: learning curves and example predictions (extra ``plots``)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image, Resampling

from vlft.errors import MissingExtraError
from vlft.results import Sample

RIGHT, WRONG = "#1a7f37", "#b42318"


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtraError("matplotlib", extra="plots", needed_for="drawing") from error
    mpl.use("agg")
    from matplotlib import pyplot

    return pyplot


def draw_curves(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the training loss (and validation loss, where measured) of runs, one panel each.

    Args:
        runs: Title to run directory.
        path: PNG to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pyplot = _pyplot()
    columns = min(2, len(runs))
    lines = -(-len(runs) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(5.2 * columns, 3.2 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(runs) :]:
        axis.axis("off")
    for axis, (title, run_dir) in zip(axes.flat, runs.items(), strict=False):
        metrics = [
            json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()
        ]
        for key, label, style in (("loss", "training", "-"), ("eval_loss", "validation", "o")):
            points = [(m["step"], m[key]) for m in metrics if key in m]
            if points:
                axis.plot(*zip(*points, strict=True), style, label=label, markersize=4)
        axis.set(title=title, xlabel="optimizer step", ylabel="loss (nats)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def draw_predictions(
    images: Sequence[Image], before: Sequence[Sample], after: Sequence[Sample], path: Path
) -> None:
    """Draw images with their question and the answers of two models, right ones in green.

    Args:
        images: One per sample.
        before: Samples of the first model.
        after: The same records answered by the second.
        path: PNG to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pyplot = _pyplot()
    columns = min(4, len(images))
    lines = -(-len(images) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(2.7 * columns, 3.6 * lines), squeeze=False
    )
    # the answers stand below the axes, where no automatic layout sees them
    figure.subplots_adjust(left=0.02, right=0.98, top=0.95, bottom=0.12, hspace=0.45, wspace=0.08)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, old, new in zip(axes.flat, images, before, after, strict=False):
        axis.imshow(image.resize((192, 192), Resampling.NEAREST))
        axis.set_title(str(old.extra.get("question", "")), fontsize=9)
        for height, name, sample in ((-0.09, "before", old), (-0.19, "after", new)):
            color = RIGHT if sample.score == 1 else WRONG
            text = f"{name}: {sample.prediction}"
            axis.text(0, height, text, transform=axis.transAxes, fontsize=9, color=color)
        answer = f"right: {new.answer}"
        axis.text(0, -0.29, answer, transform=axis.transAxes, fontsize=9, color="#57606a")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def draw_fusion(
    weights: Sequence[Sequence[Sequence[float]]], groups: Sequence[str], path: Path
) -> None:
    """Draw fusion weights as two heat maps, keys and values.

    Args:
        weights: By language layer, place (keys, values) and vision group.
        groups: Names of the groups.
        path: PNG to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pyplot = _pyplot()
    height = 1.2 + 0.28 * len(weights)
    figure, axes = pyplot.subplots(1, 2, figsize=(9, max(height, 2.6)), layout="constrained")
    image = None
    for place, (axis, title) in enumerate(zip(axes, ("keys", "values"), strict=True)):
        shown = [list(layer[place]) for layer in weights]
        image = axis.imshow(shown, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axis.set_title(title)
        axis.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
        axis.set_yticks(range(len(weights)), [str(number + 1) for number in range(len(weights))])
        axis.set_ylabel("language layer")
        for row, layer in enumerate(shown):
            for column, value in enumerate(layer):
                color = "white" if value < 0.6 else "black"
                axis.text(
                    column, row, f"{value:.2f}", ha="center", va="center", color=color, size=7
                )
    figure.colorbar(image, ax=axes, label="weight")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
