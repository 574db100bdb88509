"""Contrastive and vision hosts keep what adapters and the Trainer rely on."""

import copy
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.backbones.towers import tower_of
from vlft.data.pipeline import collator, encoder
from vlft.data.scenes.dataset import SceneDataset
from vlft.objectives import build_objective
from vlft.recipe.adapter import LoraAdapter, PeftAdapter
from vlft.recipe.backbone import OpenClip, Siglip, Vision
from vlft.recipe.data import DataSection, Scenes
from vlft.recipe.objective import Classification, Contrastive

SHAPES = (
    "circle", "oval", "ring", "square", "bar", "frame",
    "triangle", "diamond", "arrow", "plus", "cross", "hash",
)  # fmt: skip
SECTIONS = {
    "tiny_siglip": Siglip(type="siglip", config="tiny_siglip"),
    "tiny_siglip2": Siglip(type="siglip", config="tiny_siglip2"),
    "tiny_open_clip": OpenClip(type="open_clip", config="tiny_open_clip"),
    "tiny_vit": Vision(type="vision", config="tiny_vit", labels=SHAPES),
    "tiny_swin": Vision(type="vision", config="tiny_swin", labels=SHAPES),
    "tiny_clip_vision": Vision(type="vision", config="tiny_clip_vision", labels=SHAPES),
}
OBJECTIVES = {
    "siglip": Contrastive(type="contrastive", loss="siglip"),
    "open_clip": Contrastive(type="contrastive"),
    "vision": Classification(type="classification"),
}
PLACES = {
    "contrastive": ("vision.attention", "vision.mlp", "text.attention", "text.mlp"),
    "vision": ("vision.attention", "vision.mlp"),
}
ADAPTERS = {
    "lora": LoraAdapter(type="lora", sites=("head",), r=4, lora_alpha=8),
    "dora": LoraAdapter(type="lora", sites=("head",), r=4, use_dora=True),
    "pissa": LoraAdapter(type="lora", sites=("head",), r=4, init_lora_weights="pissa"),
    "loha": PeftAdapter(type="peft", sites=("head",), peft_type="LOHA", options={"r": 4}),
}
CASES = [(host, adapter) for host in SECTIONS for adapter in ("lora", "dora")]
CASES += [("tiny_open_clip", "pissa"), ("tiny_open_clip", "loha"), ("tiny_vit", "pissa")]


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return {name: build(section) for name, section in SECTIONS.items()}


@pytest.fixture
def host(built):
    def make(name):
        return replace(built[name], model=copy.deepcopy(built[name].model))

    return make


@pytest.fixture(scope="module")
def scenes_batch(built):
    """Encode six scenes for a host, through the pipeline of a run."""

    def make(name):
        backbone = built[name]
        task = "classification" if backbone.family == "vision" else "pairs"
        records = SceneDataset(Scenes(type="scenes", task=task, num_samples=6, seed=4))
        encode = encoder(backbone, DataSection())
        samples = encode.many([records[index] for index in range(6)], dataset="scenes")
        return collator(backbone)(samples)

    batches = {name: make(name) for name in SECTIONS}
    return batches.__getitem__


def adapted(backbone, adapter):
    section = ADAPTERS[adapter].model_copy(update={"sites": PLACES[backbone.family]})
    return apply_adapter(backbone, section, {})


def outputs_of(backbone, batch):
    backbone.model.eval()
    with torch.no_grad():
        return objective(backbone).forward(backbone.model, batch)


def objective(backbone):
    return build_objective(OBJECTIVES[backbone.type])


def loss_of(backbone, batch):
    family = objective(backbone)
    return family.loss(family.forward(backbone.model, batch), batch, None).total


