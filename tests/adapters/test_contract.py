"""Every adapter on every tiny host: what its declared flags promise, and what all must do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from vlft.adapters import ADAPTERS, apply_adapter, mutation
from vlft.adapters.apply import WRAPS
from vlft.adapters.base import Counted
from vlft.backbones.towers import tower_of
from vlft.objectives import build_objective
from vlft.recipe.adapter import CordaAdapter, DehvfAdapter, FullAdapter, LoraAdapter, PeftAdapter
from vlft.recipe.objective import Contrastive, LanguageModeling
from vlft.recipe.towers import Tower
from vlft.types import Backbone, Batch

SITES = {
    "tiny_llava": ("vision.attention", "projector", "language.attention", "language.mlp"),
    "tiny_clip": ("vision.mlp", "text.attention"),
    "tiny_llama": ("language.attention",),
}


@dataclass(frozen=True)
class Case:
    id: str
    options: dict[str, Any] = field(default_factory=dict)
    type: str = "lora"


KEPT = {"data": {"type": "messages", "path": "kept.jsonl"}}  # here batches stand for it

CASES = [
    Case("lora"),
    Case("lora-gaussian", {"init_lora_weights": "gaussian"}),
    Case("dora", {"use_dora": True}),
    Case("rslora", {"use_rslora": True}),
    Case("pissa", {"init_lora_weights": "pissa"}),
    Case("corda-ipm", {"mode": "ipm", "r": 4}, "corda"),
    Case("corda-kpm", {"mode": "kpm", "r": 4, "lora_alpha": 8, "calibration": KEPT}, "corda"),
    Case("ia3", {"peft_type": "IA3", "options": {"feedforward_modules": []}}, "peft"),
    Case("loha", {"peft_type": "LOHA", "options": {"r": 4}}, "peft"),
    Case("full", {}, "full"),
]
BESIDE = Case("dehvf", {"groups": 2, "r": 4, "num_learned": 4, "vision_adapter_dim": 2}, "dehvf")
TABLE = [pytest.param(host, case, id=f"{case.id}-{host}") for host in SITES for case in CASES]
TABLE.append(pytest.param("tiny_llava", BESIDE, id="dehvf-tiny_llava"))
SECTIONS = {
    "corda": CordaAdapter, "dehvf": DehvfAdapter, "lora": LoraAdapter, "peft": PeftAdapter,
    "full": FullAdapter,
}  # fmt: skip


def section_of(case: Case, host: str) -> Any:
    options = dict(case.options)
    if case.type == "lora":
        options = {"r": 4, "lora_alpha": 8, **options}
    if case.type not in ("full", "dehvf"):
        options["sites"] = SITES[host]
    return SECTIONS[case.type](type=case.type, **options)


def adapted_to(backbone: Backbone, section: Any, batch: Batch) -> Backbone:
    """Place an adapter, prepared on a batch where it needs that."""
    prepare = ADAPTERS[section.type].prepare
    if prepare is None:
        return apply_adapter(backbone, section, {})
    objective = objective_for(backbone)
    found = prepare(
        backbone, section, [[Counted(batch)]], lambda one: objective.forward(backbone.model, one)
    )
    mutation.take_out(backbone.model, found.start)
    backbone = apply_adapter(backbone, section, {})
    mutation.put_in(backbone.model, found.start)
    return backbone


def seen_by(case: Case, batch: Batch) -> Batch:
    """Return the batch as the method's encoder makes it: DEHVF has no image tokens."""
    if case.type != "dehvf":
        return batch
    ids = batch["input_ids"].clone()
    ids[:, 1:17] = ids[:, 17:18]
    slots = torch.tensor([[0], [-1], [2]])
    return {**batch, "input_ids": ids, "image_slots": slots}


def seen_by_base(case: Case, batch: Batch) -> Batch:
    """Return what the bare host takes of that batch."""
    batch = seen_by(case, batch)
    beside = ("pixel_values", "image_slots") if case.type == "dehvf" else ()
    return {name: value for name, value in batch.items() if name not in beside}


def objective_for(backbone: Backbone):
    if backbone.family == "contrastive":
        return build_objective(Contrastive(type="contrastive"))
    return build_objective(LanguageModeling(type="language_modeling"))


def outputs_of(backbone: Backbone, batch: Batch) -> Tensor:
    backbone.model.eval()
    with torch.no_grad():
        outputs = objective_for(backbone).forward(backbone.model, batch)
    return outputs["image_embeds"] if "image_embeds" in outputs else outputs["logits"]


def loss_of(backbone: Backbone, batch: Batch) -> Tensor:
    objective = objective_for(backbone)
    return objective.loss(objective.forward(backbone.model, batch), batch, None).total


