"""DEHVF on real hosts: what the dossier's invariants say of a forward and a backward pass."""

import pytest
import torch

from tests.adapters.dehvf.conftest import HOSTS, QUERIES, logits_of, one, texts
from vlft.adapters import wrapped
from vlft.errors import AdapterError


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


def test_bfloat16_hosts_keep_their_dtype(adapted, inputs):
    for shaken in (False, True):
        backbone = adapted(shaken=shaken)
        backbone.model.to(torch.bfloat16)
        assert logits_of(backbone, inputs).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert logits_of(adapted(), inputs).isfinite().all()


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


def test_cached_states_are_those_of_the_tower_and_must_fit(adapted, inputs):
    from vlft.adapters.dehvf.features import group_states

    backbone = adapted()
    _, _, read = group_states(backbone.model)
    with torch.no_grad():
        features = read({"pixel_values": inputs["pixel_values"]})
    config = backbone.model.peft_config["default"]
    shape = (len(config.used_groups), 1 + config.num_patches, config.vision_width)
    assert features.shape == (2, *shape)
    given = {name: value for name, value in inputs.items() if name != "pixel_values"}
    cached = logits_of(backbone, {**given, "visual_features": features})
    torch.testing.assert_close(cached, logits_of(backbone, inputs))
    with pytest.raises(
        AdapterError, match=r"visual_features: found .* expected \[images, 2 groups"
    ):
        logits_of(backbone, {**given, "visual_features": features[:, :1]})


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
