"""Contrastive and vision hosts that are given their frozen tower's vectors train as on images."""

import copy
from dataclasses import replace

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.data import pipeline
from vlft.data.cached_samples import cached
from vlft.data.vision_features import vision_features
from vlft.errors import DataError
from vlft.objectives import build_objective
from vlft.recipe.adapter import FullAdapter
from vlft.recipe.backbone import Clip, OpenClip, Siglip, Vision
from vlft.recipe.data import DataSection, Scenes
from vlft.recipe.objective import Classification, Contrastive
from vlft.recipe.towers import Tower

CPU = torch.device("cpu")
SHAPES = (
    "circle", "oval", "ring", "square", "bar", "frame",
    "triangle", "diamond", "arrow", "plus", "cross", "hash",
)  # fmt: skip
TIMM = {
    "embed_dim": 32,
    "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "timm_proj": "linear",
                   "image_size": 224},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}  # fmt: skip
PREPROCESS = {"size": 224, "mean": [0.5] * 3, "std": [0.5] * 3}
SECTIONS = {
    "tiny_clip": Clip(type="clip", config="tiny_clip"),
    "tiny_siglip": Siglip(type="siglip", config="tiny_siglip"),
    "tiny_siglip2": Siglip(type="siglip", config="tiny_siglip2"),
    "tiny_open_clip": OpenClip(type="open_clip", config="tiny_open_clip"),
    "tiny_vit": Vision(type="vision", config="tiny_vit", labels=SHAPES),
    "tiny_swin": Vision(type="vision", config="tiny_swin", labels=SHAPES),
    "tiny_clip_vision": Vision(type="vision", config="tiny_clip_vision", labels=SHAPES),
}
FULL, LOCKED = FullAdapter(type="full"), {"vision": Tower(train="frozen")}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vision_features"


@pytest.fixture(params=SECTIONS)
def built(request):
    torch.manual_seed(0)
    return build(SECTIONS[request.param])


@pytest.fixture
def locked(built):
    """A host that is trained but for its vision tower."""
    return apply_adapter(built, FULL, LOCKED)


def opened(backbone):
    task = "classification" if backbone.family == "vision" else "pairs"
    section = Scenes(type="scenes", task=task, num_samples=6, seed=4)
    return pipeline.open_samples(backbone, DataSection(), section, None)


def steps(backbone, samples, count=3):
    """Train some steps on all samples; return losses, first gradients and the batch."""
    vision = backbone.family == "vision"
    loss = "siglip" if backbone.type == "siglip" else "clip"
    section = (
        Classification(type="classification")
        if vision
        else Contrastive(type="contrastive", loss=loss)
    )
    objective = build_objective(section)
    batch = pipeline.collator(backbone)([samples[at] for at in range(len(samples))])
    trained = {n: weight for n, weight in backbone.model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3)
    losses, first = [], {}
    backbone.model.train()
    for _ in range(count):
        value = objective.loss(objective.forward(backbone.model, batch), batch, None).total
        value.backward()
        first = first or {name: weight.grad.clone() for name, weight in trained.items()}
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    return losses, first, batch


def test_losses_are_those_of_images(locked):
    given = replace(locked, model=copy.deepcopy(locked.model))
    features = vision_features(given, CPU)
    kept = cached(opened(given), features, say=lambda text: None)
    losses, one, batch = steps(given, kept)
    assert not {"pixel_values", "pixel_attention_mask", "spatial_shapes"} & {*batch}
    assert len(features.shape) == 1  # a vector for each image
    expected, other, _ = steps(locked, opened(locked))
    assert losses == pytest.approx(expected, rel=2e-3)  # rows are float16
    assert losses[-1] != losses[0]
    assert one.keys() == other.keys()  # projections and heads, too
    error = sum((one[name] - other[name]).square().sum() for name in other)
    assert error < 1e-4 * sum(gradient.square().sum() for gradient in other.values())


def test_images_still_work_after_features(locked):
    features = vision_features(locked, CPU)
    steps(locked, cached(opened(locked), features, say=lambda text: None))
    other = replace(locked, model=copy.deepcopy(locked.model))
    assert steps(locked, opened(locked))[0] == steps(other, opened(other))[0]


def test_the_second_start_decodes_no_image(locked, monkeypatch):
    features = vision_features(locked, CPU)
    said = []
    first = cached(opened(locked), features, say=said.append)
    assert "at most 6 to compute, of " in said[0]
    for module in ("encode_pair", "encode_labeled"):
        monkeypatch.setattr(f"vlft.data.{module}.open_image", lambda ref, **options: ref.draw())
    second = cached(opened(locked), features, say=said.append)
    assert "6 images, all in" in said[1]
    for index in range(6):
        assert torch.equal(
            first[index].image_inputs["visual_features"],
            second[index].image_inputs["visual_features"],
        )


def test_a_trained_tower_is_refused(built):
    with pytest.raises(DataError, match="the vision tower is trained"):
        vision_features(apply_adapter(built, FULL, {}), CPU)


def test_towers_of_timm_are_read_before_their_projection():
    from vlft.backbones.frozen_pooled import CONTRASTIVE
    from vlft.backbones.frozen_tower import take_features
    from vlft.backbones.open_clip_model import OpenClipConfig, OpenClipModel

    pytest.importorskip("timm")
    torch.manual_seed(0)
    model = OpenClipModel(OpenClipConfig(model_cfg=TIMM, preprocess_cfg=PREPROCESS))
    model.eval()
    pixels, ids = torch.randn(2, 3, 224, 224), torch.randint(1, 400, (2, 16))
    with torch.no_grad():
        plain = model(pixel_values=pixels, input_ids=ids).image_embeds
        frozen = CONTRASTIVE["open_clip"](model)
        rows = frozen.read({"pixel_values": pixels})
        take_features(model, frozen)
        given = model(visual_features=rows, input_ids=ids).image_embeds
    assert rows.shape[1] != plain.shape[1]
    assert torch.equal(given, plain)


def test_another_configuration_of_the_same_weights_gives_other_features():
    """An activation is no weight: rows of the one would be served to the other in silence."""
    torch.manual_seed(0)
    plain = build(Clip(type="clip", config="tiny_clip"))
    other = replace(plain, model=copy.deepcopy(plain.model))
    assert plain.model.config.vision_config.hidden_act != "relu"
    other.model.config.vision_config.hidden_act = "relu"
    folders = set()
    for backbone in (plain, other):
        for parameter in backbone.model.parameters():
            parameter.requires_grad_(False)
        features = vision_features(backbone, torch.device("cpu"))
        folders.add(cached(opened(backbone), features, say=print).folder)
    assert len(folders) == 2