def trained(backbone: Backbone) -> list[torch.nn.Parameter]:
    return [p for p in backbone.model.parameters() if p.requires_grad]


def fit_some(backbone: Backbone, batch: Batch, steps: int = 12) -> list[float]:
    backbone.model.train()
    optimizer = torch.optim.AdamW(trained(backbone), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = loss_of(backbone, batch)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


@pytest.mark.parametrize(("name", "case"), TABLE)
def test_step_zero_equals_the_base_where_declared(name, case, host, batches):
    section = section_of(case, name)
    before = outputs_of(host(name), seen_by_base(case, batches[name]))
    batch = seen_by(case, batches[name])
    after = outputs_of(adapted_to(host(name), section, batch), batch)
    if ADAPTERS[section.type].flags(section).identity:
        torch.testing.assert_close(after, before, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("name", "case"), TABLE)
def test_only_the_adapter_trains_loss_falls_and_every_tower_learns(name, case, host, batches):
    section = section_of(case, name)
    adapted = adapted_to(host(name), section, batches[name])
    frozen = {
        n: p.detach().clone() for n, p in adapted.model.named_parameters() if not p.requires_grad
    }
    learning = {
        n: p.detach().clone() for n, p in adapted.model.named_parameters() if p.requires_grad
    }
    losses = fit_some(adapted, seen_by(case, batches[name]))
    assert losses[-1] < losses[0]
    now = dict(adapted.model.named_parameters())
    assert all(torch.equal(now[n], p) for n, p in frozen.items())
    moved = {tower_of(adapted, n) for n, p in learning.items() if not torch.equal(now[n], p)}
    assert moved == {tower_of(adapted, n) for n in learning}
    if case.type != "full":
        marks = ("lora", "ia3", "hada", "vlft_dehvf_")
        assert all(any(mark in n for mark in marks) for n in learning)


@pytest.mark.parametrize(("name", "case"), TABLE)
def test_disabling_gives_the_base_back(name, case, host, batches):
    section = section_of(case, name)
    flags = ADAPTERS[section.type].flags(section)
    if case.type == "full" or flags.mutates_base:
        pytest.skip("nothing to disable, or the live base is a residual (see test_mutation)")
    before = outputs_of(host(name), seen_by_base(case, batches[name]))
    batch = seen_by(case, batches[name])
    adapted = apply_adapter(host(name), section, {})
    fit_some(adapted, batch, steps=3)
    assert isinstance(adapted.model, PeftModel)
    with adapted.model.disable_adapter():
        torch.testing.assert_close(outputs_of(adapted, batch), before, rtol=0, atol=0)
    assert not torch.equal(outputs_of(adapted, batch), before)


@pytest.mark.parametrize(("name", "case"), TABLE)
def test_merged_equals_unmerged_where_declared(name, case, host, batches):
    section = section_of(case, name)
    if not ADAPTERS[section.type].flags(section).mergeable:
        pytest.skip("not declared mergeable")
    adapted = adapted_to(host(name), section, batches[name])
    fit_some(adapted, batches[name], steps=3)
    unmerged = outputs_of(adapted, batches[name])
    merged = Backbone(**{**vars(adapted), "model": adapted.model.merge_and_unload()})
    torch.testing.assert_close(outputs_of(merged, batches[name]), unmerged, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "case"), TABLE)
def test_bfloat16_autocast_and_checkpointing_keep_the_gradients(name, case, host, batches):
    section = section_of(case, name)
    batch = seen_by(case, batches[name])
    adapted = adapted_to(host(name), section, batches[name])
    adapted.model.train()
    for module in adapted.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss_of(adapted, batch).backward()
    # LLaVA does not use its tower's last norm, so under full training that one has no gradient.
    reached = [p for p in trained(adapted) if p.grad is not None]
    assert len(reached) >= len(trained(adapted)) - 2
    plain = [p.grad.clone() for p in reached]
    adapted.model.zero_grad()

    adapted.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    loss_of(adapted, batch).backward()
    for parameter, expected in zip(reached, plain, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)
    adapted.model.zero_grad()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(adapted, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in reached)


def test_unwrappable_modules_are_refused_with_the_sites_that_work(host: Callable[[str], Backbone]):
    from vlft.errors import SiteError

    section = LoraAdapter(type="lora", sites=("language.block",))
    with pytest.raises(SiteError, match=r"lora cannot wrap .*LlamaDecoderLayer.*language\.mlp"):
        apply_adapter(host("tiny_llava"), section, {})
    assert torch.nn.Linear in WRAPS


