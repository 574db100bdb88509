"""JSON objects in a text file: one per line, or the items of one list."""

import json
import re
from pathlib import Path

from vlft.data.sources.offsets import Offsets
from vlft.data.sources.source import Row
from vlft.errors import DataError, RecordError

_BOM = b"\xef\xbb\xbf".decode("latin-1")  # what some editors write before UTF-8 text
_BLANKS = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)


class JsonSource:
    """JSON objects by byte offset.

    Args:
        offsets: Where they are.
    """

    columns: tuple[str, ...] | None = None

    def __init__(self, offsets: Offsets) -> None:
        self.name = str(offsets.path)
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Row:
        """Parse one object.

        Raises:
            RecordError: It is not UTF-8, not JSON, no object, or a text in it is no Unicode.
        """
        place, content = self._offsets.place(index), self._offsets.read(index)
        try:
            value = json.loads(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise self._error(
                f"not UTF-8 text ({error.reason} at byte {error.start}); re-encode it", place
            ) from error
        except json.JSONDecodeError as error:
            raise self._error(
                f"not valid JSON: {error.msg} at column {error.colno}; expected one object", place
            ) from error
        except (RecursionError, ValueError) as error:  # brackets in brackets; thousands of digits
            raise self._error(f"not valid JSON: {error}; expected one object", place) from error
        if not isinstance(value, dict):
            shown = json.dumps(value, ensure_ascii=False)[:60]
            raise self._error(f"field `record`: found {shown}, expected an object", place)
        if _SURROGATE.search(content) and not _is_unicode(value):
            raise self._error(
                "a text has one half of a surrogate pair (\\ud800 to \\udfff): it was cut inside a "
                "character; mend or remove it",
                place,
            )
        return Row(value, place, self._offsets.path.parent)

    def _error(self, problem: str, place: str) -> RecordError:
        return RecordError(problem, dataset=self.name, record_id=place)


def json_lines(path: Path, limit: int | None = None) -> JsonSource:
    """Index the lines of a file; blank ones do not count.

    Args:
        path: The file.
        limit: Index the first so many lines only.
    """
    rows = Offsets(path, unit="line")
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            start, end = end, end + len(line)
            if line.strip():
                rows.add(start, end, number)
            if len(rows) == limit:
                break
    return JsonSource(rows)


def json_rows(path: Path, limit: int | None = None) -> JsonSource:
    """Index a ``.json`` file: the items of a list, or the lines where each holds an object.

    Raises:
        DataError: The file is neither.
    """
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") and _is_object(first):
        return json_lines(path, limit)
    return json_items(path, limit)


def json_items(path: Path, limit: int | None = None) -> JsonSource:
    """Index the items of a file that holds one JSON list.

    Raises:
        DataError: The file is no JSON list.
    """
    rows = Offsets(path, unit="item")
    # One character per byte, so positions in the text are offsets in the file. What JSON is built
    # of is ASCII, so the items' boundaries are found whatever their text says.
    text = path.read_bytes().decode("latin-1")
    position = _after_blanks(text, len(_BOM) if text.startswith(_BOM) else 0)
    if not text.startswith("[", position):
        raise DataError(
            f"{path}: found {text[position : position + 20]!r} at its start, expected a JSON list "
            "of records ([...]), or one record per line"
        )
    decoder = json.JSONDecoder()
    start = _after_blanks(text, position + 1)
    while not text.startswith("]", start) and len(rows) != limit:
        try:
            _, end = decoder.raw_decode(text, start)
            position = _after_blanks(text, end)
            if not text.startswith((",", "]"), position):
                raise json.JSONDecodeError("expected ',' or ']'", text, position)  # noqa: TRY301
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {error.lineno}, column {error.colno}: not valid JSON in item "
                f"{len(rows) + 1} ({error.msg}); mend the file"
            ) from error
        rows.add(start, end, len(rows) + 1)
        start = _after_blanks(text, position + 1) if text[position] == "," else position
    behind = _after_blanks(text, start + 1)
    if text.startswith("]", start) and behind < len(text):
        raise DataError(
            f"{path}: found {text[behind : behind + 20]!r} behind the end of its JSON list; write "
            "all records into one list, or one per line (.jsonl)"
        )
    return JsonSource(rows)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8-sig")), dict)
    except ValueError:
        return False


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _after_blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    assert found is not None
    return found.end()
