"""Conversations as tensors: what is supervised, and what happens to samples that are too long."""

from dataclasses import replace

import pytest
import torch
from transformers import CLIPImageProcessor, LlavaProcessor

from vlft.backbones.tokenizer import chat_tokenizer
from vlft.data.encode import ConversationEncoder, image_token_ids
from vlft.errors import OverlongError, RecordError
from vlft.types import Message


@pytest.fixture(scope="module")
def llava(pristine_hosts):
    return pristine_hosts["tiny_llava"].processor


def supervised_tokens(sample, tokenizer):
    return tokenizer.convert_ids_to_tokens(sample.labels[sample.labels != -100])


def test_only_answers_and_their_ends_are_supervised(llava, conversation):
    record = conversation("what color is it?", "red", "and now?", "blue\n\nsquare", num_images=2)
    sample = ConversationEncoder(llava)(record, dataset="d")
    assert supervised_tokens(sample, llava.tokenizer) == [
        *("red", "</s>"),
        *("blue", "Ċ", "Ċ", "square", "</s>"),
    ]
    kept = sample.labels != -100
    assert torch.equal(sample.labels[kept], sample.input_ids[kept])
    assert int((sample.input_ids == llava.image_token_id).sum()) == 2 * 16
    assert sample.image_inputs["pixel_values"].shape == (2, 3, 48, 48)
    assert sample.image_sizes == ((60, 48), (60, 48))


