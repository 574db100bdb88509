"""The audit refuses what the loss must not see, and shows what it does see."""

from dataclasses import replace

import pytest
import torch
from transformers import LlavaProcessor

from vlft.data.audit import audit, check_batch, count_image_features, render_report
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder
from vlft.errors import SupervisionError


@pytest.fixture(scope="module")
def llava(pristine_hosts):
    return pristine_hosts["tiny_llava"]


@pytest.fixture
def sample(llava, conversation):
    record = conversation("what color?", "red", "sure?", "yes", num_images=2, record_id="q7")
    return ConversationEncoder(llava.processor)(record, dataset="train.jsonl")


def test_report_marks_what_is_supervised(llava, sample, conversation):
    text = ConversationEncoder(llava.processor)(conversation("hi", "red"), dataset="d")
    reports = audit([sample, text], processor=llava.processor, model=llava.model)
    assert reports[0].text == (
        "<s><user><image>x32what color?<assistant>[[red</s>]]<user>sure?<assistant>[[yes</s>]]"
    )
    assert (reports[0].num_images, reports[0].num_image_tokens) == (2, 32)
    assert (reports[0].num_supervised, reports[0].num_tokens) == (4, len(sample.input_ids))
    rendered = render_report(reports)
    head = rendered.splitlines()[0]
    assert head == "q7: 2 images, 49 tokens (32 of images), 4 supervised (8.2%)"
    assert "r1: 0 images" in rendered


def test_text_hosts_are_audited_too(pristine_hosts, conversation):
    tokenizer = pristine_hosts["tiny_llama"].processor
    sample = ConversationEncoder(tokenizer)(conversation("hi", "red"), dataset="d")
    (report,) = audit([sample], processor=tokenizer)
    assert report.text == "<s><user>hi<assistant>[[red</s>]]"


def test_supervised_image_token_is_refused(llava, sample):
    wrong = replace(sample, labels=sample.input_ids)
    with pytest.raises(SupervisionError) as error:
        audit([wrong], processor=llava.processor)
    assert str(error.value).startswith("train.jsonl, record q7: 32 image tokens are supervised")


def test_sample_without_supervision_is_refused(llava, sample):
    silent = replace(sample, labels=torch.full_like(sample.labels, -100))
    with pytest.raises(SupervisionError, match=r"record q7: none of 49 tokens is supervised"):
        audit([silent], processor=llava.processor)


def test_placeholders_that_differ_from_features_are_refused(llava, conversation):
    """A processor with another patch size than the host's."""
    processor = LlavaProcessor(
        llava.processor.image_processor,
        llava.processor.tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=llava.processor.chat_template,
    )
    record = conversation("what color?", "red", num_images=2, record_id="q7")
    sample = ConversationEncoder(processor)(record, dataset="train.jsonl")
    assert audit([sample], processor=processor)
    with pytest.raises(SupervisionError) as error:
        audit([sample], processor=processor, model=llava.model)
    message = str(error.value)
    assert message.startswith("train.jsonl, record q7: placeholder mismatch: 18 placeholder tokens")
    assert "for 2 images of 60 x 48, 60 x 48 pixels, expected 32" in message


def test_features_are_counted_without_weights(llava, sample):
    from vlft.backbones import build
    from vlft.recipe.backbone import ImageTextToText

    section = ImageTextToText(type="image_text_to_text", config="tiny_llava")
    meta = build(section, device="meta").model
    assert count_image_features(meta, sample.image_inputs) == [16, 16]


def test_batches_are_checked_row_by_row(llava, sample, conversation):
    text = ConversationEncoder(llava.processor)(conversation("hi", "red"), dataset="d")
    collate = ConversationCollator(llava.processor)
    for samples in ([sample, text], [text, text]):  # the second gets a blank image
        check_batch(collate(samples), processor=llava.processor, dataset="train.jsonl")
    batch = collate([text, sample])
    batch["labels"][1, 5] = batch["input_ids"][1, 5]
    with pytest.raises(SupervisionError, match=r"train.jsonl, record q7: 1 image tokens are"):
        check_batch(batch, processor=llava.processor, dataset="train.jsonl")
    batch = collate([text, sample])
    batch["labels"][0] = -100
    with pytest.raises(SupervisionError, match=r"train.jsonl, record r1: none of"):
        check_batch(batch, processor=llava.processor, dataset="train.jsonl")
