"""The record policy, up front and in the workers."""

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vlft.data import open_dataset
from vlft.data.checked import append_listing, read_listing
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder
from vlft.data.encoded import EncodedDataset
from vlft.errors import DataError, OverlongError, RecordError, SupervisionError
from vlft.recipe.data import Messages


@pytest.fixture
def section(write_jsonl, write_image):
    """Ten records; 2 is broken JSON, 4 has no image file, 6 an image that stops half-way."""

    def line(number):
        turns = [
            {"role": "user", "content": "<image>what color?"},
            {"role": "assistant", "content": "red"},
        ]
        return {"id": f"q{number}", "messages": turns, "images": [f"{number}.jpg"]}

    for number in range(10):
        path = write_image(f"{number}.jpg", size=(60 + number, 48))
        if number == 6:
            path.write_bytes(path.read_bytes()[:-40])
        if number == 4:
            path.unlink()
    lines = [line(number) for number in range(10)]
    return Messages(type="messages", path=str(write_jsonl([*lines[:2], "{", *lines[3:]])))


@pytest.fixture(scope="module")
def llava(pristine_hosts):
    return pristine_hosts["tiny_llava"].processor


def loader(data, llava, *, num_workers=2):
    return DataLoader(
        data, batch_size=2, num_workers=num_workers, collate_fn=ConversationCollator(llava)
    )


def test_skip_finds_bad_records_without_decoding(section):
    records = open_dataset(section, on_bad_record="skip")
    assert [record.id for record in records] == ["q0", "q1", "q3", "q5", "q6", "q7", "q8", "q9"]
    assert [error.record_id for error in records.skipped] == ["line 3", "q4"]


def test_error_is_raised_when_the_record_is_read(section):
    records = open_dataset(section)
    assert len(records) == 10
    with pytest.raises(RecordError, match=r"record line 3: not valid JSON"):
        records[2]


def test_set_without_a_good_record_is_refused(write_jsonl):
    path = write_jsonl(["{", "["])
    with pytest.raises(DataError, match=r"all 2 records are bad; the first: .*record line 1: not"):
        open_dataset(Messages(type="messages", path=str(path)), on_bad_record="skip")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_error_of_a_worker_arrives_as_itself(section, llava, num_workers):
    data = EncodedDataset(open_dataset(section), ConversationEncoder(llava))
    with pytest.raises(RecordError) as error:
        list(loader(data, llava, num_workers=num_workers))
    assert str(error.value).startswith(f"{section.path}, record line 3: not valid JSON")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [RecordError, OverlongError, SupervisionError])
def test_record_errors_survive_what_torch_does_to_them(kind):
    """DataLoader makes the class anew from a formatted traceback."""
    from torch._utils import ExceptionWrapper

    def fail():
        raise kind("it is bad; mend it", dataset="train.jsonl", record_id="7")

    try:
        fail()
    except kind:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(kind) as error:
        wrapper.reraise()
    assert str(error.value) == "train.jsonl, record 7: it is bad; mend it"


def test_next_good_record_stands_in_and_the_bad_one_is_listed(section, llava, tmp_path):
    records = open_dataset(section, on_bad_record="skip")
    listing = tmp_path / "skipped_records.jsonl"
    append_listing(listing, records.skipped)
    data = EncodedDataset(
        records, ConversationEncoder(llava), on_bad_record="skip", listing=listing
    )
    seen = [
        record_id
        for _ in range(2)  # epochs: the same records stand in, and each is listed once
        for batch in loader(data, llava)
        for record_id in batch["record_ids"]
    ]
    assert seen == ["q0", "q1", "q3", "q5", "q7", "q7", "q8", "q9"] * 2
    skipped = read_listing(listing)
    assert [entry.record_id for entry in skipped] == ["line 3", "q4", "q6"]
    assert "cannot be decoded" in skipped[2].reason
    assert {entry.dataset for entry in skipped} == {section.path}


def test_overlong_samples_are_dropped_by_their_own_policy(write_jsonl, llava, tmp_path):
    def line(number, words):
        turns = [
            {"role": "user", "content": " ".join(["red"] * words)},
            {"role": "assistant", "content": "yes"},
        ]
        return {"id": f"q{number}", "messages": turns}

    path = write_jsonl([line(0, 3), line(1, 90), line(2, 3)])
    records = open_dataset(Messages(type="messages", path=str(path)))
    encode = ConversationEncoder(llava, max_length=40, overlong="drop")
    listing = tmp_path / "skipped.jsonl"
    data = EncodedDataset(records, encode, overlong="drop", listing=listing)
    assert [data[i].record_id for i in range(3)] == ["q0", "q2", "q2"]
    assert [(entry.record_id, entry.kind) for entry in read_listing(listing)] == [
        ("q1", "OverlongError")
    ]
    strict = EncodedDataset(records, encode, on_bad_record="skip")
    with pytest.raises(OverlongError, match=r"record q1: the sample has 9"):
        strict[1]


def test_sample_depends_on_its_index_alone(section, llava):
    data = EncodedDataset(
        open_dataset(section, on_bad_record="skip"),
        ConversationEncoder(llava),
        on_bad_record="skip",
    )
    first, again = data[4], data[4]
    assert torch.equal(first.input_ids, again.input_ids)
    assert torch.equal(first.image_inputs["pixel_values"], again.image_inputs["pixel_values"])


def test_sample_without_supervision_is_never_passed_over(section):
    class Unsupervised:
        def __call__(self, record, *, dataset):
            raise SupervisionError("no token is supervised", dataset=dataset, record_id=record.id)

        def many(self, records, *, dataset):
            return [self(record, dataset=dataset) for record in records]

    data = EncodedDataset(
        open_dataset(section, on_bad_record="skip"),
        Unsupervised(),
        on_bad_record="skip",
        overlong="drop",
    )
    with pytest.raises(SupervisionError, match=r"record q0: no token is supervised"):
        data[0]
    with pytest.raises(SupervisionError, match=r"record q0: no token is supervised"):
        data.__getitems__([0, 1])


def test_wrong_setting_is_not_taken_for_bad_records(section, llava):
    records = open_dataset(section, on_bad_record="skip")
    encode = ConversationEncoder(llava, max_length=4, overlong="drop")
    data = EncodedDataset(records, encode, on_bad_record="skip", overlong="drop")
    with pytest.raises(
        DataError, match=r"8 records in a row cannot be used.*the last: .*max_length"
    ):
        data[0]


def test_images_are_not_opened_before_they_are_asked_for(section, llava, monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(
        Image, "open", lambda *args, **kw: opened.append(args) or original(*args, **kw)
    )
    data = EncodedDataset(open_dataset(section), ConversationEncoder(llava))
    assert opened == []
    data[0]
    assert len(opened) == 1
