"""DEHVF on real hosts: what the dossier's invariants say."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from peft.utils.peft_types import PeftType
from transformers import LlavaForConditionalGeneration

from tests.adapters.dehvf.conftest import HOSTS, section_of, shake
from vlft.adapters import apply_adapter, wrapped
from vlft.adapters.dehvf.config import NAME, DehvfConfig
from vlft.adapters.dehvf.model import DehvfModel
from vlft.adapters.registration import register
from vlft.errors import AdapterError
from vlft.recipe.adapter import DehvfAdapter
from vlft.recipe.towers import Tower

QUERIES = ("layer_id", "hidden", "static", "last_only")


def logits_of(backbone, inputs):
    with torch.no_grad():
        return backbone.model(**inputs).logits


def texts(inputs, *rows):
    """Inputs without images, of some rows."""
    chosen = list(rows) or slice(None)
    return {name: inputs[name][chosen] for name in ("input_ids", "attention_mask")}


def one(inputs, row, image=None):
    """One sample alone, without padding."""
    length = int(inputs["attention_mask"][row].sum())
    found = {
        name: inputs[name][row : row + 1, :length]
        for name in ("input_ids", "attention_mask", "prompt_mask")
    }
    if image is not None:
        found["pixel_values"] = inputs["pixel_values"][image : image + 1]
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_step_zero_is_the_base_bit_for_bit(bare, adapted, inputs, query):
    base = logits_of(bare(), texts(inputs))
    fresh = adapted(query=query, shaken=False, vision_adapter_dim=3, max_images=2)
    mixed = logits_of(fresh, inputs)
    assert torch.equal(mixed, base)
    assert torch.equal(logits_of(fresh, texts(inputs)), base)
    both = {**inputs, "image_slots": torch.tensor([[0, 1], [-1, -1], [1, -1]])}
    assert torch.equal(logits_of(fresh, both), base)


@pytest.mark.parametrize("query", QUERIES)
def test_after_one_step_every_parameter_has_a_gradient(adapted, inputs, query):
    backbone = adapted(
        query=query, shaken=False, vision_adapter_dim=3, max_images=2, memory_dropout=0
    )
    trained = {n: p for n, p in backbone.model.named_parameters() if p.requires_grad}
    assert all("vlft_dehvf_" in name for name in trained)
    optimizer = torch.optim.SGD(trained.values(), lr=1e-2)
    shown = {**inputs, "image_slots": torch.tensor([[0, 1], [-1, -1], [1, -1]])}
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        backbone.model(**shown).logits.square().mean().backward()
        assert all(p.grad is not None for p in trained.values())
        moved.append({name for name, p in trained.items() if p.grad.any()})
        optimizer.step()
    shared = {name.rsplit("vlft_dehvf_net.default.", 1)[-1] for name in moved[0]}
    assert shared == {"branch.val_up.weight", "branch.pos_val.weight", "branch.image_val.weight"}
    late = {name for name in trained if "vlft_dehvf_down" in name}  # behind up, which is zero
    assert set(trained) - moved[1] <= late


def test_images_matter_and_belong_to_their_samples(adapted, inputs):
    backbone = adapted()
    together = logits_of(backbone, inputs)
    assert not torch.allclose(together[0], logits_of(backbone, texts(inputs))[0])
    for row, image in ((0, 0), (1, None), (2, 1)):
        alone = logits_of(backbone, one(inputs, row, image))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)


def test_without_image_slots_every_sample_has_one_image(adapted, inputs):
    backbone = adapted()
    asked = {"input_ids": inputs["input_ids"][:2], "pixel_values": inputs["pixel_values"]}
    slots = torch.tensor([[0], [1]])
    assert torch.equal(
        logits_of(backbone, asked), logits_of(backbone, {**asked, "image_slots": slots})
    )
    with pytest.raises(AdapterError, match=r"image_slots: 2 images for 3 samples"):
        logits_of(
            backbone, {"input_ids": inputs["input_ids"], "pixel_values": inputs["pixel_values"]}
        )


@pytest.mark.parametrize("query", QUERIES)
def test_a_call_without_an_image_sees_none_of_the_call_before(adapted, inputs, query):
    backbone = adapted(query=query)
    before = logits_of(backbone, texts(inputs))
    logits_of(backbone, inputs)
    assert torch.equal(logits_of(backbone, texts(inputs)), before)
    other = {**inputs, "pixel_values": -inputs["pixel_values"]}
    assert not torch.equal(logits_of(backbone, other)[0], logits_of(backbone, inputs)[0])
    with pytest.raises(ValueError, match="exactly one"):  # also after a call that fails
        logits_of(backbone, {**inputs, "inputs_embeds": torch.zeros(3, 9, 128)})
    assert torch.equal(logits_of(backbone, texts(inputs)), before)


@pytest.mark.parametrize("query", QUERIES)
def test_padding_on_either_side_changes_nothing(adapted, inputs, query):
    backbone = adapted(query=query)
    right = logits_of(backbone, inputs)
    ids, mask, prompt = (
        inputs[name].clone() for name in ("input_ids", "attention_mask", "prompt_mask")
    )
    for tensor in (ids, mask, prompt):
        tensor[1] = tensor[1].roll(3)
    left = logits_of(
        backbone,
        {**inputs, "input_ids": ids, "attention_mask": mask, "prompt_mask": prompt,
         "position_ids": (mask.cumsum(1) - 1).clamp(min=0)},
    )  # fmt: skip
    torch.testing.assert_close(left[1, 3:], right[1, :6], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(left[[0, 2]], right[[0, 2]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("query", QUERIES)
def test_cached_generation_is_greedy_decoding_without_a_cache(adapted, inputs, query):
    backbone = adapted(query=query)
    asked = one(inputs, 2, 1)
    del asked["prompt_mask"]  # all of it is the prompt
    settings = {"do_sample": False, "max_new_tokens": 6, "eos_token_id": None, "pad_token_id": 0}
    answer = backbone.model.generate(**asked, **settings)
    assert torch.equal(answer, backbone.model.generate(**asked, use_cache=False, **settings))
    ids = asked["input_ids"]
    prompt = torch.ones_like(ids, dtype=torch.bool)
    for _ in range(6):
        seen = torch.nn.functional.pad(prompt, (0, ids.shape[1] - prompt.shape[1]))
        shown = {"input_ids": ids, "pixel_values": asked["pixel_values"], "prompt_mask": seen}
        ids = torch.cat([ids, logits_of(backbone, shown)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(answer, ids)
    assert not torch.equal(answer, backbone.model.generate(**one(inputs, 2), **settings))
    for prompt_only in (one(inputs, 2), one(inputs, 2, 0)):  # nothing is left of the call before
        twice = [backbone.model.generate(**prompt_only, **settings) for _ in range(2)]
        assert torch.equal(*twice)


def test_beams_and_several_answers_read_their_own_sample(adapted, inputs):
    backbone = adapted()
    settings = {"max_new_tokens": 5, "eos_token_id": None, "pad_token_id": 0, "do_sample": False}
    both = {
        "input_ids": inputs["input_ids"][[0, 2]],
        "pixel_values": inputs["pixel_values"],
        "attention_mask": inputs["attention_mask"][[0, 2]],
    }
    beams = {"num_beams": 3, "num_return_sequences": 2}
    together = backbone.model.generate(**both, **beams, **settings)
    for row, image in ((0, 0), (1, 1)):
        alone = {name: value[row : row + 1] for name, value in both.items() if "pixel" not in name}
        alone["pixel_values"] = inputs["pixel_values"][image : image + 1]
        expected = backbone.model.generate(**alone, **beams, **settings)
        assert torch.equal(together[2 * row : 2 * row + 2], expected)


def test_no_token_and_no_cache_is_spent_on_images(adapted, inputs):
    backbone = adapted(max_images=2)
    with torch.no_grad():
        plain = backbone.model(**texts(inputs, 0), use_cache=True).past_key_values
        images = {"pixel_values": inputs["pixel_values"], "image_slots": torch.tensor([[0, 1]])}
        shown = backbone.model(**texts(inputs, 0), **images, use_cache=True).past_key_values
    assert plain.get_seq_length() == shown.get_seq_length() == 9
    assert [layer.keys.shape for layer in plain.layers] == [
        layer.keys.shape for layer in shown.layers
    ]


@pytest.mark.parametrize("query", QUERIES)
def test_checkpointing_keeps_the_gradients_with_several_passes_in_one_graph(adapted, inputs, query):
    backbone = adapted(query=query, vision_adapter_dim=3)
    backbone.model.train()
    for module in backbone.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for module in backbone.model.modules():
        if "VisionAdapterMLP" in type(module).__name__:
            module._dropouts = dict.fromkeys(module._dropouts, 0.0)
    trained = [p for p in backbone.model.parameters() if p.requires_grad]

    def gradients():
        backbone.model.zero_grad()
        first = backbone.model(**inputs).logits.square().mean()
        # a pass with another image before the first one's backward
        other = {**inputs, "pixel_values": -inputs["pixel_values"]}
        second = backbone.model(**other).logits.square().mean()
        (first + 2 * second).backward()
        return [p.grad.clone() for p in trained]

    plain = gradients()
    backbone.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    for found, expected in zip(gradients(), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    backbone.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": True}
    )
    with pytest.raises(AdapterError, match="non-reentrant"):
        backbone.model(**inputs)


def test_answers_do_not_reach_the_weights_of_a_hidden_query(adapted, inputs):
    backbone = adapted(query="hidden")
    before = logits_of(backbone, inputs)
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][:, 5:] = 7
    after = logits_of(backbone, changed)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    changed["input_ids"][:, 0] = 7  # the prompt does
    assert not torch.allclose(logits_of(backbone, changed)[0, 4], before[0, 4])
    with pytest.raises(AdapterError, match=r"prompt_mask: with adapter\.query: hidden"):
        logits_of(backbone, {n: v for n, v in inputs.items() if n != "prompt_mask"})


def test_disabled_or_unloaded_it_is_the_host(bare, adapted, inputs):
    base = bare()
    plain = logits_of(base, texts(inputs))
    image_token = base.model.config.image_token_id
    seen = {"input_ids": torch.full((1, 20), 30), "pixel_values": inputs["pixel_values"][:1]}
    seen["input_ids"][0, 2:18] = image_token
    as_tokens = logits_of(base, seen)
    settings = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    answer = base.model.generate(**seen, **settings)
    backbone = adapted()
    with backbone.model.disable_adapter():
        assert torch.equal(logits_of(backbone, texts(inputs)), plain)
        assert torch.equal(logits_of(backbone, seen), as_tokens)  # images as tokens again
        assert torch.equal(logits_of(backbone, inputs), plain)  # those beside it are left out
        assert torch.equal(backbone.model.generate(**seen, **settings), answer)
    host = backbone.model.unload()
    assert torch.equal(host(**seen).logits, as_tokens)
    assert torch.equal(host.generate(**seen, **settings), answer)
    assert set(dict(host.named_modules())) == set(dict(base.model.named_modules()))


def test_it_cannot_be_merged(adapted):
    from vlft.adapters.parts import merge_adapter

    with pytest.raises(AdapterError, match="cannot be merged into its base"):
        merge_adapter(adapted())


def test_what_is_shared_is_saved_once_and_read_under_any_name(adapted, bare, inputs, tmp_path):
    from safetensors.torch import load_file

    backbone = adapted(query="hidden", vision_adapter_dim=3)
    expected = logits_of(backbone, inputs)
    backbone.model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    trained = sum(p.numel() for p in backbone.model.parameters() if p.requires_grad)
    assert sum(tensor.numel() for tensor in saved.values()) == trained
    assert not any("default" in name for name in saved)
    assert sum("val_up" in name for name in saved) == 1
    for name in ("default", "other"):
        for low_memory in (False, True):
            host = bare()
            model = PeftModel.from_pretrained(
                host.model, str(tmp_path), adapter_name=name, low_cpu_mem_usage=low_memory
            )
            assert torch.equal(logits_of(replace(host, model=model.eval()), inputs), expected)


def test_two_adapters_stand_side_by_side(adapted, inputs, tmp_path):
    backbone = adapted()
    first = logits_of(backbone, inputs)
    backbone.model.save_pretrained(tmp_path)
    with torch.no_grad():
        for name, parameter in backbone.model.named_parameters():
            if "vlft_dehvf_" in name:
                parameter.mul_(-1)
    second = logits_of(backbone, inputs)
    backbone.model.load_adapter(str(tmp_path), "other")
    assert torch.equal(logits_of(backbone, inputs), second)
    backbone.model.set_adapter("other")
    assert torch.equal(logits_of(backbone, inputs), first)
    trained = {n for n, p in backbone.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".other." in name for name in trained)
    backbone.model.set_adapter("default")
    backbone.model.delete_adapter("other")
    assert torch.equal(logits_of(backbone, inputs), second)


def test_a_copy_has_hooks_of_its_own(adapted, inputs):
    backbone = adapted()
    twin = replace(backbone, model=copy.deepcopy(backbone.model))
    before = logits_of(backbone, inputs)
    shake(twin, seed=9)
    assert torch.equal(logits_of(backbone, inputs), before)
    assert not torch.equal(logits_of(twin, inputs)[0], before[0])
    settings = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    asked = one(inputs, 2, 1)
    shake(twin, seed=0)
    answers = [one_of.model.generate(**asked, **settings) for one_of in (backbone, twin)]
    assert torch.equal(*answers)


def test_bfloat16_hosts_keep_their_dtype(adapted, inputs):
    for shaken in (False, True):
        backbone = adapted(shaken=shaken)
        backbone.model.to(torch.bfloat16)
        assert logits_of(backbone, inputs).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert logits_of(adapted(), inputs).isfinite().all()


def test_the_config_survives_pickle_and_json(adapted, tmp_path):
    config = adapted().model.peft_config["default"]
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  our own
    config.save_pretrained(tmp_path)
    assert DehvfConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_registration_is_idempotent_and_refuses_a_stranger():
    members = len(PeftType.__members__)
    again = register(NAME, config_cls=DehvfConfig, model_cls=DehvfModel, prefix="vlft_dehvf_")
    assert again is PeftType(NAME)
    assert again.value == NAME
    assert len(PeftType.__members__) == members
    with pytest.raises(AdapterError, match="has a method LORA of its own"):
        register("LORA", config_cls=DehvfConfig, model_cls=DehvfModel, prefix="x_")


STOCK = """
import sys
from peft import PeftConfig
try:
    PeftConfig.from_pretrained(sys.argv[1])
