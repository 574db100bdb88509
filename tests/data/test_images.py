"""Opening images: good ones come out as upright RGB, bad ones say what is wrong with them."""

import io
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlft.data.images import MAX_PIXELS, check_images, image_size, open_image
from vlft.data.records import ImageRef, Pair
from vlft.errors import RecordError
from vlft.recipe.data import DataSection


def jpeg(size=(64, 48)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def png_header(width, height):
    """A PNG that promises many pixels and holds none."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def opened(ref, **options):
    return open_image(ref, dataset="train.jsonl", record_id="7", **options)


HEADER_FAULTS = {
    "missing": (None, "image not found: 'bad.jpg', looked for at"),
    "empty": (b"", "is empty: 0 bytes"),
    "no image": (b"GIF? no, just text", "is not an image"),
    "bomb": (png_header(20_000, 20_000), "the limit is 40,000,000; scale the file down, or raise"),
    "nearly a bomb": (png_header(10_000, 9_000), "the limit is 40,000,000; scale the file down"),
    "large": (png_header(10_000, 5_000), "is too large: 10000 x 5000 = 50,000,000 pixels"),
}


@pytest.mark.parametrize(("content", "phrase"), HEADER_FAULTS.values(), ids=HEADER_FAULTS)
def test_header_fault_is_found_with_and_without_decoding(tmp_path, content, phrase):
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
    ref = ImageRef(path=Path("bad.jpg"), root=tmp_path)
    for find in (lambda: opened(ref), lambda: check(ref)):
        with pytest.raises(RecordError) as error:
            find()
        assert phrase in str(error.value)
        assert str(error.value).startswith("train.jsonl, record 7: ")
        assert "\n" not in str(error.value)


def check(ref):
    check_images(Pair("7", ref, "a text"), dataset="train.jsonl")


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_truncated_jpeg_is_refused_when_decoded(tmp_path, keep):
    data = jpeg()
    (tmp_path / "cut.jpg").write_bytes(data[: int(len(data) * keep)])
    ref = ImageRef(path=Path("cut.jpg"), root=tmp_path)
    check(ref)
    with pytest.raises(RecordError, match=r"'cut.jpg' cannot be decoded: .*truncated.*replace it"):
        opened(ref)


def test_missing_image_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(RecordError) as error:
        opened(ImageRef(path=Path("sub/a.png"), root=tmp_path))
    assert str(tmp_path / "sub" / "a.png") in str(error.value)
    assert "image_root" in str(error.value)


def test_image_limit_is_in_pixels(tmp_path, write_image):
    ref = ImageRef(path=Path("a.png"), root=write_image(size=(20, 10)).parent)
    assert opened(ref, max_pixels=200).size == (20, 10)
    with pytest.raises(RecordError, match=r"20 x 10 = 200 pixels .* the limit is 199"):
        opened(ref, max_pixels=199)
    assert DataSection().max_image_pixels == MAX_PIXELS


@pytest.mark.parametrize(
    ("path", "reason"),
    [("x" * 300, "File name too long"), ("a\0b", "null byte"), ("loop", "oop")],
    ids=["long", "zero byte", "links in a circle"],
)
def test_a_path_that_the_system_refuses_is_a_bad_record(tmp_path, path, reason):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    ref = ImageRef(path=Path(path), root=tmp_path)
    for look in (opened, partial(image_size, dataset="d", record_id="r")):
        with pytest.raises(RecordError, match=rf"cannot be looked up \(.*{reason}") as error:
            look(ref)
        assert len(str(error.value)) < 400


def test_a_png_whose_text_unpacks_to_too_much_is_a_bad_record():
    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    png, bomb = buffer.getvalue(), chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (2 << 20)))
    with pytest.raises(RecordError, match=r"cannot be read: Decompressed data too large"):
        opened(ImageRef(data=png[:33] + bomb + png[33:]))


def test_a_damaged_orientation_is_told_alike_with_and_without_decoding():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (4, 8)).save(buffer, "WEBP", exif=exif)
    ref = ImageRef(data=buffer.getvalue().replace(b"MM\0*", b"M\xd2\0*", 1))
    for look in (opened, partial(image_size, dataset="d", record_id="r")):
        with pytest.raises(RecordError, match=r"cannot be decoded: not a TIFF file"):
            look(ref)


@pytest.mark.parametrize(
    "path", ["../secret.png", "inside/../../secret.png", "ABSOLUTE", "link.png"]
)
def test_path_may_not_leave_its_root(tmp_path, write_image, path):
    secret = write_image("secret.png")
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (root / "link.png").symlink_to(secret)
    ref = ImageRef(path=Path(secret if path == "ABSOLUTE" else path), root=root)
    with pytest.raises(RecordError, match=r"leaves the data root"):
        opened(ref)


def test_absolute_path_inside_the_root_and_linked_root_are_fine(tmp_path, write_image):
    image = write_image("real/a.png")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    assert opened(ImageRef(path=image, root=tmp_path / "alias")).size == (60, 48)


def test_orientation_of_the_camera_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), "white")
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = opened(ImageRef(path=Path("turned.png"), root=tmp_path))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (255, 0, 0)
    assert upright.getpixel((10, 35)) == (255, 255, 255)


def gray16():
    return Image.fromarray(np.full((4, 4), 128 << 8, dtype=np.uint16))


def palette(*, transparent):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    if transparent:
        image.info["transparency"] = 1
    return image


MODES = {
    "alpha": (lambda: Image.new("RGBA", (4, 4), (0, 0, 0, 0)), (255, 255, 255)),
    "half alpha": (lambda: Image.new("RGBA", (4, 4), (0, 0, 0, 128)), (127, 127, 127)),
    "gray alpha": (lambda: Image.new("LA", (4, 4), (0, 0)), (255, 255, 255)),
    "palette": (lambda: palette(transparent=False), (10, 200, 30)),
    "transparent palette": (lambda: palette(transparent=True), (255, 255, 255)),
    "gray": (lambda: Image.new("L", (4, 4), 90), (90, 90, 90)),
    "black and white": (lambda: Image.new("1", (4, 4), 1), (255, 255, 255)),
    "16 bit": (gray16, (128, 128, 128)),
}


@pytest.mark.parametrize(("make", "color"), MODES.values(), ids=MODES)
def test_every_kind_of_pixel_becomes_rgb_on_white(tmp_path, make, color):
    make().save(tmp_path / "a.png")
    image = opened(ImageRef(path=Path("a.png"), root=tmp_path))
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == color


def test_print_colors_become_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = opened(ImageRef(path=Path("a.jpg"), root=tmp_path)).getpixel((4, 4))
    assert red > 200
    assert max(green, blue) < 60


def test_pixels_without_range_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(RecordError, match=r"type 'F' without a fixed range"):
        opened(ImageRef(path=Path("a.tiff"), root=tmp_path))


def test_image_in_memory():
    assert opened(ImageRef(data=jpeg())).size == (64, 48)
    with pytest.raises(RecordError, match=r"<3 bytes> is not an image"):
        opened(ImageRef(data=b"abc"))


def test_drawn_image_is_drawn_when_opened():
    draw = partial(Image.new, "RGB", (3, 2), (1, 2, 3))
    assert opened(ImageRef(draw=draw)).getpixel((2, 1)) == (1, 2, 3)
