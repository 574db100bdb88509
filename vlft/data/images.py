"""Opening images: every way a file can be bad is a ``RecordError`` that says what was found.

Sizes are read from the header before anything is decoded, and a path may not leave its root.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vlft.data.records import ImageRef, Record, images_of
from vlft.errors import MissingImageError, RecordError
from vlft.recipe.data import MAX_IMAGE_PIXELS

MAX_PIXELS = MAX_IMAGE_PIXELS
"""Largest image that is decoded, in pixels, where nothing else is said."""

_ADVICE = (
    "scale the file down, or raise the limit (`data.max_image_pixels` of a recipe, "
    "`max_image_pixels` of a benchmark)"
)


def open_image(
    ref: ImageRef, *, dataset: str, record_id: str, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an image to upright 8-bit RGB; transparent pixels become white.

    Args:
        ref: Where the image is.
        dataset: Name of the data set, for the message.
        record_id: Id of the record, for the message.
        max_pixels: Refuse a larger image before decoding it (width times height).

    Raises:
        RecordError: The file is missing, empty, outside its root, not an image, cut off or too
            large.
    """
    if ref.draw is not None:
        return _part(ref.draw(), ref.box)
    try:
        image = _open_header(ref, max_pixels)
        return _part(_upright_rgb(image, _name(ref)), ref.box)
    except _BadImageError as error:
        raise error.told(dataset, record_id) from error


def _part(image: Image.Image, box: tuple[float, float, float, float] | None) -> Image.Image:
    return image if box is None else image.crop(box)


def content_of(ref: ImageRef, *, dataset: str, record_id: str) -> str:
    """Return a hash of what ``open_image`` decodes: a file's bytes, or what was drawn.

    Raises:
        RecordError: The file is missing, or outside its root.
    """
    digest = sha256(repr(ref.box).encode())
    if ref.draw is not None:
        image = ref.draw()
        digest.update(f"{image.mode} {image.size} ".encode() + image.tobytes())
    elif ref.data is not None:
        digest.update(ref.data)
    else:
        assert ref.path is not None
        assert ref.root is not None
        try:
            path, _ = _file(ref.path, ref.root)
            digest.update(path.read_bytes())
        except _BadImageError as error:
            raise error.told(dataset, record_id) from error
    return digest.hexdigest()


def check_images(record: Record, *, dataset: str, max_pixels: int = MAX_PIXELS) -> None:
    """Find what can be told without decoding: a missing or empty file, a bad header, a bomb.

    Raises:
        RecordError: As ``open_image``.
    """
    for ref in images_of(record):
        check_image(ref, dataset=dataset, record_id=record.id, max_pixels=max_pixels)


def check_image(
    ref: ImageRef, *, dataset: str, record_id: str, max_pixels: int = MAX_PIXELS
) -> None:
    """Find what can be told of an image without decoding it; nothing of one that is drawn.

    Raises:
        RecordError: As ``open_image``.
    """
    if ref.draw is not None:
        return
    try:
        _open_header(ref, max_pixels).close()
    except _BadImageError as error:
        raise error.told(dataset, record_id) from error


