"""From a recipe's data section to batches for a host."""

import base64
from dataclasses import replace

import pytest

from vlft.data import pipeline
from vlft.data.checked import LISTING, read_listing
from vlft.errors import DataError, RecordError, SupervisionError
from vlft.recipe.data import DataSection, Messages, Pairs

TURNS = [
    {"role": "user", "content": "<image>what color is it?"},
    {"role": "assistant", "content": "red"},
]


@pytest.fixture
def messages(write_jsonl, write_image):
    write_image("a.png")
    good = {"messages": TURNS, "images": ["a.png"]}
    missing = {"messages": TURNS, "images": ["b.png"]}
    return Messages(type="messages", path=str(write_jsonl([good, missing, good])))


@pytest.fixture
def pairs(write_jsonl, write_image):
    write_image("a.png")
    lines = [{"filepath": "a.png", "title": "a red circle"}] * 3
    return Pairs(type="pairs", path=str(write_jsonl(lines, "pairs.jsonl")))


def test_generative_host(pristine_hosts, messages, tmp_path):
    backbone = pristine_hosts["tiny_llava"]
    section = DataSection(train=messages, on_bad_record="skip")
    samples = pipeline.open_samples(backbone, section, messages, tmp_path)
    batch = pipeline.collator(backbone)([samples[0], samples[1]])
    assert batch["record_ids"] == ["line 1", "line 3"]
    assert [entry.record_id for entry in read_listing(tmp_path / LISTING)] == ["line 2"]
    summary = pipeline.audit_summary(backbone, samples)
    assert "2 samples; supervised 7" in summary
    assert "<assistant>[[red</s>]]" in summary


@pytest.fixture
def few(pristine_hosts):
    """A host that takes one image of a sample, beside its sequence."""
    return replace(pristine_hosts["tiny_llava"], images="beside", max_images=1)


@pytest.fixture
def many(write_jsonl, write_image):
    """Eleven records with one image, and one with two; all of them the same file."""
    write_image("a.png")
    good = {"messages": TURNS, "images": ["a.png"]}
    both = {"messages": [{"role": "user", "content": "<image><image>same?"}, TURNS[1]]}
    return Messages(
        type="messages",
        path=str(write_jsonl([*[good] * 10, {**both, "images": ["a.png"] * 2}, good])),
    )


TOO_MANY = r"record line 11: the record has 2 images, and adapter\.max_images is 1: set .*: 2, or"


def test_a_record_with_too_many_images_is_told_before_training(few, many, pristine_hosts):
    with pytest.raises(RecordError, match=TOO_MANY):
        pipeline.open_samples(few, DataSection(train=many), many, None)
    samples = pipeline.open_samples(replace(few, max_images=2), DataSection(train=many), many, None)
    assert len(samples[10].image_sizes) == 2
    host = pristine_hosts["tiny_llava"]  # which takes any number
    assert len(pipeline.open_samples(host, DataSection(train=many), many, None)) == 12


def test_a_record_with_too_many_images_may_be_skipped_and_is_listed(few, many, tmp_path):
    section = DataSection(train=many, on_bad_record="skip")
    samples = pipeline.open_samples(few, section, many, tmp_path)
    assert samples[10].record_id == "line 12"
    (entry,) = read_listing(tmp_path / LISTING)
    assert (entry.record_id, "adapter.max_images is 1" in entry.reason) == ("line 11", True)


def test_records_that_hold_their_images_are_checked_as_they_are_encoded(
    few, write_jsonl, write_image
):
    image = base64.b64encode(write_image("a.png").read_bytes()).decode()
    both = [{"role": "user", "content": "<image><image>same?"}, TURNS[1]]
    held = [{"messages": TURNS, "images": [image]}, {"messages": both, "images": [image] * 2}]
    section = Messages(type="messages", path=str(write_jsonl(held)))
    samples = pipeline.open_samples(few, DataSection(train=section), section, None)
    assert samples[0].record_id == "line 1"
    for ask in (lambda: samples[1], lambda: samples.__getitems__([0, 1])):
        with pytest.raises(RecordError, match="record line 2: the record has 2 images"):
            ask()


def test_contrastive_host(pristine_hosts, pairs):
    backbone = pristine_hosts["tiny_clip"]
    section = DataSection(train=pairs, max_length=4)
    samples = pipeline.open_samples(backbone, section, pairs, None)
    batch = pipeline.collator(backbone)([samples[0], samples[1]])
    assert batch["input_ids"].shape == (2, 4)
    assert "3 pairs" in pipeline.audit_summary(backbone, samples)
    with pytest.raises(DataError, match=r"a contrastive host has no supervised tokens to show"):
        pipeline.audit_samples(backbone, samples, count=1)


def test_audit_stops_a_processor_that_does_not_fit_the_host(pristine_hosts, messages, monkeypatch):
    backbone = pristine_hosts["tiny_llava"]
    monkeypatch.setattr(backbone.processor, "patch_size", 24)
    samples = pipeline.open_samples(backbone, DataSection(train=messages), messages, None)
    with pytest.raises(
        SupervisionError, match=r"record line 1: placeholder mismatch: 4 placeholder"
    ):
        pipeline.audit_samples(backbone, samples, count=1)
