"""Every way in which a row can hold an image gives the same pixels; real photographs."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.errors import RecordError
from vlft.recipe.data import Messages, Pairs


@pytest.fixture(scope="module")
def photograph():
    skimage = pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    return Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture
def folder(tmp_path, photograph):
    (tmp_path / "cat.png").write_bytes(photograph.read_bytes())
    return tmp_path


def forms(folder):
    data = (folder / "cat.png").read_bytes()
    text = base64.b64encode(data).decode()
    return {
        "path": "cat.png",
        "absolute path": str(folder / "cat.png"),
        "file URL": f"file://{folder / 'cat.png'}",
        "object with path": {"path": "cat.png", "bytes": None},
        "base64": text,
        "base64 in lines": "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        "data URL": f"data:image/png;base64,{text}",
        "object with URL": {"url": f"data:image/png;base64,{text}"},
        "object with base64": {"base64": text},
    }


def pixels(record):
    return [np.asarray(open_image(image, dataset="d", record_id="r")) for image in record.images]


def test_every_form_gives_the_same_pixels(folder):
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "a cat"}]
    rows = [{"messages": turns, "images": [form]} for form in forms(folder).values()]
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    expected = np.asarray(Image.open(folder / "cat.png").convert("RGB"))
    for record in open_dataset(Messages(type="messages", path=str(path))):
        assert np.array_equal(pixels(record)[0], expected)


CONTENTS = {
    "chat template": lambda image: {"type": "image", "image": image},
    "with path": lambda image: {"type": "image", "path": image},
    "with URL": lambda image: {"type": "image", "url": image},
    "OpenAI": lambda image: {"type": "image_url", "image_url": {"url": image, "detail": "low"}},
    "OpenAI, short": lambda image: {"type": "image_url", "image_url": image},
}


@pytest.mark.parametrize("content", CONTENTS)
def test_content_lists_hold_images_themselves(folder, content):
    given = forms(folder)
    parts = [CONTENTS[content](given[form]) for form in ("path", "data URL")]
    turns = [
        {"role": "user", "content": [parts[0], {"type": "text", "text": "like"}, parts[1]]},
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    ]
    path = folder / "data.jsonl"
    path.write_text(json.dumps({"messages": turns}))
    (record,) = open_dataset(Messages(type="messages", path=str(path)))
    assert record.messages[0].content == (0, "like", 1)
    assert len(pixels(record)) == 2


def test_listed_and_inline_images_keep_their_order(folder):
    inline = {"type": "image", "image": {"path": "inline.png"}}
    turns = [
        {"role": "user", "content": [{"type": "image"}, inline, {"type": "image", "index": 1}]},
        {"role": "assistant", "content": "yes"},
    ]
    path = folder / "data.jsonl"
    path.write_text(json.dumps({"messages": turns, "images": ["first.png", "second.png"]}))
    (record,) = open_dataset(Messages(type="messages", path=str(path)))
    assert [str(image.path) for image in record.images] == ["first.png", "inline.png", "second.png"]


def test_parquet_stores_files_as_the_hub_does(folder, tmp_path):
    """Objects of bytes and path, and content lists whose parts have each other's keys as null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = (folder / "cat.png").read_bytes()
    content = [
        {"type": "image", "text": None, "index": 0},
        {"type": "text", "text": "what?", "index": None},
    ]
    answer = [{"type": "text", "text": "a cat", "index": None}]
    row = {
        "images": [{"bytes": data, "path": "gone.png"}],
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": answer},
        ],
        "thumbnail": data[:100],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data.parquet")
    (record,) = open_dataset(Messages(type="messages", path=str(tmp_path / "data.parquet")))
    assert record.messages[0].content == (0, "what?")
    assert pixels(record)[0].shape == (300, 451, 3)
    assert record.meta == {}  # files are no facts about a record


BAD = {
    "URL": ("https://example.org/cat.png", "images are not fetched while training"),
    "bucket": ("S3://photos/cat.png", "images are not fetched while training"),
    "data URL": ("data:image/png,%89PNG", "expected data:image/...;base64,..."),
    "cut base64": ("data:image/png;base64,iVBORw0KGgoAAA", "not valid base64"),
    "number": (3, "found 3, expected an image: a path, bytes, base64"),
    "null": (None, "found null, expected an image"),
    "empty": (" ", 'found " ", expected a path'),
    "empty object": ({"bytes": None, "path": None}, "expected an image"),
}


