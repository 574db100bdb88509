"""``vlft show``: the resolved recipe and, with a model, what it would train and hold.

Of a run directory, the recipe that it was trained with; and what its adapter has learned, where
there is something to look at.
"""

import json
import math
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlft.data.pipeline import Samples
    from vlft.recipe import LoadedRecipe

RECIPE = "recipe.yaml"
"""Of a run directory."""


def run(
    name: str,
    overrides: list[str],
    *,
    model: bool,
    samples: int,
    as_json: bool,
    tokens: int | None = None,
    images: int = 1,
) -> None:
    """Print a recipe.

    Args:
        name: File or shipped name of the recipe, or a run directory.
        overrides: Values that win over the file.
        model: Add what is counted on the model.
        samples: Training samples to show.
        as_json: Print JSON, the model's counts included.
        tokens: Length of the samples that memory is forecast for.
        images: Their images.

    Raises:
        VlftError: For everything that a user can mend.
    """
    from vlft.recipe import load_recipe, validate
    from vlft.recipe.show import as_dict, as_text

    run_dir = Path(name)
    is_run = (run_dir / RECIPE).is_file()
    loaded = load_recipe(run_dir / RECIPE if is_run else name, overrides)
    validate(loaded.recipe, origins=loaded.origins)
    if as_json:
        with redirect_stdout(sys.stderr):  # what libraries say when they are first imported
            found = forecast(loaded, tokens=tokens, images=images)
        print(json.dumps(as_dict(loaded) | found, indent=2))
        return
    print(as_text(loaded))
    if model:
        print()
        print(_forecast_text(forecast(loaded, tokens=tokens, images=images)))
    if samples:
        print()
        print(_samples_text(loaded, samples))
    if is_run and loaded.recipe.adapter.type == "dehvf":
        from vlft.cli.fusion import show_fusion

        print()
        print(show_fusion(run_dir))


def forecast(
    loaded: "LoadedRecipe", *, tokens: int | None = None, images: int = 1
) -> dict[str, Any]:
    """Return towers, trained parameters, steps and memory, counted on the meta device.

    Args:
        loaded: The recipe.
        tokens: Length of the samples that memory is forecast for.
        images: Their images.
    """
    from vlft.backbones import build, config_of, count_towers
    from vlft.cli.memory import forecast_memory

    recipe = loaded.recipe
    host = recipe.backbone
    if host.attn_implementation == "flash_attention_2":  # needs a GPU to be built; keeps the same
        host = host.model_copy(update={"attn_implementation": "sdpa"})
    shipped = None if host.model is None else config_of(host.model)
    if shipped is not None:  # the same shapes, without the network
        instead = {"model": None, "revision": None, "processor": None, "config": shipped}
        host = host.model_copy(update=instead)
    bare = build(host, device="meta")
    backbone, memory = forecast_memory(recipe, bare, tokens=tokens, images=images)
    steps, reason = _steps(loaded)
    adapter, heads = _trained_parameters(backbone.model)
    return {
        "towers": [tower.__dict__ for tower in count_towers(backbone)],
        "trainable_parameters": adapter,
        "head_parameters": heads,
        "sites": sorted(backbone.sites),
        "steps": steps,
        "steps_reason": reason,
        "memory": memory,
    }


def _trained_parameters(model: Any) -> tuple[int, int]:
    """Return the adapter's trained parameters, and those of fully trained small parts (heads)."""
    adapter = heads = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ".modules_to_save." in name:
            heads += parameter.numel()
        elif parameter.requires_grad:
            adapter += parameter.numel()
    return adapter, heads


def _steps(loaded: "LoadedRecipe") -> tuple[int | None, str | None]:
    """Return optimizer steps, or None and the reason."""
    from vlft.data import open_dataset
    from vlft.errors import DataError
    from vlft.recipe.data.files import HUB

    recipe = loaded.recipe
    if recipe.training.max_steps is not None:
        return recipe.training.max_steps, None
    if recipe.data.train is None:
        return None, "data.train is not given"
    if HUB in recipe.data.train.model_dump_json():
        return None, "data.train is on the Hub, and nothing is downloaded to count it"
    try:
        size = len(open_dataset(recipe.data.train))
    except DataError as error:
        return None, str(error)
    batch = recipe.training.global_batch_size
    whole, rest = divmod(size, batch)
    per_epoch = whole + (rest > 0 and not recipe.training.dataloader_drop_last)
    return math.ceil(per_epoch * recipe.training.num_train_epochs), None


def _forecast_text(found: dict[str, Any]) -> str:
    from vlft.cli.memory import memory_text
    from vlft.cli.report import text_table

    rows = [(t["name"], f"{t['total']:,}", f"{t['trainable']:,}") for t in found["towers"]]
    lines = [
        text_table(("tower", "parameters", "trained"), rows),
        "",
        f"trained by the adapter   {found['trainable_parameters']:,}",
        f"trained in heads         {found['head_parameters']:,}",
        f"optimizer steps          {found['steps'] or 'unknown: ' + str(found['steps_reason'])}",
        f"sites                    {', '.join(found['sites'])}",
        "",
        memory_text(found["memory"]),
    ]
    return "\n".join(lines)


def _samples_text(loaded: "LoadedRecipe", count: int) -> str:
    from transformers import set_seed

    from vlft.backbones import build
    from vlft.data import pipeline
    from vlft.data.audit import render_report
    from vlft.errors import RecipeError

    recipe = loaded.recipe
    if recipe.data.train is None:
        raise RecipeError("--samples: data.train is not given; add data.train.type and its path")
    set_seed(recipe.seed)
    backbone = build(recipe.backbone)
    samples = pipeline.open_samples(backbone, recipe.data, recipe.data.train, None)
    if backbone.family == "generative":
        return render_report(pipeline.audit_samples(backbone, samples, count=count))
    return "\n".join(_shown(samples, index) for index in range(min(count, len(samples))))


def _shown(samples: "Samples", index: int) -> str:
    """Return one line on an image with its text or label; encoding it finds what is wrong."""
    from vlft.data.records import Labeled, Pair

    _ = samples[index]
    record = samples.records[index]
    assert isinstance(record, Pair | Labeled)
    text = f"text {record.text!r}" if isinstance(record, Pair) else f"label {record.label!r}"
    return f"{samples.records.name}, record {record.id}: 1 image, {text}"