def fit_some(backbone, batch, steps):
    backbone.model.train()
    trained = [p for p in backbone.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = loss_of(backbone, batch)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


@pytest.mark.parametrize("name", SECTIONS)
def test_every_parameter_is_in_one_tower_and_every_site_is_there(name, built):
    backbone = built[name]
    assert set(backbone.towers) == set(SECTIONS[name].tower_names)
    for parameter, _ in backbone.model.named_parameters():
        owners = [t for t, prefixes in backbone.towers.items() if parameter.startswith(prefixes)]
        assert len(owners) == 1, (parameter, owners)
    paths = [path for path, _ in backbone.model.named_modules()]
    import re

    for site, pattern in backbone.sites.items():
        found = [path for path in paths if re.fullmatch(pattern, path)]
        assert found, site
        assert {tower_of(backbone, f"{path}.weight") for path in found} == {site.split(".")[0]}


@pytest.mark.parametrize(("name", "adapter"), CASES)
def test_an_adapter_starts_at_the_base_learns_and_can_be_taken_off(
    name, adapter, host, scenes_batch
):
    batch = scenes_batch(name)
    before = outputs_of(host(name), batch)
    backbone = adapted(host(name), adapter)
    torch.testing.assert_close(outputs_of(backbone, batch), before, rtol=1e-4, atol=2e-5)

    frozen = {n: p.clone() for n, p in backbone.model.named_parameters() if not p.requires_grad}
    losses = fit_some(backbone, batch, steps=8)
    assert losses[-1] < losses[0]
    now = dict(backbone.model.named_parameters())
    assert all(torch.equal(now[n], p) for n, p in frozen.items())
    learned = outputs_of(backbone, batch)

    if adapter != "pissa":  # whose live base is a residual
        with backbone.model.disable_adapter():
            torch.testing.assert_close(outputs_of(backbone, batch), before, rtol=0, atol=0)
    merged = replace(backbone, model=backbone.model.merge_and_unload())
    torch.testing.assert_close(outputs_of(merged, batch), learned, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SECTIONS)
def test_checkpointing_keeps_the_gradients_and_bfloat16_is_finite(name, host, scenes_batch):
    batch = scenes_batch(name)
    backbone = adapted(host(name), "lora")
    assert isinstance(backbone.model, PeftModel)
    backbone.model.train()
    fit_some(backbone, batch, steps=1)  # so that both factors get gradients
    loss_of(backbone, batch).backward()
    trained = [p for p in backbone.model.parameters() if p.requires_grad]
    plain = [p.grad.clone() for p in trained]
    assert all(gradient.any() for gradient in plain)
    backbone.model.zero_grad()

    backbone.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    loss_of(backbone, batch).backward()
    for parameter, expected in zip(trained, plain, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)
    backbone.model.zero_grad()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(backbone, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize("name", SECTIONS)
def test_full_training_reaches_every_tower_and_a_batch_is_its_samples(name, host, scenes_batch):
    batch = scenes_batch(name)
    backbone = host(name)
    together = outputs_of(backbone, batch)
    first = {
        key: value[:1] if isinstance(value, torch.Tensor) else value for key, value in batch.items()
    }
    alone = outputs_of(backbone, first)
    for key in together.keys() & {"image_embeds", "text_embeds", "logits"}:
        torch.testing.assert_close(alone[key], together[key][:1], rtol=1e-4, atol=1e-5)
    backbone.model.train()
    loss_of(backbone, batch).backward()
    reached = {
        tower_of(backbone, n)
        for n, p in backbone.model.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    assert reached == set(backbone.towers)


@pytest.mark.parametrize("name", SECTIONS)
def test_hosts_stored_in_bfloat16_take_the_pixels_of_their_processor(name, host, scenes_batch):
    batch = scenes_batch(name)
    assert batch["pixel_values"].dtype == torch.float32
    backbone = host(name)
    backbone.model.to(torch.bfloat16).train()
    loss = loss_of(backbone, batch)
    loss.backward()
    assert loss.isfinite()


def test_meta_hosts_count_like_real_ones(built):
    for name, section in SECTIONS.items():
        empty = build(section, device="meta").model
        real = built[name].model
        assert all(p.is_meta for p in empty.parameters())
        assert sum(p.numel() for p in empty.parameters()) == sum(
            p.numel() for p in real.parameters()
        )