@pytest.mark.parametrize(("value", "phrase"), BAD.values(), ids=BAD)
def test_what_is_no_image_is_refused(tmp_path, value, phrase):
    (tmp_path / "data.jsonl").write_text(json.dumps({"filepath": value, "title": "a cat"}))
    data = open_dataset(Pairs(type="pairs", path=str(tmp_path / "data.jsonl")))
    with pytest.raises(RecordError) as error:
        data[0]
    assert phrase in str(error.value)
    assert "line 1: field `filepath" in str(error.value)
    assert len(str(error.value)) < 400


def test_a_path_needs_a_folder_to_start_from(tmp_path, photograph):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rows = [{"filepath": photograph.name, "title": name}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name / "data.parquet")
    section = Pairs(type="pairs", path=str(tmp_path / "*" / "data.parquet"))
    with pytest.raises(RecordError, match=r"has no folder that paths start from; set `image_root`"):
        open_dataset(section)[0]
    rooted = section.model_copy(update={"image_root": str(photograph.parent)})
    assert open_dataset(rooted)[1].image.path == Path("chelsea.png")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A photograph-like JPEG of 50 megapixels."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    Image.new("RGB", (8192, 6144), (120, 90, 60)).save(path, quality=30)
    (path.parent / "data.tsv").write_text("filepath\ttitle\nlarge.jpg\ta large image\n")
    return path


def test_a_50_megapixel_image_is_refused_by_its_header_and_read_when_allowed(large, monkeypatch):
    section = Pairs(type="pairs", path=str(large.parent / "data.tsv"))
    (record,) = open_dataset(section)
    decoded = []
    load = Image.Image.load
    monkeypatch.setattr(
        "PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self) or load(self)
    )
    with pytest.raises(RecordError) as error:
        open_image(record.image, dataset="d", record_id="r")
    assert "8192 x 6144 = 50,331,648 pixels" in str(error.value)
    assert "or raise the limit (`data.max_image_pixels` of a recipe" in str(error.value)
    assert decoded == []
    monkeypatch.undo()
    image = open_image(record.image, dataset="d", record_id="r", max_pixels=60_000_000)
    assert image.size == (8192, 6144)


def test_skip_leaves_out_what_is_too_large(large):
    from vlft.errors import DataError

    section = Pairs(type="pairs", path=str(large.parent / "data.tsv"))
    with pytest.raises(DataError, match=r"all 1 records are bad; the first: .*is too large"):
        open_dataset(section, on_bad_record="skip")
    data = open_dataset(section, on_bad_record="skip", max_image_pixels=60_000_000)
    assert len(data) == 1


def variants(source):
    """One photograph as files that decoders treat differently."""
    image = Image.open(source).convert("RGB").resize((90, 60))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    alpha = image.convert("RGBA")
    alpha.putalpha(255)
    return {
        "gray": (image.convert("L"), "PNG", {}),
        "palette": (image.quantize(64), "PNG", {}),
        "alpha": (alpha, "PNG", {}),
        "gray and alpha": (alpha.convert("LA"), "PNG", {}),
        "CMYK": (image.convert("CMYK"), "JPEG", {}),
        "EXIF": (image.transpose(Image.Transpose.ROTATE_90), "JPEG", {"exif": turned}),
        "WebP": (image, "WEBP", {"lossless": True}),
        "GIF": (image.quantize(64), "GIF", {}),
        "TIFF": (image, "TIFF", {}),
        "BMP": (image, "BMP", {}),
        "16 bit": (Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG",
                   {}),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "gray", "palette", "alpha", "gray and alpha", "CMYK", "EXIF", "WebP", "GIF", "TIFF", "BMP",
        "16 bit",
    ],
)  # fmt: skip
def test_every_kind_of_file_comes_as_upright_rgb(photograph, name):
    """Through base64, so that decoding from memory is what is tested."""
    from vlft.data.readers.fields import Place
    from vlft.data.readers.image_values import image_ref

    image, kind, options = variants(photograph)[name]
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    text = base64.b64encode(buffer.getvalue()).decode()
    ref = image_ref(Place("d", "line 1", "line 1"), text, "image", root=None)
    found = open_image(ref, dataset="d", record_id="r")
    expected = Image.open(photograph).convert("RGB").resize((90, 60))
    if "gray" in name or "16" in name:
        expected = expected.convert("L").convert("RGB")
    assert (found.mode, found.size) == ("RGB", (90, 60))
    difference = np.abs(np.asarray(found, dtype=int) - np.asarray(expected, dtype=int)).mean()
    assert difference < 12  # gray levels; JPEG and 64 colors lose some
