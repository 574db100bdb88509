"""The memory forecast of ``vlft show --model``: what a recipe needs, and what would make it fit."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlft.recipe.schema import Recipe
    from vlft.training.example_batch import Example
    from vlft.training.forecast import Forecaster, Plan
    from vlft.types import Backbone


def forecast_memory(
    recipe: "Recipe", bare: "Backbone", *, tokens: int | None, images: int
) -> tuple["Backbone", dict[str, Any]]:
    """Forecast a recipe on one process; return the host with its adapter, and plain values.

    Args:
        recipe: The resolved recipe.
        bare: Its host on the meta device.
        tokens: Length of a sample; None: as ``example`` says.
        images: Images of a sample.
    """
    import torch

    from vlft.adapters import apply_adapter
    from vlft.backbones.quantization import quantized_linears
    from vlft.objectives import build_objective
    from vlft.training.activations import ActivationMeter
    from vlft.training.example_batch import example
    from vlft.training.forecast import Forecaster, checkpoint_bytes

    training = recipe.training
    layers = quantized_linears(bare, _quantized(recipe)) if _may_quantize(recipe) else {}
    backbone = apply_adapter(bare, recipe.adapter, recipe.towers, on_meta=True)
    shown = example(backbone, recipe.data, tokens=tokens, images=images)
    half = torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else None
    meter = ActivationMeter(backbone, build_objective(recipe.objective), autocast=half)
    one, two = (meter.measure(shown.batch(size)) for size in (1, 2))
    forecaster = Forecaster(backbone.model, layers, one, two)
    plan = _plan(recipe)
    found = forecaster.forecast(plan)
    memory = {
        "weights": sum(found.weights.values()),
        "weights_by_type": dict(found.weights),
        "gradients": found.gradients,
        "optimizer_states": found.optimizer_states,
        "activations": dict(found.activations),
        "workspace": found.workspace,
        "total": found.total,
        "checkpoint": checkpoint_bytes(backbone.model, training.optim),
        "example": _facts(shown, plan),
        "cards": _cards(forecaster, plan),
    }
    return backbone, memory


def memory_text(memory: dict[str, Any]) -> str:
    """Return the forecast as a table with one line per card."""
    from vlft.cli.report import gigabytes, text_table

    stored = memory["weights_by_type"]
    rows = [(f"weights ({kind})", gigabytes(size)) for kind, size in stored.items()]
    rows += [
        ("gradients", gigabytes(memory["gradients"])),
        ("optimizer states", gigabytes(memory["optimizer_states"])),
    ]
    rows += [
        (f"activations ({part})", gigabytes(size))
        for part, size in memory["activations"].items()
        if size
    ]
    rows += [
        ("backward workspace", gigabytes(memory["workspace"])),
        ("total", gigabytes(memory["total"])),
        ("one checkpoint on disk", gigabytes(memory["checkpoint"])),
    ]
    lines = [text_table(("memory of one process", "bytes"), rows), "", _example_text(memory)]
    for size, card in memory["cards"].items():
        if card["fits"]:
            verdict = "fits"
        elif card["change"]:
            verdict = f"does not fit; it would with {card['change']}"
        else:
            verdict = f"does not fit, and no single change is enough ({card['nearest']})"
        lines.append(f"{size} GB card: {verdict}")
    return "\n".join(lines)


def _example_text(memory: dict[str, Any]) -> str:
    from vlft.cli.report import gigabytes
    from vlft.training.forecast import RESERVE

    facts = memory["example"]
    size = f"{facts['micro_batch']} samples per pass"
    if facts["tokens"]:
        size += f" of {facts['tokens']} tokens, {facts['image_tokens']} of them of images"
    return f"counted for {size}; a card needs {gigabytes(RESERVE)} more for CUDA itself (assumed)"


def _facts(shown: "Example", plan: "Plan") -> dict[str, Any]:
    return {
        "tokens": shown.tokens,
        "image_tokens": shown.image_tokens,
        "images": shown.images,
        "answers": shown.answers,
        "micro_batch": plan.micro_batch,
        "checkpointing": plan.checkpointing,
    }


def _plan(recipe: "Recipe") -> "Plan":
    from vlft.recipe.objective import Contrastive
    from vlft.training.forecast import Plan

    training, objective = recipe.training, recipe.objective
    micro = training.per_device_train_batch_size or training.global_batch_size
    together = isinstance(objective, Contrastive) and objective.negatives == "global_batch"
    return Plan(
        micro_batch=micro,
        share=training.global_batch_size,
        accumulates=not together,
        checkpointing=training.gradient_checkpointing,
        quantization=recipe.backbone.quantization,
        optim=training.optim,
        most_zero=2 if isinstance(objective, Contrastive) else 3,
    )


def _cards(forecaster: "Forecaster", plan: "Plan") -> dict[str, dict[str, Any]]:
    from vlft.cli.report import gigabytes
    from vlft.training.forecast import CARDS, describe_change

    verdicts: dict[str, dict[str, Any]] = {}
    for name, size in CARDS.items():
        fits = forecaster.forecast(plan).fits(size)
        change = None if fits else forecaster.that_fits(plan, size)
        nearest = None
        if not fits and change is None:
            most = forecaster.nearest(plan)
            total = gigabytes(forecaster.forecast(most).total)
            nearest = f"{describe_change(plan, most)} together need {total}"
        words = None if change is None else describe_change(plan, change)
        verdicts[str(name)] = {"fits": fits, "change": words, "nearest": nearest}
    return verdicts


def _may_quantize(recipe: "Recipe") -> bool:
    from vlft.recipe.conflicts import conflicts

    return not conflicts(recipe.model_copy(update={"backbone": _quantized(recipe)}))


def _quantized(recipe: "Recipe") -> Any:
    host = recipe.backbone
    if host.quantization != "none":
        return host
    towers = tuple(name for name in ("language", "text") if name in host.tower_names)
    return host.model_copy(update={"quantization": "nf4", "quantized_towers": towers})