@pytest.mark.parametrize(
    ("section", "towers", "phrase"),
    [
        (
            LoraAdapter(type="lora", sites=("language.attentoin",)),
            {},
            "unknown site 'language.attentoin'. Did you mean 'language.attention'?",
        ),
        (
            LoraAdapter(type="lora", target_modules="q_prj"),
            {},
            r"'q_prj' matches no full module name; near it is 'q_proj'",
        ),
        (
            LoraAdapter(type="lora", sites=("projector",)),
            {"projector": Tower(train="full")},
            "towers.projector.train: full, but the adapter also sits there",
        ),
        (
            LoraAdapter(type="lora", sites=("projector",)),
            {"text": Tower(train="full")},
            "unknown tower of a image_text_to_text host 'text'",
        ),
        (
            PeftAdapter(type="peft", sites=("projector",), peft_type="LOHAA"),
            {},
            "unknown PEFT method 'LOHAA'. Did you mean 'LOHA'?",
        ),
        (
            PeftAdapter(type="peft", sites=("projector",), peft_type="PROMPT_TUNING"),
            {},
            "is not placed on modules",
        ),
        (
            PeftAdapter(type="peft", sites=("projector",), peft_type="LOHA", options={"rank": 4}),
            {},
            "unknown LOHA option 'rank'",
        ),
    ],
)
def test_mistakes_are_named(section, towers, phrase, host):
    from vlft.errors import VlftError

    with pytest.raises(VlftError) as caught:
        apply_adapter(host("tiny_llava"), section, towers)
    assert phrase in str(caught.value)
    assert "\n" not in str(caught.value)


def test_full_projector_travels_with_the_adapter_and_full_tower_is_trained_in_place(host):
    section = LoraAdapter(type="lora", sites=("language.attention",), r=4)
    towers = {"projector": Tower(train="full"), "vision": Tower(train="full")}
    adapted = apply_adapter(host("tiny_llava"), section, towers)
    by_tower: dict[str, set[str]] = {}
    for name, parameter in adapted.model.named_parameters():
        if parameter.requires_grad:
            by_tower.setdefault(tower_of(adapted, name), set()).add(name)
    assert all("modules_to_save" in name for name in by_tower["projector"])
    assert all("lora" not in name for name in by_tower["vision"])
    assert all("lora" in name for name in by_tower["language"])


def test_meta_injection_counts_like_the_real_one(host, pristine_hosts):
    from vlft.backbones import build
    from vlft.recipe.backbone import ImageTextToText

    section = LoraAdapter(type="lora", sites=SITES["tiny_llava"], r=4, init_lora_weights="pissa")
    real = apply_adapter(host("tiny_llava"), section, {})
    empty = build(ImageTextToText(type="image_text_to_text", config="tiny_llava"), device="meta")
    counted = apply_adapter(empty, section, {}, on_meta=True)
    assert {p.device.type for p in counted.model.parameters()} == {"meta"}
    assert sum(p.numel() for p in trained(counted)) == sum(p.numel() for p in trained(real))


def test_pissa_round_trip_through_initial_factors(host, batches, tmp_path: Path):
    section = LoraAdapter(type="lora", sites=SITES["tiny_llava"], r=4, init_lora_weights="pissa")
    batch = batches["tiny_llava"]
    base = outputs_of(host("tiny_llava"), batch)
    live = apply_adapter(host("tiny_llava"), section, {})
    mutation.save_initial(live.model, tmp_path)
    start = {n: p.detach().clone() for n, p in live.model.named_parameters()}
    fit_some(live, batch, steps=4)
    tuned = outputs_of(live, batch)

    bare = host("tiny_llava")
    start_factors = mutation.read_initial(tmp_path)
    mutation.take_out(bare.model, start_factors)
    restored = apply_adapter(bare, section, {}, plain_init=True)
    mutation.put_in(restored.model, start_factors)
    for name, parameter in restored.model.named_parameters():
        torch.testing.assert_close(parameter, start[name], rtol=1e-4, atol=1e-5)

    out = tmp_path / "exported"
    live.model.save_pretrained(out)
    mutation.export(live.model.peft_config["default"], tmp_path, out)
    assert live.model.peft_config["default"].r == 4
    exported = PeftModel.from_pretrained(host("tiny_llava").model, str(out))
    loaded = Backbone(**{**vars(live), "model": exported})
    torch.testing.assert_close(outputs_of(loaded, batch), tuned, rtol=1e-3, atol=1e-4)
    with exported.disable_adapter():
        torch.testing.assert_close(outputs_of(loaded, batch), base, rtol=0, atol=0)
