"""Batches: padding, the positions that need logits, and the stand-in image of text-only batches."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from vlft.data.collate import ConversationCollator, PairCollator, kept_positions
from vlft.data.encode import ConversationEncoder
from vlft.data.encode_pair import PairEncoder
from vlft.data.records import ImageRef, Pair
from vlft.types import BATCH_KEYS


@pytest.fixture(scope="module")
def llava(pristine_hosts):
    return pristine_hosts["tiny_llava"].processor


@pytest.fixture
def samples(llava, conversation):
    """One image, none, two; lengths differ."""
    encode = ConversationEncoder(llava)
    return [
        encode(conversation("what color?", "red", num_images=1, record_id="one"), dataset="d"),
        encode(conversation("and?", "blue square", "so?", "yes", record_id="none"), dataset="d"),
        encode(conversation("same?", "no", num_images=2, record_id="two"), dataset="d"),
    ]


@pytest.mark.parametrize("side", ["right", "left"])
def test_prompt_mask_of_several_turns_ends_before_the_first_answer(llava, conversation, side):
    """Later questions stand behind answers: pooling them would tell the first answer's tokens."""
    encode = ConversationEncoder(llava, beside=True)
    rows = [
        ("what?", "red"),
        ("what?", "red", "and now?", "blue"),
        ("so?", "a", "?", "b", "?", "c"),
    ]
    samples = [encode(conversation(*turns, num_images=1), dataset="d") for turns in rows]
    collate = ConversationCollator(llava, beside=True)
    collate.padding_side = side
    batch = collate(samples)
    for row, sample in enumerate(samples):
        seen = batch["attention_mask"][row].bool()
        first = int((sample.labels != -100).nonzero()[0])
        assert batch["prompt_mask"][row][seen].nonzero().flatten().tolist() == [*range(first)]
        assert not batch["prompt_mask"][row][~seen].any()
    mask, ids = batch["prompt_mask"], batch["input_ids"]
    assert torch.equal(ids[0][mask[0]], ids[1][mask[1]])  # the second turn adds nothing


def collator(processor, side):
    collate = ConversationCollator(processor)
    collate.padding_side = side
    return collate


def inputs(batch):
    return {key: value for key, value in batch.items() if key not in BATCH_KEYS}


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_are_the_samples_and_padding_is_hidden(llava, samples, side):
    batch = collator(llava, side)(samples)
    for row, sample in enumerate(samples):
        seen = batch["attention_mask"][row].bool()
        assert torch.equal(batch["input_ids"][row][seen], sample.input_ids)
        assert torch.equal(batch["labels"][row][seen], sample.labels)
        assert (batch["labels"][row][~seen] == -100).all()
        assert seen[0 if side == "right" else -1]
    assert batch["pixel_values"].shape == (3, 3, 48, 48)
    assert batch["record_ids"] == ["one", "none", "two"]
    assert batch["num_images"] == 3
    assert batch["num_tokens"] == int(batch["attention_mask"].sum())


@pytest.mark.parametrize("side", ["right", "left"])
def test_kept_positions_predict_the_supervised_tokens(llava, samples, side):
    batch = collator(llava, side)(samples)
    positions, targets = batch["logits_to_keep"], batch["targets"]
    assert positions.shape == targets.shape == (3, max(s.num_supervised for s in samples))
    for row, sample in enumerate(samples):
        kept = targets[row] != -100
        assert int(kept.sum()) == sample.num_supervised
        predicted = batch["labels"][row][positions[row][kept] + 1]
        assert torch.equal(predicted, targets[row][kept])
        assert torch.equal(predicted, sample.labels[sample.labels != -100])
        assert (positions[row][~kept] == 0).all()


def test_loss_on_kept_positions_is_that_of_the_labels(llava, samples, host):
    """The model's own loss, which reads every logit, is the reference."""
    model = host("tiny_llava").model.eval()
    batch = ConversationCollator(llava)(samples)
    with torch.no_grad():
        logits = model(**inputs(batch)).logits
        all_inputs = {key: v for key, v in inputs(batch).items() if key != "logits_to_keep"}
        expected = model(**all_inputs, labels=batch["labels"]).loss
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())
    assert torch.allclose(loss, expected, atol=1e-6)


def test_first_label_has_nothing_to_predict_it():
    labels = torch.tensor([[7, -100, 5], [-100, -100, 6]])
    positions, targets = kept_positions(labels)
    assert positions.tolist() == [[1], [1]]
    assert targets.tolist() == [[5], [6]]


