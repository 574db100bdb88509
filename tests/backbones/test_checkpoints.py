"""Hosts from folders: equal in a fresh process, and refused in one line when something is wrong."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, CLIPVisionModel

from vlft.backbones import build
from vlft.backbones.tokenizer import chat_tokenizer
from vlft.errors import BackboneError
from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText

SECTIONS = {
    "clip": Clip(type="clip", config="tiny_clip"),
    "image_text_to_text": ImageTextToText(type="image_text_to_text", config="tiny_llava"),
    "causal_lm": CausalLM(type="causal_lm", config="tiny_llama"),
}
PROCESSORS = {
    "clip": "CLIPProcessor",
    "image_text_to_text": "LlavaProcessor",
    "causal_lm": "TokenizersBackend",
}
PROBE = """
import torch

def probe(backbone):
    ids = [1, 5, 300, 301, 6, 302, 3]
    if backbone.type == "image_text_to_text":
        ids = [2] * 16 + ids
    images = {} if backbone.type == "causal_lm" else {"pixel_values": torch.ones(1, 3, 48, 48)}
    with torch.no_grad():
        out = backbone.model.eval()(input_ids=torch.tensor([ids]), **images)
    values = out.logits_per_image if backbone.type == "clip" else out.logits
    return [type(backbone.processor).__name__, values.double().sum().item()]
"""
RELOAD = (
    PROBE
    + """
import json, sys
from vlft.backbones import build
from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText

KINDS = {"clip": Clip, "image_text_to_text": ImageTextToText, "causal_lm": CausalLM}
found = {}
for kind, section in KINDS.items():
    backbone = build(section(type=kind, model=f"{sys.argv[1]}/{kind}"))
    assert backbone.local_parts == ()
    found[kind] = probe(backbone)
