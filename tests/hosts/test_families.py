"""What every generative family has to do, on its tiny twin."""

import json
from dataclasses import replace

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.data.audit import audit, check_batch
from vlft.data.budget import host_images
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder
from vlft.errors import BackboneError, SupervisionError
from vlft.evaluation.capabilities import GenerativeModel
from vlft.objectives.language_modeling import LanguageModeling
from vlft.recipe.adapter import LoraAdapter
from vlft.recipe.backbone import ImageTextToText
from vlft.types import Message

LOSS = LanguageModeling()


def answers(backbone, batch):
    """Logits at the positions of the labels, in order."""
    with torch.no_grad():
        return LOSS.forward(backbone.model, batch)["logits"][batch["targets"] != -100]


def test_the_audit_agrees_with_the_features_that_the_host_makes(twin, encoded):
    reports = audit(encoded, processor=twin.processor, model=twin.model)
    assert [report.num_images for report in reports] == [0, 1, 3]
    assert [report.num_supervised > 0 for report in reports] == [True] * 3
    assert all(report.text.rstrip().endswith("]]") or "]]" in report.text for report in reports)


def test_answers_are_supervised_to_their_end(twin, encoded):
    for sample, answer in zip(encoded, ("a shape", "red", "blue or green"), strict=True):
        tokens = sample.labels[sample.labels != -100]
        text = twin.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        assert text.strip() == answer
        assert tokens[-1] == twin.processor.tokenizer.eos_token_id


def test_images_change_the_answer(twin, encoded, collator):
    one = encoded[1]
    blank = {key: v * 0.1 if v.is_floating_point() else v for key, v in one.image_inputs.items()}
    with_image, without = (
        answers(twin, collator()([sample])) for sample in (one, replace(one, image_inputs=blank))
    )
    assert (with_image - without).abs().max() > 1e-3


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_mixed_batch_equals_each_sample_alone(twin, encoded, collator, side):
    collate = collator(side)
    batch = collate(encoded)
    check_batch(batch, processor=twin.processor, dataset="train.jsonl")
    together = answers(twin, batch)
    alone = torch.cat([answers(twin, collate([sample])) for sample in encoded])
    scale = alone.abs().max()
    assert (together - alone).abs().max() < 1e-4 * scale


def test_the_side_of_the_padding_changes_no_loss(twin, encoded, collator):
    right, left = (answers(twin, collator(side)(encoded)) for side in ("right", "left"))
    assert (right - left).abs().max() < 1e-4 * right.abs().max()


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_hidden_image_of_a_text_batch_changes_nothing(twin, records, collator, side):
    encode = ConversationEncoder(twin.processor)
    texts = [
        records[0],
        replace(
            records[0],
            messages=(
                Message("user", ("why is a square no circle?",)),
                Message("assistant", ("yes",)),
            ),
        ),
    ]
    samples = [encode(one, dataset="d") for one in texts]
    collate = collator(side)
    hidden = answers(twin, collate(samples))
    collate.blank = None
    assert (answers(twin, collate(samples)) - hidden).abs().max() < 1e-4 * hidden.abs().max()


def test_the_hidden_image_is_a_small_one(twin, collator):
    """Of hosts that scale images up first it is one tile, or each text batch would carry five."""
    assert len(collator().blank.input_ids) <= 24
    assert (collator().blank.input_ids == twin.model.config.image_token_id).sum() <= 16


def test_many_at_once_equal_one_by_one(twin, records, encoded):
    encode = ConversationEncoder(twin.processor, host=host_images(twin.model))
    for many, one in zip(encode.many(records, dataset="train.jsonl"), encoded, strict=True):
        assert torch.equal(many.input_ids, one.input_ids)
        assert torch.equal(many.labels, one.labels)
        for key in ("token_inputs", "image_inputs"):
            assert getattr(many, key).keys() == getattr(one, key).keys()
            for name, value in getattr(many, key).items():
                assert torch.equal(value, getattr(one, key)[name]), name


