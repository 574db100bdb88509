"""What stands for an image in a row: a path, a file's bytes, base64, or an object with one of them.

Nothing is fetched: a URL is refused, since a run must not depend on servers of others.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

from vlft.data.readers.fields import Place
from vlft.data.records import ImageRef

_DATA_URL = re.compile(r"data:(image/[\w.+-]+|application/octet-stream)?(;[\w=.-]+)*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0AK", "AAAA")
"""Base64 of how JPEG, PNG, GIF, WebP, BMP, TIFF (twice) and AVIF files begin."""

_REMOTE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)

_SHORTEST = 64  # characters of base64 that a text must have before it is taken for an image

_KEYS = ("bytes", "path", "url", "image", "base64")
"""Keys of an object that hold an image; the first one with a value counts."""

_EXPECTED = "an image: a path, bytes, base64, or an object with `bytes` or `path`"


def image_ref(place: Place, value: object, field: str, *, root: Path | None) -> ImageRef:
    """Refer to the image that a value holds or names.

    Args:
        place: Where the row is, for messages.
        value: A path (``file://`` may stand before it), the bytes of a file, base64 with or without
            a ``data:`` prefix, or an object with one of these under ``bytes``, ``path``, ``url``,
            ``image`` or ``base64``.
        field: Where the value is in the row.
        root: Folder that a path is relative to.

    Raises:
        RecordError: It is none of these, a URL, or not valid base64.
    """
    if isinstance(value, Mapping):
        given = next((key for key in _KEYS if value.get(key) not in (None, b"", "")), None)
        if given is None:
            raise place.wrong(field, dict(value), _EXPECTED)
        return image_ref(place, value[given], f"{field}.{given}", root=root)
    if isinstance(value, bytes):
        return ImageRef(data=value)
    if not isinstance(value, str):
        raise place.wrong(field, value, _EXPECTED)
    if not value.strip():
        raise place.wrong(field, value, "a path, or null where there is no image")
    return _from_text(place, value.strip(), field, root)


def holds_bytes(value: object) -> bool:
    """Whether a value stores files, which have no place among a record's other facts."""
    if isinstance(value, Mapping):
        return any(map(holds_bytes, value.values()))
    if isinstance(value, list):
        return any(map(holds_bytes, value))
    return isinstance(value, bytes)


def _from_text(place: Place, text: str, field: str, root: Path | None) -> ImageRef:
    if text.startswith("data:"):
        prefix = _DATA_URL.match(text)
        if prefix is None:
            raise place.wrong(field, text, "data:image/...;base64,...")
        return ImageRef(data=_decoded(place, text[prefix.end() :], field))
    if _REMOTE.match(text):
        raise place.wrong(
            field,
            text,
            "an image that is here: images are not fetched while training (links break, and a run "
            "could not be repeated); download them and give their paths",
        )
    if len(text) >= _SHORTEST and text.startswith(_STARTS) and _BASE64.fullmatch(text):
        return ImageRef(data=_decoded(place, text, field))
    path = text.removeprefix("file://")
    if root is None:
        raise place.error(
            f"field `{field}`: found the path {path!r}, but this data set has no folder that paths "
            "start from; set `image_root`"
        )
    return ImageRef(path=Path(path), root=root)


def _decoded(place: Place, text: str, field: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise place.error(
            f"field `{field}`: found {len(text)} characters that are not valid base64 ({error}); "
            "write the image again"
        ) from error
