"""``vlft init``: a recipe for a model and a data file, or a copy of a shipped one."""

import re
from pathlib import Path
from typing import Any

from vlft.errors import RecipeError, pick

DEFAULT = "recipe.yaml"
MAX_INLINE = 20  # class names that are written into the recipe itself

ADAPTERS = {
    "lora": "LoRA", "qlora": "QLoRA", "full": "Full training", "corda": "CorDA", "dehvf": "DEHVF",
}  # fmt: skip

BATCHES = {"generative": 16, "contrastive": 256, "vision": 64}
"""Samples per step, by family of the host, where the data have as many."""

RATES = {"lora": "1e-4", "qlora": "2e-4", "full": "1e-5", "corda": "2e-5", "dehvf": "5e-4"}
"""Usual peak rates: LoRA as in LLaMA-Factory's examples, QLoRA as in arXiv 2305.14314, CorDA as in
arXiv 2406.05223, DEHVF as MemVP (arXiv 2405.05615): 9e-3 for 256 samples per step, here 16."""

PLACES = {
    "generative": ("language.attention", "language.mlp"),
    "contrastive": ("vision.attention", "vision.mlp", "text.attention", "text.mlp"),
    "vision": ("vision.attention", "vision.mlp"),
}


def run(
    *,
    model: str | None,
    data: str | None,
    recipe: str | None,
    adapter: str,
    out: str | None,
    force: bool,
) -> None:
    """Write a recipe.

    Raises:
        RecipeError: The options do not say what to write, or the file is there already.
        VlftError: The model or the data cannot be used.
    """
    if recipe is not None:
        if model is not None or data is not None:
            raise RecipeError("--recipe: it is copied as it is; leave --model and --data out")
        target = Path(out or f"{recipe.removesuffix('.yaml').rsplit('/', 1)[-1]}.yaml")
        _refuse_existing(target, force=force)
        text = shipped_text(recipe)
    elif model is None or data is None:
        raise RecipeError(
            "vlft init needs --model and --data (both), or --recipe with the name of a shipped one "
            "(`vlft list recipes`)"
        )
    else:
        pick(ADAPTERS, adapter, kind="--adapter")
        target = Path(out or DEFAULT)
        _refuse_existing(target, force=force)
        _refuse_existing(_labels_file(target), force=force)
        text = draft(model, data, adapter, target)
    _write(target, text)
    print(f"written: {target}")
    print(f"see it:  vlft show {target} --model --samples 3")
    print(f"run it:  vlft train {target}")


def shipped_text(name: str) -> str:
    """Return the text of a shipped recipe; what it extends is named as from anywhere.

    Raises:
        UnknownNameError: There is no such recipe.
    """
    from vlft.recipe.shipped import find_shipped, shipped_name

    path = find_shipped("recipes", name)

    def from_anywhere(found: re.Match[str]) -> str:
        base = shipped_name("recipes", path.parent / found[1])
        assert base is not None, found[1]
        return f"extends: {base}"

    text = path.read_text(encoding="utf-8")
    return re.sub(r"^extends: (\S+\.yaml)$", from_anywhere, text, flags=re.MULTILINE)


