"""``vlft show RUN`` of a run with DEHVF: the fusion weights as a table, CSV and picture."""

import csv
import io
from pathlib import Path
from typing import Any

IMAGES = 64
"""Samples with images that the weights are a mean over."""

PLACES = ("key", "value")


def show_fusion(run_dir: Path) -> str:
    """Write ``fusion.csv`` and ``fusion.png`` into a run directory, and return them in words.

    Args:
        run_dir: A finished run whose adapter is DEHVF.

    Raises:
        VlftError: The run cannot be loaded, or its data are not there.
        MissingExtraError: matplotlib is not installed; the CSV file is written before.
    """
    from peft import PeftModel

    from vlft import hub
    from vlft.adapters.dehvf.inspection import fusion_weights
    from vlft.cli.pictures import draw_fusion
    from vlft.cli.report import text_table
    from vlft.data import pipeline
    from vlft.disk import replace_text
    from vlft.recipe import load_recipe

    recipe = load_recipe(run_dir / "recipe.yaml").recipe
    backbone = hub.load(run_dir)
    model = backbone.model.eval()
    assert isinstance(model, PeftModel)
    dataset = recipe.data.validation or recipe.data.train
    assert dataset is not None
    samples = pipeline.open_samples(backbone, recipe.data, dataset, None)
    shown = _with_images(samples)
    batch = pipeline.collator(backbone)(shown)
    inputs = {
        name: batch[name] for name in ("input_ids", "attention_mask", "prompt_mask", "image_slots")
    } | {name: value for name, value in batch.items() if name in ("pixel_values", "image_grid_thw")}
    weights = fusion_weights(model, inputs)
    groups = model.peft_config["default"].used_groups  # pyrefly: ignore[missing-attribute]
    names = [_named(group) for group in groups]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["language_layer", "place", *names])
    rows = [
        (str(layer + 1), place, *(f"{value:.4f}" for value in weights[layer, at].tolist()))
        for layer in range(len(weights))
        for at, place in enumerate(PLACES)
    ]
    writer.writerows(rows)
    replace_text(run_dir / "fusion.csv", buffer.getvalue())
    draw_fusion(weights.tolist(), names, run_dir / "fusion.png")
    return (
        f"fusion weights, mean over {len(shown)} samples of {samples.records.name}\n"
        + text_table(("language layer", "place", *names), rows)
        + f"\nwritten: {run_dir / 'fusion.csv'}\nwritten: {run_dir / 'fusion.png'}"
    )


def _with_images(samples: Any) -> list[Any]:
    """Return the first samples that have images.

    Raises:
        DataError: None of the first has one.
    """
    from vlft.errors import DataError

    found = []
    for index in range(min(len(samples), 4 * IMAGES)):
        sample = samples[index]
        if sample.image_sizes:
            found.append(sample)
        if len(found) == IMAGES:
            break
    if not found:
        raise DataError(
            f"{samples.records.name}: none of the first samples has an image, so there is nothing "
            "to fuse; name other data with data.validation=..."
        )
    return found


def _named(group: list[int]) -> str:
    """Return how a group of vision layers is called."""
    first, last = group[0], group[-1]
    if group == list(range(first, last + 1)):
        return f"vision {first}" if first == last else f"vision {first}-{last}"
    return "vision " + " ".join(map(str, group))
