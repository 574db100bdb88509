"""Opening images: every way a file can be bad is a ``RecordError`` that says what was found.

Sizes are read from the header before anything is decoded, and a path may not leave its root.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vlft.data.records import ImageRef, Record, images_of
from vlft.errors import RecordError

MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels: Pillow's own limit (a quarter GiB of 24-bit color)."""


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
        return ref.draw()
    try:
        image = _open_header(ref, max_pixels)
        return _upright_rgb(image, _name(ref))
    except _BadImageError as error:
        raise RecordError(str(error), dataset=dataset, record_id=record_id) from error


def check_images(record: Record, *, dataset: str, max_pixels: int = MAX_PIXELS) -> None:
    """Find what can be told without decoding: a missing or empty file, a bad header, a bomb.

    Raises:
        RecordError: As ``open_image``.
    """
    for ref in images_of(record):
        if ref.draw is not None:
            continue
        try:
            _open_header(ref, max_pixels).close()
        except _BadImageError as error:
            raise RecordError(str(error), dataset=dataset, record_id=record.id) from error


class _BadImageError(Exception):
    """What is wrong with an image, before it is known which record it belongs to."""


def _name(ref: ImageRef) -> str:
    return repr(str(ref.path)) if ref.path is not None else f"<{len(ref.data or b'')} bytes>"


def _inside(path: Path, root: Path) -> Path:
    """Resolve a path, links included, and refuse one that ends outside the root."""
    root = root.resolve()
    found = (root / path).resolve()
    if not found.is_relative_to(root):
        raise _BadImageError(
            f"image path {str(path)!r} leaves the data root: it leads to {found}, "
            f"expected a file below {root}; set `image_root` to the folder that holds the images"
        )
    return found


def _open_header(ref: ImageRef, max_pixels: int) -> Image.Image:
    """Read an image's header and check its size; nothing is decoded."""
    if ref.path is None:
        source, num_bytes = io.BytesIO(ref.data or b""), len(ref.data or b"")
    else:
        assert ref.root is not None
        source = _inside(ref.path, ref.root)
        if not source.is_file():
            raise _BadImageError(
                f"image not found: {str(ref.path)!r}, looked for at {source}; check the path, or "
                f"set `image_root` (now {ref.root})"
            )
        num_bytes = source.stat().st_size
    if num_bytes == 0:
        raise _BadImageError(f"image {_name(ref)} is empty: 0 bytes, expected an image file")
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its limit; ours is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source)
    except UnidentifiedImageError:
        raise _BadImageError(
            f"{_name(ref)} is not an image: none of the formats Pillow reads fits its "
            f"{num_bytes} bytes; replace the file"
        ) from None
    except Image.DecompressionBombError:
        raise _BadImageError(
            f"image {_name(ref)} is a decompression bomb: more than {2 * MAX_PIXELS:,} pixels in "
            f"{num_bytes} bytes, the limit is {max_pixels:,}; scale the file down"
        ) from None
    except OSError as error:
        raise _BadImageError(f"image {_name(ref)} cannot be read: {_line(error)}") from error
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise _BadImageError(
            f"image {_name(ref)} is a decompression bomb: {width} x {height} = {width * height:,} "
            f"pixels in {num_bytes} bytes, the limit is {max_pixels:,}; scale the file down"
        )
    return image


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Decode, turn upright by the EXIF orientation, and give 8-bit RGB on white."""
    try:
        with image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
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