print(json.dumps(found))
"""
)


@pytest.mark.slow
def test_a_fresh_process_reads_back_equal_hosts(tmp_path):
    here = {}
    exec(PROBE, here)  # the same few lines on both sides
    expected = {}
    for kind, section in SECTIONS.items():
        backbone = build(section)
        backbone.model.save_pretrained(tmp_path / kind)
        backbone.processor.save_pretrained(tmp_path / kind)
        expected[kind] = here["probe"](backbone)
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for kind, (processor, total) in expected.items():
        assert processor == PROCESSORS[kind]
        assert found[kind] == [processor, pytest.approx(total, abs=1e-4)]


def test_a_folder_gives_its_own_weights(llava_folder):
    backbone = build(ImageTextToText(type="image_text_to_text", model=str(llava_folder)))
    torch.manual_seed(7)  # as the folder was made; transformers renames LLaVA's weights on disk
    saved = build(ImageTextToText(type="image_text_to_text", config="tiny_llava")).model
    state = backbone.model.state_dict()
    assert saved.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in saved.state_dict().items())
    assert backbone.local_parts == ()
    assert backbone.source["model"] == str(llava_folder)


def test_weights_fill_a_shipped_configuration(clip_folder):
    section = Clip(type="clip", config="tiny_clip", weights=str(clip_folder))
    backbone = build(section)
    stored = load_file(clip_folder / "model.safetensors")
    assert all(torch.equal(stored[name], w) for name, w in backbone.model.state_dict().items())
    assert backbone.local_parts == ()
    assert backbone.source["processor"] == str(clip_folder)


def test_a_folder_is_counted_without_its_weights(llava_folder, tmp_path):
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    (folder / "model.safetensors").unlink()
    section = ImageTextToText(type="image_text_to_text", model=str(folder))
    assert all(p.is_meta for p in build(section, device="meta").model.parameters())


def test_another_processor_can_be_named(llava_folder, tmp_path):
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    (folder / "processor_config.json").unlink()
    section = ImageTextToText(
        type="image_text_to_text", model=str(folder), processor=str(llava_folder)
    )
    assert build(section).source["processor"] == str(llava_folder)


# Each case breaks a folder (or names none) and returns the section that must be refused.


def no_folder(folders, tmp_path):
    return Clip(type="clip", model=str(tmp_path / "nothing"))


def no_config(folders, tmp_path):
    return Clip(type="clip", model=str(tmp_path))


def unreachable_hub_id(folders, tmp_path):
    return Clip(type="clip", model="nobody-here/no-such-model")


def bert_given_to_clip(folders, tmp_path):
    _bert(tmp_path)
    return Clip(type="clip", model=str(tmp_path))


def bert_given_to_causal_lm(folders, tmp_path):
    _bert(tmp_path)
    return CausalLM(type="causal_lm", model=str(tmp_path))


def vision_tower_given_to_clip(folders, tmp_path):
    CLIPVisionModel.from_pretrained(folders["clip"]).save_pretrained(tmp_path)
    return Clip(type="clip", model=str(tmp_path))


def text_model_given_to_image_text_to_text(folders, tmp_path):
    return ImageTextToText(type="image_text_to_text", model=str(folders["llama"]))


def no_weights(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "llama")
    (folder / "model.safetensors").unlink()
    return CausalLM(type="causal_lm", model=str(folder))


def pickled_weights(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "llama")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return CausalLM(type="causal_lm", model=str(folder))


def some_weights_missing(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "llama")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return CausalLM(type="causal_lm", model=str(folder))


def truncated_weights(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    return CausalLM(type="causal_lm", model=str(folder))


def weights_of_another_shape(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "llama")
    _edit(folder / "config.json", intermediate_size=256)
    return CausalLM(type="causal_lm", model=str(folder))


def no_chat_template(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    (folder / "chat_template.jinja").unlink()
    return ImageTextToText(type="image_text_to_text", model=str(folder))


def no_image_processor(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    (folder / "processor_config.json").unlink()
    return ImageTextToText(type="image_text_to_text", model=str(folder))


def no_processor_at_all(folders, tmp_path):
    folder = shutil.copytree(folders["clip"], tmp_path / "clip")
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return Clip(type="clip", model=str(folder))


def larger_vocabulary(folders, tmp_path):
    tokenizer = chat_tokenizer()
    tokenizer.add_tokens([f"word{i}" for i in range(500)])
    tokenizer.save_pretrained(tmp_path)
    return CausalLM(type="causal_lm", model=str(folders["llama"]), processor=str(tmp_path))


def another_image_token(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    _edit(folder / "config.json", image_token_index=9)
    return ImageTextToText(type="image_text_to_text", model=str(folder))


def unknown_config(folders, tmp_path):
    return Clip(type="clip", config="tiny_clipp")


def config_of_another_kind(folders, tmp_path):
    return Clip(type="clip", config="tiny_llava")


def vision_config(folders, tmp_path):
    return Clip(type="clip", config="vit_s16")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (no_folder, "backbone.model: there is no folder"),
        (no_config, "has no config.json"),
        (unreachable_hub_id, "could not be had from the Hub.*Offline: give a local folder"),
        (bert_given_to_clip, "a 'bert' model cannot be used.*supported model types: clip"),
        (bert_given_to_causal_lm, "saved from BertForMaskedLM.*needs BertLMHeadModel"),
        (vision_tower_given_to_clip, "a 'clip_vision_model' model cannot be used"),
        (text_model_given_to_image_text_to_text, "a 'llama' model cannot be used.*: gemma3"),
        (no_weights, "holds no model.safetensors"),
        (pickled_weights, "holds no model.safetensors.*save_pretrained"),
        (some_weights_missing, "lacks 1 weights of this model, the first is 'model.norm.weight'"),
        (truncated_weights, "cannot be read"),
        (weights_of_another_shape, "has shape .*the configuration says"),
        (no_chat_template, "has no chat template"),
        (no_image_processor, "not a processor of images and text|holds no complete processor"),
        (no_processor_at_all, "holds no complete processor"),
        (larger_vocabulary, "the tokenizer has 10.. tokens, the model's embedding 768 rows"),
        (another_image_token, "marks images with token 2, the model expects 9"),
        (unknown_config, "Did you mean 'tiny_clip'"),
        (config_of_another_kind, "is for hosts of type .*Configurations for clip: clip_vit_b32"),
        (vision_config, "is for hosts of type vision, not clip"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(
    case, message, clip_folder, llama_folder, llava_folder, tmp_path
):
    folders = {"clip": clip_folder, "llama": llama_folder, "llava": llava_folder}
    section = case(folders, tmp_path)
    with pytest.raises(BackboneError, match=message) as caught:
        build(section)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("backbone")


def _bert(folder):
    config = BertConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertForMaskedLM(config).save_pretrained(folder)


def _edit(path, **changes):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes))
