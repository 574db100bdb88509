"""How far the memory forecast is from what autograd really keeps, family by family.

    python scripts/bench_memory.py

Every tiny host is run for real on the CPU, and once more without weights; both count the storages
that ``torch.autograd.graph.saved_tensors_hooks`` sees. One line per host: the largest relative
error over LoRA and full training, with and without bfloat16 autocast.
"""

import json
import warnings

import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build, config_names, read_config
from vlft.errors import VlftError
from vlft.objectives import build_objective
from vlft.recipe.adapter import FullAdapter, LoraAdapter
from vlft.recipe.backbone import CausalLM, Clip, Host, ImageTextToText, OpenClip, Siglip, Vision
from vlft.recipe.data import DataSection
from vlft.recipe.objective import Classification, Contrastive, LanguageModeling
from vlft.training.activations import ActivationMeter, saved_activations
from vlft.training.example_batch import example
from vlft.types import Backbone

HOSTS: dict[str, type[Host]] = {
    "image_text_to_text": ImageTextToText,
    "clip": Clip,
    "siglip": Siglip,
    "open_clip": OpenClip,
    "vision": Vision,
    "causal_lm": CausalLM,
}
OBJECTIVES = {
    "generative": LanguageModeling(type="language_modeling"),
    "contrastive": Contrastive(type="contrastive"),
    "vision": Classification(type="classification"),
}


def adapted(section: Host, device: str, kind: str) -> Backbone:
    """Build a host with LoRA at attention and MLP, or to be trained whole."""
    backbone = build(section, device=device)  # pyrefly: ignore[bad-argument-type]
    sites = tuple(site for site in backbone.sites if site.endswith((".attention", ".mlp")))
    lora = LoraAdapter(type="lora", sites=sites, r=8, lora_dropout=0.1)
    adapter = lora if kind == "lora" else FullAdapter(type="full")
    return apply_adapter(backbone, adapter, {}, on_meta=device == "meta")


def errors(section: Host) -> tuple[float, float]:
    """Return the largest relative error without and with gradient checkpointing."""
    plain = checkpointed = 0.0
    for kind in ("lora", "full"):
        for autocast in (None, torch.bfloat16):
            real = adapted(section, "cpu", kind)
            objective = build_objective(OBJECTIVES[real.family])
            tokens = 256 if real.family == "generative" else None
            batch = example(real, DataSection(), tokens=tokens, image_size=(96, 72)).batch(2)
            empty = adapted(section, "meta", kind)
            found = ActivationMeter(empty, objective, autocast=autocast).measure(batch)
            kept = saved_activations(real, objective, batch, autocast=autocast)
            expected = kept.kept(checkpointing=False)
            plain = max(plain, abs(found.kept(checkpointing=False) / expected - 1))
            real.model.activation_checkpointing_enable(  # pyrefly: ignore[not-callable]
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
            kept = saved_activations(real, objective, batch, autocast=autocast)
            expected = kept.kept(checkpointing=False)
            error = abs(sum(found.checkpointed.values()) / expected - 1)
            checkpointed = max(checkpointed, error)
    return plain, checkpointed


def main() -> None:
    """Print one JSON line per tiny host."""
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    torch.manual_seed(0)
    for name in config_names():
        kind = read_config(name).types[0]
        if not name.startswith("tiny_") or kind not in HOSTS:
            continue
        try:
            section = HOSTS[kind].model_validate({"type": kind, "config": name})
            plain, checkpointed = errors(section)
        except VlftError as error:
            print(json.dumps({"host": name, "skipped": str(error)}))
            continue
        line = {"host": name, "error": round(plain, 4), "checkpointing": round(checkpointed, 4)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
