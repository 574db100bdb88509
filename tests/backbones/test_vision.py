"""Vision hosts: heads are kept, or new where the classes are others; labels come from anywhere."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import ViTModel

from vlft.adapters import apply_adapter
from vlft.backbones import build, class_names, count_towers
from vlft.backbones.vision import HEAD
from vlft.errors import AdapterError, BackboneError, RecipeError
from vlft.hub import section_of
from vlft.recipe import load_recipe
from vlft.recipe.adapter import FullAdapter, LoraAdapter
from vlft.recipe.backbone import CausalLM, Clip, Vision
from vlft.recipe.section import Contradiction
from vlft.recipe.towers import Tower

KINDS = ("round", "boxy", "pointed", "crossed")
SHAPES = tuple("abcdefghijkl")


def section(**fields):
    return Vision(type="vision", **fields)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny ViT with twelve named classes."""
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("vit")
    backbone = build(section(config="tiny_vit", labels=SHAPES))
    backbone.model.save_pretrained(folder)
    backbone.processor.save_pretrained(folder)
    return folder


def test_the_same_classes_keep_their_head(checkpoint):
    stored = load_file(checkpoint / "model.safetensors")
    for labels in (None, SHAPES):
        backbone = build(section(model=str(checkpoint), labels=labels))
        assert torch.equal(backbone.model.classifier.weight, stored["classifier.weight"])
        assert class_names(backbone.model) == SHAPES
        assert backbone.local_parts == ()


@pytest.mark.parametrize("labels", [KINDS, tuple(reversed(SHAPES))])
def test_other_classes_get_a_new_head_even_when_they_are_as_many(checkpoint, labels):
    stored = load_file(checkpoint / "model.safetensors")
    backbone = build(section(model=str(checkpoint), labels=labels))
    weight = backbone.model.classifier.weight
    assert weight.shape == (len(labels), 128)
    assert weight.shape != stored["classifier.weight"].shape or not torch.equal(
        weight, stored["classifier.weight"]
    )
    assert weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(backbone.model.vit.layernorm.weight, stored["vit.layernorm.weight"])
    assert class_names(backbone.model) == labels
    assert backbone.local_parts == (HEAD,)


def test_as_many_classes_without_names_keep_their_head(tmp_path):
    backbone = build(section(config="tiny_vit"))
    assert class_names(backbone.model)[:2] == ("LABEL_0", "LABEL_1")
    backbone.model.save_pretrained(tmp_path)
    backbone.processor.save_pretrained(tmp_path)
    named = build(section(model=str(tmp_path), labels=SHAPES))
    assert torch.equal(named.model.classifier.weight, backbone.model.classifier.weight)
    assert named.local_parts == ()


def test_an_encoder_without_a_head_gets_one(checkpoint, tmp_path):
    whole = build(section(model=str(checkpoint)))
    encoder = whole.model.vit
    assert isinstance(encoder, ViTModel)
    encoder.save_pretrained(tmp_path)
    whole.processor.save_pretrained(tmp_path)
    backbone = build(section(model=str(tmp_path), labels=KINDS))
    found = backbone.model.vit.state_dict()
    assert all(torch.equal(found[name], value) for name, value in encoder.state_dict().items())
    assert backbone.local_parts == (HEAD,)


def test_the_vision_tower_of_a_clip_becomes_a_classifier(clip_folder):
    backbone = build(section(model=str(clip_folder), labels=KINDS))
    stored = load_file(clip_folder / "model.safetensors")
    state = backbone.model.state_dict()
    assert all(torch.equal(stored[n], v) for n, v in state.items() if not n.startswith(HEAD))
    assert [count.name for count in count_towers(backbone)] == ["vision", "head"]
    assert backbone.local_parts == (HEAD,)


def test_a_new_head_may_not_stay_random(checkpoint):
    adapter = LoraAdapter(type="lora", sites=("vision.attention",), r=4)
    host = section(model=str(checkpoint), labels=KINDS)
    with pytest.raises(AdapterError, match=r"the head is new.*head: \{train: full\}"):
        apply_adapter(build(host), adapter, {})
    with pytest.raises(AdapterError, match="the head is new"):
        apply_adapter(build(host), FullAdapter(type="full"), {"head": Tower(train="frozen")})
    apply_adapter(build(host), adapter, {"head": Tower(train="full")})
    apply_adapter(build(host), adapter.model_copy(update={"sites": ("head",)}), {})
    apply_adapter(build(section(model=str(checkpoint))), adapter, {})


def test_labels_may_stand_in_a_file(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("tabby cat\n\n beagle \n", encoding="utf-8")
    assert section(config="tiny_vit", labels=str(path)).labels == ("tabby cat", "beagle")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("nothing.txt", "there is no file 'nothing.txt'"),
        (("cat", "dog", "cat"), "found 'cat' twice"),
        (("cat",), "found one name"),
    ],
)
def test_bad_labels_are_refused(labels, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        section(config="tiny_vit", labels=labels)
    assert isinstance(caught.value.errors()[0]["ctx"]["error"], Contradiction)
    recipe = tmp_path / "bad.yaml"
    written = labels if isinstance(labels, str) else f"[{', '.join(labels)}]"
    recipe.write_text(
        f"backbone:\n  type: vision\n  config: tiny_vit\n  labels: {written}\n"
        "adapter: {type: full}\nobjective: {type: classification}\n"
        "data: {train: {type: scenes, task: classification}}\n"
        "training: {global_batch_size: 4, max_steps: 2, learning_rate: 1e-3}\n"
    )
    with pytest.raises(RecipeError, match=rf"bad.yaml:4: backbone.labels.*{message}"):
        load_recipe(recipe)


def test_what_is_no_image_encoder_is_refused(llama_folder):
    with pytest.raises(BackboneError, match=r"a 'llama' model cannot be used.*clip, swin, vit"):
        build(section(model=str(llama_folder)))


def test_plain_checkpoints_tell_their_kind(checkpoint, clip_folder, llama_folder):
    assert section_of(checkpoint) == section(model=str(checkpoint))
    assert section_of(clip_folder) == Clip(type="clip", model=str(clip_folder))
    assert section_of(llama_folder) == CausalLM(type="causal_lm", model=str(llama_folder))


@pytest.mark.parametrize("name", ["vit_s16", "vit_b16", "swin_t"])
def test_full_size_shapes_build_without_memory(name):
    backbone = build(section(config=name), device="meta")
    counts = {count.name: count.total for count in count_towers(backbone)}
    assert counts["head"] == 1000 * (backbone.model.classifier.in_features + 1)
    assert len(class_names(backbone.model)) == 1000