def test_image_in_an_answer_is_never_supervised(llava, conversation):
    record = conversation("draw a square", "x", num_images=1)
    template = llava.chat_template.replace(
        "{{- part.text -}}{%- endfor -%}\n{%- endif -%}\n{{- eos_token -}}",
        "{{- '<image>' if part.type == 'image' else part.text -}}{%- endfor -%}\n{%- endif -%}\n"
        "{{- eos_token -}}",
    )
    assert template != llava.chat_template
    drawing = LlavaProcessor(
        llava.image_processor,
        chat_tokenizer(),
        patch_size=12,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    turns = (Message("user", ("draw",)), Message("assistant", ("here", 0, "red")))
    sample = ConversationEncoder(drawing)(replace(record, messages=turns), dataset="d")
    assert supervised_tokens(sample, drawing.tokenizer) == [*"here", "red", "</s>"]


def test_text_host_encodes_text_and_refuses_images(pristine_hosts, conversation):
    tokenizer = pristine_hosts["tiny_llama"].processor
    encode = ConversationEncoder(tokenizer)
    sample = encode(conversation("what is red?", "circle"), dataset="d")
    assert supervised_tokens(sample, tokenizer) == ["circle", "</s>"]
    assert sample.image_inputs == {}
    assert list(sample.input_ids).count(tokenizer.bos_token_id) == 1
    with pytest.raises(RecordError, match=r"the record has 1 image, but the host reads text"):
        encode(conversation("what is red?", "circle", num_images=1), dataset="d")


def test_bos_comes_once_whether_template_or_tokenizer_writes_it(llava, conversation):
    """The tokenizer of a LLaVA-1.5 adds it, its template does not."""
    from tokenizers import processors

    tokenizer = chat_tokenizer()
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    for template in (llava.chat_template, llava.chat_template.replace("{{- bos_token -}}\n", "")):
        processor = LlavaProcessor(
            llava.image_processor,
            tokenizer,
            patch_size=12,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=template,
        )
        sample = ConversationEncoder(processor)(
            conversation("hi", "red", num_images=1), dataset="d"
        )
        ids = sample.input_ids.tolist()
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
        assert supervised_tokens(sample, tokenizer) == ["red", "</s>"]


def test_placeholder_in_text_is_refused(llava, conversation):
    record = conversation("hi", "red")
    text = replace(
        record, messages=(Message("user", ("what does <image> mean?",)), *record.messages[1:])
    )
    with pytest.raises(RecordError, match=r"messages\[0\]: the text holds '<image>', the host's"):
        ConversationEncoder(llava)(text, dataset="d")


def test_template_that_drops_images_is_refused(llava, conversation):
    template = llava.chat_template.replace(
        "'<image>' if part.type == 'image' else part.text", "part.text"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(), chat_tokenizer(), patch_size=14, chat_template=template
    )
    with pytest.raises(RecordError, match=r"writes 0 image placeholders .'<image>'. for 1 image"):
        ConversationEncoder(processor)(conversation("hi", "red", num_images=1), dataset="d")


def test_what_the_processor_refuses_is_a_bad_record(qwen_processor, conversation):
    record = conversation("what?", "red", num_images=1, size=(900, 4))
    with pytest.raises(
        RecordError, match=r"record r1: the host's Qwen2VLProcessor refuses the rec"
    ):
        ConversationEncoder(qwen_processor)(record, dataset="d")


class TestOverlong:
    """16 image tokens in a LLaVA, one for 28 x 28 pixels in a Qwen-VL."""

    long_answer = " ".join(["red"] * 40)

    def test_text_is_cut_from_its_end(self, llava, conversation):
        record = conversation("what?", self.long_answer, num_images=1)
        whole = ConversationEncoder(llava)(record, dataset="d")
        cut = ConversationEncoder(llava, max_length=40)(record, dataset="d")
        assert len(cut.input_ids) == 40
        assert torch.equal(cut.input_ids, whole.input_ids[:40])
        assert torch.equal(cut.labels, whole.labels[:40])

    def test_what_fits_is_left_alone(self, llava, conversation):
        record = conversation("what?", self.long_answer, num_images=1)
        whole = ConversationEncoder(llava)(record, dataset="d")
        same = ConversationEncoder(llava, max_length=len(whole.input_ids))(record, dataset="d")
        assert torch.equal(same.input_ids, whole.input_ids)

    @pytest.mark.parametrize("overlong", ["error", "drop"])
    @pytest.mark.parametrize("max_length", [10, 20], ids=["image cut", "no answer left"])
    def test_images_and_all_answers_are_never_cut(self, llava, conversation, overlong, max_length):
        encode = ConversationEncoder(llava, max_length=max_length, overlong=overlong)
        with pytest.raises(OverlongError) as error:
            encode(conversation("what is this?", "red", num_images=1), dataset="train.jsonl")
        assert "train.jsonl, record r1: the sample has 2" in str(error.value)
        assert "(16 for 1 image, 2 supervised)" in str(error.value)
        assert f"`max_length` is {max_length}" in str(error.value)

    def test_image_of_a_later_turn_is_not_cut_off(self, llava, conversation):
        record = conversation("what?", "red", "and now?", "blue", num_images=1)
        _, answer, second, last = record.messages
        later = (Message("user", ("what?",)), answer, Message("user", (0, "and now?")), last)
        encode = ConversationEncoder(llava, max_length=16)
        with pytest.raises(OverlongError, match=r"16 for 1 image, 4 supervised"):
            encode(replace(record, messages=later), dataset="d")
        without = replace(record, messages=(later[0], answer, second, last), images=())
        assert len(encode(without, dataset="d").input_ids) <= 16

    @pytest.mark.parametrize("max_length", [24, 40, 80])
    def test_images_are_shrunk_until_the_sample_fits(
        self, qwen_processor, conversation, max_length
    ):
        record = conversation("what?", "red", num_images=2, size=(280, 200))
        whole = ConversationEncoder(qwen_processor)(record, dataset="d")
        assert len(whole.input_ids) > 80
        encode = ConversationEncoder(qwen_processor, max_length=max_length, overlong="shrink_image")
        sample = encode(record, dataset="d")
        tokens = torch.isin(sample.input_ids, image_token_ids(qwen_processor)).sum()
        grids = sample.image_inputs["image_grid_thw"]
        assert len(sample.input_ids) <= max_length
        assert int(tokens) == int(grids.prod(1).sum()) // 4
        assert len(sample.image_inputs["pixel_values"]) == int(grids.prod(1).sum())
        assert supervised_tokens(sample, qwen_processor.tokenizer) == ["red", "</s>"]
        assert len(sample.token_inputs["mm_token_type_ids"]) == len(sample.input_ids)

    def test_images_are_shrunk_no_more_than_needed(self, qwen_processor, conversation):
        record = conversation("what?", "red", num_images=1, size=(280, 280))
        lengths = [
            len(
                ConversationEncoder(qwen_processor, max_length=limit, overlong="shrink_image")(
                    record, dataset="d"
                ).input_ids
            )
            for limit in (30, 60, 90)
        ]
        assert lengths == sorted(set(lengths))
        assert lengths[-1] > 70

    def test_text_is_cut_before_images_are_shrunk(self, qwen_processor, conversation):
        record = conversation("what?", self.long_answer, num_images=1, size=(112, 112))
        encode = ConversationEncoder(qwen_processor, max_length=40, overlong="shrink_image")
        sample = encode(record, dataset="d")
        assert len(sample.input_ids) == 40
        assert sample.image_inputs["image_grid_thw"].tolist() == [[1, 8, 8]]

    def test_shrinking_that_cannot_help_says_so(self, llava, qwen_processor, conversation):
        encode = ConversationEncoder(llava, max_length=10, overlong="shrink_image")
        fixed = "leaves 16 image tokens: this host turns every image into a fixed number"
        with pytest.raises(OverlongError, match=fixed):
            encode(conversation("what?", "red", num_images=1, size=(200, 200)), dataset="d")
        encode = ConversationEncoder(qwen_processor, max_length=8, overlong="shrink_image")
        with pytest.raises(OverlongError, match=r"leaves 4 image tokens; raise `max_length`"):
            encode(conversation("what?", "red", num_images=1, size=(200, 200)), dataset="d")
        with pytest.raises(OverlongError, match=r"there is no image to shrink"):
            encode(conversation("what is this? " * 3, "red"), dataset="d")


def test_many_at_once_equal_one_by_one(llava):
    from vlft.data.scenes.dataset import SceneDataset
    from vlft.recipe.data.scenes import Scenes

    section = Scenes(type="scenes", task="mixture", num_samples=24, questions=("color", "kind"))
    records = [SceneDataset(section)[index] for index in range(24)]
    assert len({len(record.images) for record in records}) == 2  # some have no image
    encode = ConversationEncoder(llava)
    together = encode.many(records, dataset="scenes")
    for record, sample in zip(records, together, strict=True):
        alone = encode(record, dataset="scenes")
        assert sample.record_id == alone.record_id
        assert torch.equal(sample.input_ids, alone.input_ids)
        assert torch.equal(sample.labels, alone.labels)
        assert sample.image_inputs.keys() == alone.image_inputs.keys()
        for key, value in alone.image_inputs.items():
            assert torch.equal(sample.image_inputs[key], value)