def draft(model: str, data: str, adapter: str, target: Path) -> str:
    """Return a recipe of at most twelve lines, and comments.

    Raises:
        VlftError: The model or the data cannot be used, or do not go with the adapter.
    """
    from vlft.adapters.dehvf import fitting
    from vlft.cli.look import labels_of, look_at_data, look_at_model, most_images, size_of

    host, shapes = look_at_model(model)
    family = shapes.family
    if adapter == "qlora" and "language" not in shapes.towers:
        raise RecipeError(
            f"--adapter qlora: it stores the language model in 4 bits, and a {host['type']} host "
            "has none: use --adapter lora"
        )
    if adapter == "dehvf" and not {"vision", "language"} <= set(shapes.towers):
        raise RecipeError(
            "--adapter dehvf: it brings what a vision tower sees to a language model, and a "
            f"{host['type']} host does not have both: use --adapter lora"
        )
    dehvf = fitting(shapes) if adapter == "dehvf" else {}
    train = look_at_data(data, family)
    batch = min(BATCHES[family], 1 << (size_of(train).bit_length() - 1))
    if family == "vision":
        host |= _classes(shapes, labels_of(train), target)
    if family == "generative":
        host["dtype"] = "float32" if adapter == "full" else "bfloat16"
    if adapter == "qlora":
        host["quantization"] = "nf4"
    if adapter == "dehvf" and (images := most_images(train)) > 1:
        dehvf["max_images"] = images
    places = [place for place in PLACES[family] if place in shapes.sites]
    lines = [
        f"# {ADAPTERS[adapter]} on {model} with {data}.",
        "# What it does:  vlft show THIS_FILE --model --samples 3",
        _base(family),
        *(["objective: {loss: siglip}"] if host["type"] == "siglip" else []),
        f"backbone: {_flow(host)}",
        _adapter(adapter, places, dehvf),
        *_towers(adapter, shapes.towers),
        f"data: {{train: {_flow(train)}}}",
        "training:",
        f"  global_batch_size: {batch}  # samples per step, over all processes",
        *_memory(family),
        "  num_train_epochs: 3",
        f"  learning_rate: {RATES[adapter]}",
        "  bf16: true  # arithmetic in bfloat16",
        "  gradient_checkpointing: true  # less memory, a fifth to a third slower",
    ]
    return "\n".join(lines).replace("THIS_FILE", str(target)) + "\n"


def _base(family: str) -> str:
    if family == "vision":
        return "objective: {type: classification}"
    return f"extends: _base/{family}"


def _adapter(adapter: str, places: list[str], dehvf: dict[str, int]) -> str:
    if adapter == "dehvf":
        return f"adapter: {_flow({'type': 'dehvf', **dehvf})}"
    if adapter == "full":
        return "adapter: {type: full}  # every weight of what `towers` does not freeze"
    if adapter == "corda":
        return f"adapter: {{type: corda, mode: ipm, sites: [{', '.join(places)}], r: 32}}"
    sizes = "r: 64, lora_alpha: 16" if adapter == "qlora" else "r: 16, lora_alpha: 32"
    return f"adapter: {{type: lora, sites: [{', '.join(places)}], {sizes}}}"


def _towers(adapter: str, towers: Any) -> list[str]:
    if adapter == "full" and {"vision", "language"} <= set(towers):
        return ["towers: {vision: {train: frozen}}"]  # as usual for generative hosts
    if adapter != "full" and "head" in towers:
        return ["towers: {head: {train: full}}"]
    return []


def _memory(family: str) -> list[str]:
    if family != "generative":  # a contrastive batch is not divided; small images need no pieces
        return []
    return ["  per_device_train_batch_size: 1  # more is faster while memory lasts"]


def _classes(shapes: Any, labels: list[str], target: Path) -> dict[str, Any]:
    """Return ``labels`` where the host's classes are not those of the data."""
    from vlft.backbones import class_names

    if set(labels) <= set(class_names(shapes.model)):
        return {}
    if len(labels) <= MAX_INLINE:
        return {"labels": labels}
    path = _labels_file(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return {"labels": str(path)}


def _labels_file(target: Path) -> Path:
    return target.with_suffix(".labels.txt")


def _flow(value: Any) -> str:
    """Write a value in YAML on one line."""
    from vlft.recipe.yaml_file import flow

    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    return flow(value)


def _refuse_existing(target: Path, *, force: bool) -> None:
    if target.exists() and not force:
        raise RecipeError(
            f"--out {target}: the file exists already: give another name, or replace it with "
            "--force"
        )


def _write(target: Path, text: str) -> None:
    """Write a recipe that loads; what does not is not left behind."""
    from vlft.recipe import load_recipe

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.write_text(text, encoding="utf-8")
    try:
        load_recipe(part)
    except BaseException:
        part.unlink()
        raise
    part.replace(target)