def image_size(
    ref: ImageRef, *, dataset: str, record_id: str, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Return the width and height that ``open_image`` gives, in pixels, from the header alone.

    Raises:
        RecordError: As ``check_images``.
    """
    if ref.box is not None:
        left, top, right, bottom = map(round, ref.box)
        return right - left, bottom - top
    if ref.draw is not None:
        return ref.draw().size
    try:
        with _open_header(ref, max_pixels) as image, _damage_told(_name(ref)):
            width, height = image.size
            # For a PNG without the chunk in front, Pillow would decode the image to look for it.
            has_exif = image.format != "PNG" or "exif" in image.info
            sideways = has_exif and image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    except _BadImageError as error:
        raise error.told(dataset, record_id) from error
    return (height, width) if sideways else (width, height)


_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


class _BadImageError(Exception):
    """What is wrong with an image, before it is known which record it belongs to."""

    kind = RecordError

    def told(self, dataset: str, record_id: str) -> RecordError:
        """Return the error about the record."""
        return self.kind(str(self), dataset=dataset, record_id=record_id)


class _NoImageError(_BadImageError):
    """There is no file."""

    kind = MissingImageError


def _name(ref: ImageRef) -> str:
    return repr(str(ref.path)) if ref.path is not None else f"<{len(ref.data or b'')} bytes>"


def _file(path: Path, root: Path) -> tuple[Path, int]:
    """Return an image's file, which is there and inside the root, and its size in bytes."""
    try:
        source = _inside(path, root)
        found = _stat(source)
        if found is None or not stat.S_ISREG(found.st_mode):
            raise _NoImageError(
                f"image not found: {str(path)!r}, looked for at {source}; check the path, or set "
                f"`image_root` (now {root})"
            )
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a zero byte
        name = str(path) if len(str(path)) <= 60 else f"{str(path)[:57]}..."
        reason = (error.strerror if isinstance(error, OSError) else None) or _line(error)
        raise _BadImageError(
            f"image path {name!r} cannot be looked up ({reason}); check the path (base64 that is "
            "not taken for an image needs data:image/png;base64, before it)"
        ) from error
    return source, found.st_size


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _inside(path: Path, root: Path) -> Path:
    """Resolve a path, links included, and refuse one that ends outside the root."""
    root = _resolved(root.absolute())
    found = (root / path).resolve()
    if not found.is_relative_to(root):
        raise _BadImageError(
            f"image path {str(path)!r} leaves the data root: it leads to {found}, "
            f"expected a file below {root}; set `image_root` to the folder that holds the images"
        )
    return found


@cache
def _resolved(root: Path) -> Path:
    return root.resolve()


def _open_header(ref: ImageRef, max_pixels: int) -> Image.Image:
    """Read an image's header and check its size; nothing is decoded."""
    if ref.path is None:
        source, num_bytes = io.BytesIO(ref.data or b""), len(ref.data or b"")
    else:
        assert ref.root is not None
        source, num_bytes = _file(ref.path, ref.root)
    if num_bytes == 0:
        raise _BadImageError(f"image {_name(ref)} is empty: 0 bytes, expected an image file")
    pillow_limit = Image.MAX_IMAGE_PIXELS
    if pillow_limit is not None and max_pixels > pillow_limit:
        Image.MAX_IMAGE_PIXELS = max_pixels  # whoever raised our limit means Pillow's as well
    try:
        image = Image.open(source)
    except UnidentifiedImageError:
        raise _BadImageError(
            f"{_name(ref)} is not an image: none of the formats Pillow reads fits its "
            f"{num_bytes} bytes; replace the file"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _BadImageError(
            f"image {_name(ref)} is too large: {_line(error)} in {num_bytes} bytes, the limit is "
            f"{max_pixels:,}; {_ADVICE}"
        ) from None
    except Exception as error:  # Pillow's plugins raise whatever their parsers trip over
        raise _BadImageError(
            f"image {_name(ref)} cannot be read: {_line(error)}; replace the file"
        ) from error
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise _BadImageError(
            f"image {_name(ref)} is too large: {width} x {height} = {width * height:,} pixels in "
            f"{num_bytes} bytes, the limit is {max_pixels:,}; {_ADVICE}"
        )
    return image


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Decode, turn upright by the EXIF orientation, and give 8-bit RGB on white."""
    with image, _damage_told(name):
        image.load()
        return _rgb(ImageOps.exif_transpose(image))


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    try:
        yield
    except _BadImageError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsers trip over
        raise _BadImageError(
            f"image {name} cannot be decoded: {_line(error)}; the file is damaged, replace it"
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image if "transparency" not in image.info else _on_white(image)
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255, which turns 16-bit scans white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise _BadImageError(
            f"image has pixels of type {image.mode!r} without a fixed range; save it with 8 bits"
        )
    return _on_white(image) if image.has_transparency_data else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _line(error: BaseException) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