except (KeyError, ValueError) as error:
    print(type(error).__name__)
import vlft.adapters
print(PeftConfig.from_pretrained(sys.argv[1]).peft_type.value)
"""


def test_stock_peft_needs_our_import_first(adapted, tmp_path):
    adapted().model.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STOCK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["KeyError", NAME]


@pytest.mark.parametrize("name", HOSTS)
def test_every_family_reads_images_and_answers(adapted, name):
    from PIL import Image

    from vlft.evaluation.capabilities import capabilities_of
    from vlft.types import Message, Prompt

    backbone = adapted(name, max_images=2)
    able = capabilities_of(backbone, batch_size=4)
    red, blue = (Image.new("RGB", (60, 48), color) for color in ("red", "blue"))
    turns = (Message("user", (0, "what color is it?")),)
    pair = (Message("user", (0, 1, "which one?")),)
    blind = (Message("user", ("what color is it?",)),)
    prompts = [
        Prompt(turns, (red,)), Prompt(turns, (blue,)), Prompt(pair, (red, blue)),
        Prompt(pair, (blue, red)), Prompt(blind),
    ]  # fmt: skip
    scores = [one.total for (one,) in able.score(prompts, [["red"]] * len(prompts))]
    assert len(set(scores)) == len(scores)
    order = [4, 2, 0, 3, 1]
    again = able.score([prompts[at] for at in order], [["red"]] * len(prompts))
    for at, (found,) in zip(order, again, strict=True):
        assert found.total == pytest.approx(scores[at], abs=1e-3)
    assert len(able.generate(prompts, max_new_tokens=3)) == len(prompts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, r"adapter.groups: 3 groups .* 2 vision layers: use one of 1, 2"),
        ({"groups": ((1,), (5,))}, "adapter.groups: layer 5 is named, and the vision tower has 2"),
        ({"num_patches": 9}, "adapter.num_patches: 9, and this tower makes 16"),
    ],
)
def test_what_does_not_fit_the_tower_is_refused(bare, options, message):
    with pytest.raises(AdapterError, match=message):
        apply_adapter(bare(), section_of("tiny_llava", **options), {})


def test_towers_of_any_size_need_a_number_of_patches(bare):
    section = DehvfAdapter(type="dehvf", groups=2)
    with pytest.raises(
        AdapterError, match=r"adapter.num_patches: this tower takes images as large"
    ):
        apply_adapter(bare("tiny_qwen2_5_vl"), section, {})


def test_a_text_only_host_is_refused(host):
    with pytest.raises(AdapterError, match="needs a host with a vision tower and a language model"):
        apply_adapter(host("tiny_llama"), section_of("tiny_llava"), {})


def test_more_images_than_configured_are_refused(adapted, inputs):
    with pytest.raises(AdapterError, match=r"adapter.max_images: a sample has 2 images, .*for 1: "):
        logits_of(adapted(), {**inputs, "image_slots": torch.tensor([[0, 1], [-1, -1], [1, -1]])})


def test_cached_states_are_those_of_the_tower_and_must_fit(adapted, inputs):
    from vlft.adapters.dehvf.features import group_states

    backbone = adapted()
    _, shape, _, read = group_states(backbone.model)
    with torch.no_grad():
        features = read({"pixel_values": inputs["pixel_values"]})
    assert features.shape == (2, *shape)
    given = {name: value for name, value in inputs.items() if name != "pixel_values"}
    cached = logits_of(backbone, {**given, "visual_features": features})
    torch.testing.assert_close(cached, logits_of(backbone, inputs))
    with pytest.raises(
        AdapterError, match=r"visual_features: found .* expected \[images, 2 groups"
    ):
        logits_of(backbone, {**given, "visual_features": features[:, :1]})


def test_a_host_of_another_size_is_refused(adapted, bare, tmp_path):
    adapted().model.save_pretrained(tmp_path)
    for part, field, value, words in (
        ("text_config", "hidden_size", 64, "language model of width 128, and this host's has 64"),
        ("text_config", "num_hidden_layers", 4, "language model of depth 2, and this host's has 4"),
        ("vision_config", "num_hidden_layers", 4, "vision tower of depth 2, and this host's has 4"),
    ):
        config = copy.deepcopy(bare().model.config)
        setattr(getattr(config, part), field, value)
        if field == "num_hidden_layers" and part == "text_config":
            config.text_config.layer_types = None
        with pytest.raises(AdapterError, match=words):
            PeftModel.from_pretrained(LlavaForConditionalGeneration(config), str(tmp_path))


def test_a_hidden_query_needs_the_whole_prompt_and_its_mask(adapted, inputs):
    backbone = adapted(query="hidden")
    asked = one(inputs, 2, 1)
    settings = {"do_sample": False, "max_new_tokens": 3, "eos_token_id": None, "pad_token_id": 0}
    bare_prompt = {name: asked[name] for name in ("input_ids", "pixel_values")}
    with pytest.raises(AdapterError, match="attention_mask: with adapter"):
        backbone.model.generate(**bare_prompt, **settings)
    with pytest.raises(AdapterError, match="reads the whole prompt in one forward pass"):
        backbone.model.generate(**asked, prefill_chunk_size=4, **settings)


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_qwen2_5_vl", "tiny_gemma3"])
def test_generate_refuses_tokens_that_stand_for_images(adapted, name):
    backbone = adapted(name)
    ids = torch.full((2, 6), 30)
    settings = {"max_new_tokens": 1, "eos_token_id": None, "pad_token_id": 0, "do_sample": False}
    assert backbone.model.generate(input_ids=ids, **settings).shape == (2, 7)
    ids[1, 2:5] = backbone.model.config.image_token_id
    for given in ({"input_ids": ids}, {"inputs": ids}):
        with pytest.raises(AdapterError, match=r"input_ids: 3 of the tokens stand for an image"):
            backbone.model.generate(**given, **settings)


def test_modules_outside_the_language_models_networks_are_refused(bare):
    section = section_of("tiny_llava", sites=(), target_modules=r".*vision_tower.*mlp\.fc1")
    with pytest.raises(AdapterError, match="is no part of a feed-forward network of the language"):
        apply_adapter(bare(), section, {})


def test_memory_may_stand_in_some_layers_only(bare, inputs):
    pattern = r".*language_model\.layers\.1\.mlp\..*_proj"
    backbone = apply_adapter(bare(), section_of("tiny_llava", sites=(), target_modules=pattern), {})
    shake(backbone).model.eval()
    assert backbone.model.peft_config["default"].num_layers == 1
    changed = logits_of(backbone, inputs)
    assert not torch.equal(changed, logits_of(bare(), texts(inputs)))


def test_tiles_are_refused(adapted):
    pixels = torch.rand(1, 5, 3, 48, 48)
    backbone = adapted("tiny_smolvlm")
    with pytest.raises(AdapterError, match="1 images in 5 tiles"):
        logits_of(backbone, {"input_ids": torch.full((1, 4), 30), "pixel_values": pixels})


def test_a_fully_trained_tower_does_not_go_with_adapters_in_it(bare):
    section = section_of("tiny_llava", vision_adapter_dim=2)
    with pytest.raises(
        AdapterError, match=r"towers\.vision\.train: full, but the adapter also sits"
    ):
        apply_adapter(bare(), section, {"vision": Tower(train="full")})


def test_a_wrapped_host_knows_that_its_images_leave_no_token(adapted):
    backbone = adapted()
    assert backbone.images == "beside"
    assert "fuser" in backbone.towers
    assert wrapped(backbone, backbone.model).images == "beside"
    assert (backbone.max_images, adapted(max_images=3).max_images) == (1, 3)


@pytest.mark.parametrize("query", QUERIES)
def test_fusion_weights_are_those_of_the_forward_pass(adapted, inputs, query):
    from vlft.adapters.dehvf.inspection import fusion_weights

    backbone = adapted(query=query)
    weights = fusion_weights(backbone.model, inputs)
    groups = 1 if query == "last_only" else 2
    assert weights.shape == (2, 2, groups)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2))
    each = [
        fusion_weights(backbone.model, one(inputs, row, image)) for row, image in ((0, 0), (2, 1))
    ]
    torch.testing.assert_close(weights, (each[0] + each[1]) / 2, rtol=1e-4, atol=1e-5)
    if query in ("layer_id", "hidden"):
        assert not torch.allclose(*each)  # they depend on the image
    if query == "static":
        assert torch.equal(*each)
