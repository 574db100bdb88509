"""``vlft merge``: fold an adapter into its host, prove that both answer alike, then write."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlft.types import Backbone, Outputs

DTYPES = ("float32", "float16", "bfloat16")
"""Types that the merged weights can be written in."""
TOLERANCE = 1e-3
"""Largest difference between two models' outputs, as a share of the outputs' spread."""
PROBE_SIZE = (336, 336)
"""Width and height of the probe's image, in pixels."""


def run(run_dir: str, out: str, *, dtype: str = "auto") -> None:
    """Merge a run into a folder that its own library loads.

    The adapter is folded in float32, whatever the run's type, and compared with the run there; so
    rounding hides nothing. The folder is written under another name, loaded from there, compared
    with what was written, and only then given its name: a merge that went wrong leaves nothing.

    Args:
        run_dir: Run directory, checkpoint, or ``hub:user/name``.
        out: Folder to write; it must not exist.
        dtype: Type of the written weights; ``auto``: that of the run's host.

    Raises:
        RunDirectoryError: ``out`` exists, or ``run_dir`` is no run with an adapter.
        AdapterError: The adapter cannot be merged, or the merged model answers otherwise.
    """
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

    from vlft import hub
    from vlft.adapters import parts, require_mergeable
    from vlft.backbones import build
    from vlft.disk import tell_full_disk
    from vlft.errors import RunDirectoryError, pick
    from vlft.recipe import load_recipe

    target = Path(out)
    if target.exists():
        raise RunDirectoryError(f"OUT = {out} exists already: name a folder that does not")
    kinds = {"auto": None} | {name: getattr(torch, name) for name in DTYPES}
    wanted = pick(kinds, dtype, kind="dtype")
    folder = hub.locate(run_dir)
    home = hub.run_of(folder)
    if home is None:
        raise RunDirectoryError(
            f"RUN = {run_dir} is no run of vlft (recipe.yaml is missing): name a run directory, or "
            "one of its checkpoints"
        )
    recipe = load_recipe(home / hub.RECIPE).recipe
    require_mergeable(recipe.adapter, field=f"RUN = {run_dir}")
    backbone = hub.load(folder, quantized=False)
    if not isinstance(backbone.model, PeftModel):
        raise RunDirectoryError(
            f"{run_dir} holds a whole model and no adapter: there is nothing to merge, load it as "
            "it is"
        )
    _require_plain_head(backbone.model.get_base_model())
    if recipe.backbone.quantization != "none":
        sys.stderr.write(
            f"the run was trained on {recipe.backbone.quantization} weights; its adapter is merged "
            "into the exact ones, so answers differ a little from the run's\n"
        )
    base = backbone.model.get_base_model()
    assert isinstance(base, PreTrainedModel)
    stored = wanted or base.dtype
    backbone.model.float()
    expected = _outputs(backbone)
    merged = parts.merge_adapter(backbone, field="merge")
    model = merged.model
    assert isinstance(model, PreTrainedModel)
    difference = _compare(expected, _outputs(merged))
    for parameter in model.parameters():  # tables of positions keep their precision
        parameter.data = parameter.data.to(stored)
    written = _outputs(merged)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tell_full_disk(part.parent, what="the merged model"):
            model.save_pretrained(part)
            merged.processor.save_pretrained(part)
        section = hub.stored_section(recipe.backbone, part)
        reloaded = build(section.model_copy(update={"dtype": "auto"}))
        _compare(written, _outputs(reloaded))
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"merged into {target}; outputs on a probe differ by {difference:.1e} of their spread")


def _require_plain_head(model: object) -> None:
    """Refuse a host whose output head has a bias: transformers would read it back without.

    Raises:
        AdapterError: With what can be done instead.
    """
    from vlft.backbones.llava_head import BiasedLlavaForConditionalGeneration
    from vlft.errors import AdapterError

    if isinstance(model, BiasedLlavaForConditionalGeneration):
        language = model.config.get_text_config().model_type
        raise AdapterError(
            f"merge: the output head of a {language!r} language model has a bias, expected none, "
            "since LLaVA's format has no place for it and it would be lost outside of vlft; use "
            "the run as it is (vlft.load, vlft eval), or start a new run from it (init_from)"
        )


def _outputs(backbone: "Backbone") -> "Outputs":
    """Return logits or embeddings of a probe: one question about an image, or one pair."""
    import torch

    from vlft.objectives import build_objective
    from vlft.recipe.data import DataSection
    from vlft.recipe.objective import Classification, Contrastive, LanguageModeling
    from vlft.training.example_batch import example

    sections = {
        "generative": LanguageModeling(type="language_modeling"),
        "contrastive": Contrastive(type="contrastive"),
        "vision": Classification(type="classification"),
    }
    batch = example(backbone, DataSection(), tokens=1, image_size=PROBE_SIZE).batch(1)
    backbone.model.eval()
    with torch.no_grad():
        found = build_objective(sections[backbone.family]).forward(
            backbone.model, _like(backbone, batch)
        )
    return {name: tensor.detach().float() for name, tensor in found.items()}


def _like(backbone: "Backbone", batch: dict) -> dict:
    """Give floating-point inputs the type of the model's weights."""
    import torch

    dtype = next(p.dtype for p in backbone.model.parameters() if p.is_floating_point())
    return {
        name: value.to(dtype)
        if isinstance(value, torch.Tensor) and value.is_floating_point()
        else value
        for name, value in batch.items()
    }


def _compare(expected: "Outputs", found: "Outputs") -> float:
    """Return the largest difference of the two, as a share of the outputs' spread.

    Raises:
        AdapterError: It is above the tolerance, or not a number.
    """
    from vlft.errors import AdapterError

    largest = 0.0
    for name, before in expected.items():
        spread = float(before.std(correction=0)) if before.numel() > 1 else float(before.abs())
        difference = float((found[name] - before).abs().max()) / max(spread, 1e-12)
        if not difference <= TOLERANCE:  # also when it is not a number
            raise AdapterError(
                f"merge: the merged model's {name} differ from the run's by {difference:.2e} of "
                f"their spread (at most {TOLERANCE:.0e} may be rounding), so nothing was written; "
                "please report it with the run's recipe.yaml"
            )
        largest = max(largest, difference)
    return largest
