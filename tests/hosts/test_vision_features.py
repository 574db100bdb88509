"""Generative hosts that are given the features of their frozen tower train as they do on images."""

import copy
from dataclasses import replace

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.data import pipeline
from vlft.data.cached_samples import cached
from vlft.data.encoded import EncodedDataset
from vlft.data.vision_features import vision_features
from vlft.errors import DataError
from vlft.objectives.language_modeling import LanguageModeling
from vlft.recipe.adapter import DehvfAdapter, FullAdapter, LoraAdapter
from vlft.recipe.data import DataSection
from vlft.recipe.towers import Tower

CPU = torch.device("cpu")
LORA = LoraAdapter(type="lora", sites=("language.attention",))
PROJECTOR = {"projector": Tower(train="full")}


class Listed(list):
    name = "train.jsonl"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vision_features"


@pytest.fixture
def adapted(own):
    """A host whose language model has an adapter, and whose projector or merger is trained."""
    return apply_adapter(own, LORA, PROJECTOR)


def opened(backbone, records, **options):
    return EncodedDataset(Listed(records), pipeline.encoder(backbone, DataSection(**options)))


def losses_of(backbone, batch):
    """The loss of a batch, and the gradients of what is trained."""
    objective = LanguageModeling()
    loss = objective.loss(objective.forward(backbone.model, batch), batch, None).total
    loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in backbone.model.named_parameters()
        if parameter.requires_grad
    }
    return loss.item(), gradients


@pytest.mark.parametrize("alone", [False, True], ids=["images", "no image"])
def test_losses_and_gradients_are_those_of_images(alone, adapted, records):
    given = replace(adapted, model=copy.deepcopy(adapted.model))
    chosen = records[:1] if alone else records
    every = range(len(chosen))
    samples = opened(adapted, chosen)
    plain = pipeline.collator(adapted)([samples[at] for at in every])
    features = vision_features(given, CPU)
    kept = cached(opened(given, chosen), features, say=lambda text: None)
    batch = pipeline.collator(given, blank_inputs=features.blank)([kept[at] for at in every])
    assert "visual_features" in batch
    assert "pixel_values" not in batch
    loss, gradients = losses_of(given, batch)
    expected, wanted = losses_of(adapted, plain)
    assert loss == pytest.approx(expected, rel=1e-4)  # rows are float16
    assert gradients.keys() == wanted.keys()
    assert any("merger" in name or "projector" in name or "connector" in name for name in wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(
            gradients[name], gradient, rtol=0.02, atol=0.02 * float(gradient.abs().max()) + 1e-7
        )


def test_states_for_dehvf_are_kept_of_images_of_any_size(own, records):
    if own.model.config.model_type == "internvl":
        pytest.skip("DEHVF does not read its tower")
    by_size = {"num_patches": 4} if own.model.config.model_type.startswith("qwen") else {}
    section = DehvfAdapter(
        type="dehvf", groups=2, r=4, num_learned=4, max_images=3, memory_dropout=0, **by_size
    )
    backbone = apply_adapter(own, section, {})
    with torch.no_grad():
        for parameter in backbone.model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)  # what is read counts
    samples = opened(backbone, records)
    plain = losses_of(backbone, pipeline.collator(backbone)([samples[at] for at in range(3)]))[0]
    features = vision_features(backbone, CPU)
    kept = cached(samples, features, say=lambda text: None)
    collate = pipeline.collator(backbone, blank_inputs=features.blank)
    given = losses_of(backbone, collate([kept[at] for at in range(3)]))[0]
    assert given == pytest.approx(plain, rel=1e-4)


def test_images_still_work_after_features(adapted, records):
    samples = opened(adapted, records)
    plain = pipeline.collator(adapted)([samples[at] for at in range(3)])
    before = losses_of(adapted, plain)[0]
    features = vision_features(adapted, CPU)
    kept = cached(samples, features, say=lambda text: None)
    batch = pipeline.collator(adapted, blank_inputs=features.blank)([kept[at] for at in range(3)])
    losses_of(adapted, batch)
    assert losses_of(adapted, plain)[0] == before


def test_the_second_start_decodes_no_image_and_gives_equal_samples(adapted, records, monkeypatch):
    features = vision_features(adapted, CPU)
    said = []
    first = cached(opened(adapted, records), features, say=said.append)
    assert "vision features: 4 images, at most 4 to compute, " in said[0]
    decoded = []
    monkeypatch.setattr(
        "vlft.data.encode.open_image",
        lambda ref, **options: decoded.append(ref.draw()) or decoded[-1],
    )
    second = cached(opened(adapted, records), features, say=said.append)
    assert "4 images, all in" in said[1]
    assert {image.getextrema() for image in decoded} == {(0, 0)}  # stand-ins
    for index in range(3):
        one, other = first[index], second[index]
        assert torch.equal(one.input_ids, other.input_ids)
        assert one.image_inputs.keys() == other.image_inputs.keys()
        for name, tensor in one.image_inputs.items():
            assert torch.equal(tensor, other.image_inputs[name])


def test_a_budget_of_image_tokens_is_kept(adapted, records):
    if not pipeline.host_images(adapted.model).family.flexible:
        pytest.skip("an image has as many tokens as it has")
    options = {"image_tokens_per_sample": 64, "overlong": "drop"}
    features = vision_features(adapted, CPU)
    for _ in range(2):
        kept = cached(opened(adapted, records, **options), features, say=lambda text: None)
    samples = opened(adapted, records, **options)
    collate = pipeline.collator(adapted, blank_inputs=features.blank)
    plain = losses_of(adapted, pipeline.collator(adapted)([samples[at] for at in range(3)]))[0]
    given = losses_of(adapted, collate([kept[at] for at in range(3)]))[0]
    assert given == pytest.approx(plain, rel=1e-3)


def test_a_trained_tower_is_refused(own):
    full = apply_adapter(own, FullAdapter(type="full"), {})
    with pytest.raises(DataError, match="the vision tower is trained"):
        vision_features(full, CPU)
