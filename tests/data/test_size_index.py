"""The size index: upright sizes by header, remembered, resumable; a changed file is read again."""

import json
import os

import pytest
from PIL import Image

from vlft.data import images, open_dataset, size_index
from vlft.data.images import open_image
from vlft.data.size_index import image_sizes
from vlft.errors import RecordError
from vlft.recipe.data import Pairs, Scenes


@pytest.fixture
def records(tmp_path):
    """Two hundred pairs of twenty files; every third file is turned by its EXIF orientation."""
    turned = Image.Exif()
    turned[0x0112] = 8
    for number in range(20):
        options = {"exif": turned} if number % 3 == 0 else {}
        name = f"{number}.{'png' if number % 2 else 'jpg'}"
        Image.new("RGB", (40 + number, 30), "red").save(tmp_path / name, **options)
    lines = [f"{number % 20}.{'png' if number % 2 else 'jpg'}\tan image" for number in range(200)]
    (tmp_path / "data.tsv").write_text("\n".join(["filepath\ttitle", *lines]))
    return open_dataset(Pairs(type="pairs", path=str(tmp_path / "data.tsv")))


@pytest.fixture
def opened(monkeypatch):
    """Count headers that are read."""
    names = []
    original = images._open_header
    monkeypatch.setattr(
        images, "_open_header", lambda ref, limit: names.append(ref.path) or original(ref, limit)
    )
    return names


def test_sizes_are_those_of_the_decoded_images(records, tmp_path):
    sizes = image_sizes(records, cache=tmp_path / "sizes.jsonl")
    assert len(sizes) == len(records)
    for index in range(20):
        image = open_image(records[index].image, dataset="d", record_id="r")
        assert sizes[index] == (image.size,)


def test_nothing_is_decoded(records, tmp_path, monkeypatch):
    def decode(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    assert len(image_sizes(records, cache=None)) == 200


def test_what_is_known_is_not_read_again_and_what_changed_is(records, tmp_path, opened):
    cache = tmp_path / "deep" / "sizes.jsonl"
    first = image_sizes(records, cache=cache, num_threads=1)
    assert len(opened) == 20  # each file once, although ten records share it
    opened.clear()
    assert image_sizes(records, cache=cache) == first
    assert opened == []
    Image.new("RGB", (7, 8)).save(tmp_path / "5.png")
    os.utime(tmp_path / "5.png", ns=(1, 1))
    again = image_sizes(records, cache=cache, num_threads=1)
    assert [str(path) for path in opened] == ["5.png"]
    assert again[5] == ((7, 8),)


def test_an_interrupted_index_goes_on(records, tmp_path, opened):
    """Killed in the middle of a line: whole lines count, the rest is read again."""
    cache = tmp_path / "sizes.jsonl"
    expected = image_sizes(records, cache=cache, num_threads=1)
    lines = cache.read_bytes().splitlines(keepends=True)
    cache.write_bytes(b"".join(lines[:12]) + lines[12][:15])
    opened.clear()
    assert image_sizes(records, cache=cache, num_threads=1) == expected
    assert len(opened) == 8
    entries = [json.loads(line) for line in cache.read_text().splitlines() if line.endswith("]")]
    assert len(entries) == 20
    opened.clear()
    assert image_sizes(records, cache=cache) == expected
    assert opened == []


def test_a_bad_image_stops_the_index_and_keeps_what_was_read(records, tmp_path):
    (tmp_path / "19.png").write_bytes(b"")
    cache = tmp_path / "sizes.jsonl"
    with pytest.raises(RecordError, match=r"record line 21: image '19.png' is empty: 0 bytes"):
        image_sizes(records, cache=cache, num_threads=1)
    assert len(cache.read_text().splitlines()) >= 19


def test_a_size_that_is_known_does_not_pass_a_lower_limit(records, tmp_path):
    cache = tmp_path / "sizes.jsonl"
    image_sizes(records, cache=cache)
    with pytest.raises(RecordError, match=r"the limit is 1,000"):
        image_sizes(records, cache=cache, max_pixels=1000)


def test_drawn_images_have_sizes_too(tmp_path):
    scenes = open_dataset(Scenes(type="scenes", task="pairs", num_samples=3))
    assert image_sizes(scenes, cache=tmp_path / "none.jsonl") == [((48, 48),)] * 3


def test_the_usual_place_is_beside_the_runs():
    assert size_index.CACHE.parts[0] == "runs"
