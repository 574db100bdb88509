"""A LLaVA from parts: towers bit for bit, a new projector, a tokenizer that knows images."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel

from vlft.backbones import build, count_towers
from vlft.backbones.language import PLAIN_CHAT_TEMPLATE
from vlft.errors import BackboneError
from vlft.recipe.backbone import Assembled, CausalLM, ImageTextToText


@pytest.fixture(scope="module")
def plain_llama(llama_folder, tmp_path_factory):
    """A base language model: no image token, no padding token, no chat template, no spare row."""
    torch.manual_seed(11)
    backbone = build(CausalLM(type="causal_lm", model=str(llama_folder)))
    folder = tmp_path_factory.mktemp("parts") / "llama"
    backbone.processor.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("image_token", "pad_token", "extra_special_tokens"):
        config.pop(name, None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    dropped = [t for t in tokenizer["added_tokens"] if t["content"] in ("<image>", "<pad>")]
    assert len(dropped) == 2
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t not in dropped]
    vocabulary = tokenizer["model"]["vocab"]
    for token in dropped:
        # Keep the id taken: the tokens that are added must get ids of their own.
        vocabulary[f"unused{token['id']}"] = vocabulary.pop(token["content"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    backbone.model.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    backbone.model.save_pretrained(folder)
    return folder


def parts(vision, language, **fields):
    return Assembled(type="assembled", vision=str(vision), language=str(language), **fields)


def equal_weights(model, stored, prefix):
    state = model.state_dict()
    return [torch.equal(state[prefix + name], value) for name, value in stored.items()]


def test_towers_are_bit_equal_to_their_checkpoints(clip_folder, llama_folder):
    backbone = build(parts(clip_folder, llama_folder))
    clip = load_file(clip_folder / "model.safetensors")
    vision = {
        name.removeprefix("vision_model."): value
        for name, value in clip.items()
        if name.startswith("vision_model.")
    }
    llama = load_file(llama_folder / "model.safetensors")
    head = llama.pop("lm_head.weight")
    decoder = {name.removeprefix("model."): value for name, value in llama.items()}
    assert vision
    assert all(equal_weights(backbone.model, vision, "model.vision_tower."))
    assert all(equal_weights(backbone.model, decoder, "model.language_model."))
    assert torch.equal(backbone.model.lm_head.weight, head)


def test_only_the_projector_is_new_and_follows_the_seed(clip_folder, llama_folder):
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        backbone = build(parts(clip_folder, llama_folder))
        projector = backbone.model.model.multi_modal_projector
        weights.append(torch.cat([p.flatten() for p in projector.parameters()]))
        assert weights[-1].std() > 0
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert backbone.local_parts == ("model.multi_modal_projector.",)


def test_a_bare_vision_tower_gives_the_same_host(clip_folder, llama_folder, tmp_path):
    CLIPVisionModel.from_pretrained(clip_folder).save_pretrained(tmp_path)
    shutil.copy(clip_folder / "processor_config.json", tmp_path)
    hosts = []
    for vision in (clip_folder, tmp_path):
        torch.manual_seed(0)
        hosts.append(build(parts(vision, llama_folder)).model.state_dict())
    assert all(torch.equal(hosts[0][name], hosts[1][name]) for name in hosts[0])


def test_a_base_language_model_gets_image_and_padding_tokens(clip_folder, plain_llama):
    backbone = build(parts(clip_folder, plain_llama))
    tokenizer = backbone.processor.tokenizer
    stored = load_file(plain_llama / "model.safetensors")["model.embed_tokens.weight"]
    embedding = backbone.model.model.language_model.embed_tokens.weight
    assert tokenizer.image_token_id == backbone.model.config.image_token_id
    assert {tokenizer.image_token_id, tokenizer.pad_token_id} == {len(stored), len(stored) + 1}
    assert len(embedding) == len(tokenizer) == backbone.model.config.text_config.vocab_size
    assert torch.equal(embedding[: len(stored)], stored)
    assert set(backbone.local_parts) == {
        "model.multi_modal_projector.",
        "model.language_model.embed_tokens.",
        "lm_head.",
    }


def test_a_base_language_model_talks_in_llavas_format(clip_folder, plain_llama):
    processor = build(parts(clip_folder, plain_llama)).processor
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is red?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "the circle"}]},
    ]
    text = processor.apply_chat_template(turns, tokenize=False)
    assert processor.chat_template == PLAIN_CHAT_TEMPLATE
    assert text == "<s>USER: <image>\nwhat is red? ASSISTANT: the circle</s>"
    prompt = processor.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)
    assert prompt.endswith("ASSISTANT:")


def test_a_chat_template_that_renders_images_is_kept(clip_folder, llama_folder):
    processor = build(parts(clip_folder, llama_folder)).processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}]}], tokenize=False
    )
    assert text == "<s><user><image>"


def test_a_chat_template_for_text_only_is_replaced(clip_folder, llama_folder, tmp_path):
    folder = shutil.copytree(llama_folder, tmp_path / "llama")
    template = "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    assert build(parts(clip_folder, folder)).processor.chat_template == PLAIN_CHAT_TEMPLATE


def test_it_takes_images_and_saves_as_one_checkpoint(clip_folder, plain_llama, tmp_path):
    backbone = build(parts(clip_folder, plain_llama))
    backbone.model.save_pretrained(tmp_path)
    backbone.processor.save_pretrained(tmp_path)
    again = build(ImageTextToText(type="image_text_to_text", model=str(tmp_path)))
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}]
    logits = []
    for host in (backbone, again):
        text = host.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        batch = host.processor(
            text=text, images=[Image.new("RGB", (60, 50), "red")], return_tensors="pt"
        )
        assert (batch["input_ids"] == host.model.config.image_token_id).sum() == 16
        with torch.no_grad():
            logits.append(host.model.eval()(**batch).logits)
    torch.testing.assert_close(*logits)


def test_one_trained_part_on_a_random_other(clip_folder):
    section = Assembled(type="assembled", config="tiny_llava", vision=str(clip_folder))
    backbone = build(section)
    assert backbone.model.config.vision_feature_layer == -1  # as the shipped configuration says
    stored = load_file(clip_folder / "model.safetensors")["vision_model.post_layernorm.weight"]
    assert torch.equal(backbone.model.model.vision_tower.post_layernorm.weight, stored)
    local = [n for n, _ in backbone.model.named_parameters() if n.startswith(backbone.local_parts)]
    assert not any(name.startswith("model.vision_tower.") for name in local)
    total = sum(count.total for count in count_towers(backbone) if count.name != "vision")
    assert sum(backbone.model.get_parameter(name).numel() for name in local) == total


@pytest.mark.parametrize(("asked", "expected"), [(None, -2), (-1, -1)])
def test_the_projected_layer_can_be_chosen(asked, expected, clip_folder, llama_folder):
    section = parts(clip_folder, llama_folder, vision_feature_layer=asked)
    assert build(section).model.config.vision_feature_layer == expected


def test_parts_are_counted_without_their_weights(clip_folder, plain_llama, tmp_path):
    expected = count_towers(build(parts(clip_folder, plain_llama)))
    folders = [shutil.copytree(f, tmp_path / f.name) for f in (clip_folder, plain_llama)]
    for folder in folders:
        (folder / "model.safetensors").unlink()
    backbone = build(parts(*folders), device="meta")
    assert count_towers(backbone) == expected
    assert all(p.is_meta for p in backbone.model.parameters())


def test_a_shipped_shape_is_counted_without_reaching_for_the_parts():
    section = Assembled(
        type="assembled",
        config="clip_l_llama_7b",
        vision="openai/clip-vit-large-patch14",
        language="nobody-here/llama-7b",
    )
    backbone = build(section, device="meta")
    assert sum(count.total for count in count_towers(backbone)) == 7_062_575_104
    assert backbone.source["processor"] == "built-in"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision": "llama"}, "backbone.vision: a 'llama' model cannot be used"),
        ({"language": "clip"}, "backbone.language: a 'clip' model cannot be used"),
        ({"config": "clip_l_llama_7b"}, "backbone.vision: this checkpoint has hidden_size 128"),
        ({"vision": "/no/such/folder"}, "backbone.vision: there is no folder"),
        ({"config": "tiny_llava", "weights": "llama"}, "backbone.weights: they cover the whole"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message, clip_folder, llama_folder):
    folders = {"clip": str(clip_folder), "llama": str(llama_folder)}
    fields = {"vision": "clip", "language": "llama"} | change
    fields = {name: folders.get(value, value) for name, value in fields.items()}
    with pytest.raises(BackboneError, match=message):
        build(Assembled(type="assembled", **fields))


def test_tied_embeddings_stay_tied(clip_folder, llama_folder, tmp_path):
    folder = shutil.copytree(llama_folder, tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    backbone = build(parts(clip_folder, folder))
    assert backbone.model.lm_head.weight is backbone.model.model.language_model.embed_tokens.weight
    assert backbone.local_parts == ("model.multi_modal_projector.",)
    untied = build(parts(clip_folder, llama_folder))
    difference = count_towers(untied)[-1].total - count_towers(backbone)[-1].total
    assert difference == untied.model.lm_head.weight.numel()


def test_one_dtype_for_the_whole_model(clip_folder, llama_folder):
    backbone = build(parts(clip_folder, llama_folder, dtype="bfloat16"))
    assert {p.dtype for p in backbone.model.parameters()} == {torch.bfloat16}