class TestTextOnlyBatch:
    @pytest.fixture
    def texts(self, llava, conversation):
        encode = ConversationEncoder(llava)
        return [
            encode(conversation("what is a red circle?", "a shape", record_id="a"), dataset="d"),
            encode(conversation("and?", "blue", "so?", "yes no", record_id="b"), dataset="d"),
        ]

    def pair(self, llava, texts, side):
        """The batch with the blank image, and the one that a host without images would get."""
        collate = collator(llava, side)
        with_blank = collate(texts)
        collate.blank = None
        return with_blank, collate(texts)

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_logits_of_answers_are_unchanged(self, llava, texts, host, side):
        model = host("tiny_llava").model.eval()
        with_blank, without = self.pair(llava, texts, side)
        assert "pixel_values" not in without
        assert with_blank["pixel_values"].shape == (1, 3, 48, 48)
        assert int((with_blank["input_ids"] == llava.image_token_id).sum()) == 16
        assert torch.equal(with_blank["targets"], without["targets"])
        for key in ("record_ids", "num_images", "num_tokens"):
            assert with_blank[key] == without[key]
        with torch.no_grad():
            found, expected = (
                model(**inputs(batch)).logits[batch["targets"] != -100]
                for batch in (with_blank, without)
            )
        assert (found - expected).abs().max() < 1e-6 * expected.abs().max()

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_vision_adapters_get_a_gradient_of_zero(self, llava, texts, host, side):
        """None would make ZeRO-3 and DDP wait for this process."""
        config = LoraConfig(
            target_modules=r".*vision_tower.*(q_proj|v_proj)", init_lora_weights=False
        )
        model = get_peft_model(host("tiny_llava").model, config)
        for batch, has_gradient in zip(self.pair(llava, texts, side), (True, False), strict=True):
            model.zero_grad()
            logits = model(**inputs(batch)).logits
            if logits.requires_grad:
                targets = batch["targets"].flatten()
                torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets).backward()
            gradients = [p.grad for p in model.parameters() if p.requires_grad]
            assert len(gradients) == 8
            assert all((gradient is not None) == has_gradient for gradient in gradients)
            assert all(gradient.abs().max() == 0 for gradient in gradients if has_gradient)

    def test_batch_with_an_image_gets_none(self, llava, texts, samples):
        batch = ConversationCollator(llava)([*texts, samples[0]])
        assert len(batch["pixel_values"]) == 1
        assert int((batch["input_ids"] == llava.image_token_id).sum()) == 16

    def test_text_host_gets_none(self, pristine_hosts, conversation):
        tokenizer = pristine_hosts["tiny_llama"].processor
        sample = ConversationEncoder(tokenizer)(conversation("hi", "red"), dataset="d")
        assert "pixel_values" not in ConversationCollator(tokenizer)([sample])


@pytest.fixture(scope="module")
def qwen(qwen_processor):
    tokenizer = qwen_processor.tokenizer
    torch.manual_seed(0)
    tiny = {"num_attention_heads": 2, "num_key_value_heads": 2, "hidden_size": 32}
    config = Qwen2VLConfig(
        text_config={
            **tiny,
            "vocab_size": 1024,
            "num_hidden_layers": 2,
            "intermediate_size": 64,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
        },
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2},
        image_token_id=tokenizer.image_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Qwen2VLForConditionalGeneration(config).eval()


def test_images_of_different_sizes_join_on_a_host_with_three_axes_of_positions(
    qwen, qwen_processor, conversation
):
    encode = ConversationEncoder(qwen_processor)
    samples = [
        encode(conversation("what?", "red", num_images=2, size=(112, 60)), dataset="d"),
        encode(conversation("so?", "yes"), dataset="d"),
        encode(conversation("what is it?", "blue", num_images=1, size=(60, 140)), dataset="d"),
    ]
    collate = ConversationCollator(qwen_processor)
    together = collate(samples)
    assert len(together["image_grid_thw"]) == 3
    for row, sample in enumerate(samples):
        with torch.no_grad():
            batched = qwen(**inputs(together)).logits[row]
            alone = qwen(**inputs(collate([sample]))).logits[0]
        kept = together["targets"][row] != -100
        assert torch.allclose(batched[kept], alone, atol=1e-5)


def test_blank_image_changes_nothing_on_a_host_with_three_axes_of_positions(
    qwen, qwen_processor, conversation
):
    encode = ConversationEncoder(qwen_processor)
    texts = [encode(conversation(q, "red"), dataset="d") for q in ("what?", "what is it?")]
    collate = ConversationCollator(qwen_processor)
    logits = []
    for blank in (collate.blank, None):
        collate.blank = blank
        with torch.no_grad():
            logits.append(qwen(**inputs(collate(texts))).logits)
    assert torch.allclose(*logits, atol=1e-6)


def test_tiles_are_filled_up_with_zeros(llava, samples):
    """Hosts that cut images into tiles give [images, tiles, channels, height, width]."""
    few, many = torch.ones(1, 2, 3, 4, 4), torch.ones(1, 5, 3, 4, 4)
    tiled = [replace(samples[0], image_inputs={"pixel_values": tiles}) for tiles in (few, many)]
    pixels = ConversationCollator(llava)(tiled)["pixel_values"]
    assert pixels.shape == (2, 5, 3, 4, 4)
    assert pixels[0, :2].min() == 1
    assert pixels[0, 2:].max() == 0


def test_pairs(pristine_hosts):
    processor = pristine_hosts["tiny_clip"].processor
    image = ImageRef(draw=partial(Image.new, "RGB", (60, 48), (200, 30, 40)))
    texts = ["a red circle", "a blue square left of a red circle"]
    encode = PairEncoder(processor)
    batch = PairCollator(processor)(
        [encode(Pair(str(i), image, text), dataset="d") for i, text in enumerate(texts)]
    )
    reference = processor(text=texts, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], reference["input_ids"])
    assert torch.equal(batch["attention_mask"], reference["attention_mask"])
    assert batch["pixel_values"].shape == (2, 3, 48, 48)
    assert (batch["record_ids"], batch["num_images"]) == (["0", "1"], 2)
    assert batch["num_tokens"] == int(batch["attention_mask"].sum())