@pytest.mark.parametrize("adapted", [False, True])
def test_gradient_checkpointing_changes_no_gradient(own, encoded, collator, adapted):
    """Also with a frozen base, whose blocks then get inputs without a gradient."""
    batch = collator()(encoded[1:2])
    if adapted:
        sites = ["vision.attention", "language.attention"]
        own = apply_adapter(own, LoraAdapter(type="lora", sites=sites, r=2), {})
        for name, parameter in own.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    found = []
    model = own.model.train()
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        model.zero_grad()
        LOSS.loss(LOSS.forward(model, batch), batch, None).total.backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    plain, checkpointed = found
    assert plain.keys() == checkpointed.keys()
    assert any("lora_A" in name for name in plain) == adapted
    for name, gradient in plain.items():
        assert torch.allclose(gradient, checkpointed[name], rtol=1e-3, atol=1e-5), name


def test_bfloat16_stays_finite(own, encoded, collator):
    """Pixels come in float32 from the processor, whatever the host is stored in."""
    batch = collator()(encoded[1:2])
    model = own.model.to(torch.bfloat16).train()
    loss = LOSS.loss(LOSS.forward(model, batch), batch, None).total
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_generation_in_a_batch_equals_one_by_one(twin, prompts):
    together = GenerativeModel(twin, batch_size=4).generate(prompts, max_new_tokens=5)
    alone = GenerativeModel(twin, batch_size=1).generate(prompts, max_new_tokens=5)
    assert together == alone
    assert len(set(together)) > 1


def test_scores_in_a_batch_equal_one_by_one(twin, prompts):
    asked = [["red", "a large blue square"]] * len(prompts)
    together = GenerativeModel(twin, batch_size=8).score(prompts, asked)
    alone = GenerativeModel(twin, batch_size=1).score(prompts, asked)
    assert torch.allclose(torch.tensor(together), torch.tensor(alone), rtol=1e-3, atol=1e-3)


def test_a_scored_answer_has_the_loss_of_a_trained_one(twin, prompts, encoded, collator):
    """The score of an answer is minus its loss, its end token left out."""
    batch = collator()([encoded[1]])
    logits = answers(twin, batch)
    targets = batch["targets"][batch["targets"] != -100]
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    ((score,),) = GenerativeModel(twin).score([prompts[1]], [["red"]])
    assert score.total == pytest.approx(-losses[:-1].sum().item(), rel=1e-3)
    assert score.num_tokens == len(losses) - 1


def test_placeholders_that_do_not_fit_name_the_record(twin, records):
    """Each sample is checked, not only the first ones."""
    host = host_images(twin.model)
    fooled = replace(host, family=replace(host.family, features=lambda config, inputs: 7))
    encode = ConversationEncoder(twin.processor, host=fooled)
    with pytest.raises(SupervisionError) as error:
        encode.many(records, dataset="train.jsonl")
    message = str(error.value)
    assert message.startswith("train.jsonl, record one: placeholder mismatch: ")
    assert "for 1 image of 60 x 48 pixels, expected 7" in message


@pytest.mark.parametrize("name", ["tiny_paligemma", "tiny_gemma3"])
def test_attention_that_drops_their_mask_is_refused(name):
    """Transformers would train them causally, without a word."""
    section = ImageTextToText(
        type="image_text_to_text", config=name, attn_implementation="flash_attention_2"
    )
    with pytest.raises(BackboneError, match=r"attn_implementation: .* no mask for; use sdpa"):
        build(section, device="meta")


@pytest.mark.parametrize("name", ["tiny_paligemma", "tiny_gemma3"])
def test_no_answer_token_sees_a_later_one(pristine_twins, records, name):
    """What both kinds of host see in both directions ends before the answer."""
    twin = pristine_twins[name]
    encode = ConversationEncoder(twin.processor, host=host_images(twin.model))
    sample = encode(records[2], dataset="d")
    batch = ConversationCollator(twin.processor)([sample])
    last = {**batch, "input_ids": batch["input_ids"].clone()}
    last["input_ids"][0, -1] = 300
    before, after = (answers(twin, one) for one in (batch, last))
    assert len(before) >= 3
    assert torch.equal(before, after)


def test_a_checkpoint_keeps_its_own_end_tokens(pristine_twins, tmp_path):
    """Gemma 3 ends turns with a token that is not its tokenizer's end of a text."""
    twin = pristine_twins["tiny_gemma3"]
    twin.model.save_pretrained(tmp_path)
    twin.processor.save_pretrained(tmp_path)
    own = twin.processor.tokenizer.eos_token_id
    assert twin.model.generation_config.eos_token_id == own
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [5, 9]}))
    loaded = build(ImageTextToText(type="image_text_to_text", model=str(tmp_path)))
    assert loaded.model.generation_config.eos_token_id == sorted([5, 9, own])
