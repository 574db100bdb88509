"""From a recipe's data section to batches for a host."""

import pytest

from vlft.data import pipeline
from vlft.data.checked import LISTING, read_listing
from vlft.errors import DataError, SupervisionError
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
