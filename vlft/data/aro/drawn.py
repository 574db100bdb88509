"""Shuffled captions: drawn once, saved with their hash, and the same for every model after that.

    aro/<file>-<key>.jsonl   image, correct_caption, hard_text_1 .. hard_text_4: rows that the data
                             type ``aro_order`` reads as they are, so that a draw can be passed on
    aro/<file>-<key>.json    hash of that file, seed, and what tagged the captions

below the folder of files that can be made again. The key is a hash of all that the draws depend on.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from vlft.data.aro.shuffles import WAYS, Shuffler
from vlft.data.aro.tagging import Tagger
from vlft.data.cleaning import clean_caption
from vlft.disk import CACHE, cache_folder, tell_full_disk
from vlft.errors import DataError

RIGHT = "correct_caption"
WRONG = tuple(f"hard_text_{number}" for number in range(1, len(WAYS) + 1))
"""Columns of the options, as the Hub copies name them."""

VERSION = 1
"""Raised with every change after which the draws are others."""

FOLDER = "aro"


class Captioned(NamedTuple):
    """One case of an order set.

    Attributes:
        image: Path of the image as the data name it; empty where they hold it.
        caption: The caption as it stands.
    """

    image: str
    caption: str


class Drawn(NamedTuple):
    """The options of all cases.

    Attributes:
        options: Per case the right caption and its four shuffles, cleaned.
        facts: Hash, seed and tagger, in words.
    """

    options: list[tuple[str, ...]]
    facts: str


def drawn_options(cases: Sequence[Captioned], *, tagger: Tagger, seed: int, name: str) -> Drawn:
    """Return the options of all cases: those that an earlier call saved, or new ones.

    Args:
        cases: In the order of the data, which the draws depend on.
        tagger: What gives tokens and tags.
        seed: Seed of the draws.
        name: Name of the data, for the file.

    Raises:
        DataError: A caption has no tokens, or the options cannot be saved.
    """
    key = sha256(json.dumps([VERSION, seed, tagger.identity, cases]).encode()).hexdigest()[:16]
    rows = cache_folder() / FOLDER / f"{Path(name).stem}-{key}.jsonl"
    facts = rows.with_suffix(".json")
    text = _saved(rows, facts)
    if text is None:
        text = _written(cases, tagger, seed)
        values = {
            "sha256": _hash(text),
            "cases": len(cases),
            "seed": seed,
            "tagger": tagger.identity,
            "version": VERSION,
        }
        _save({rows: text, facts: json.dumps(values, indent=2) + "\n"})
    options = [
        tuple(row[column] for column in (RIGHT, *WRONG))
        for row in map(json.loads, text.splitlines())
    ]
    return Drawn(options, f"sha256-{_hash(text)[:12]}, seed {seed}, {tagger.identity}")


def _written(cases: Sequence[Captioned], tagger: Tagger, seed: int) -> str:
    """Draw, and write a line of JSON per case."""
    shuffler = Shuffler(seed)
    lines = []
    for case, tagged in zip(cases, tagger.tag([c.caption for c in cases]), strict=True):
        options = (case.caption, *shuffler.shuffles(tagged))
        row = dict(zip((RIGHT, *WRONG), map(clean_caption, options), strict=True))
        lines.append(json.dumps({"image": case.image} | row) + "\n")
    return "".join(lines)


def _saved(rows: Path, facts: Path) -> str | None:
    """Return the rows that an earlier call saved, unless there are none or they are damaged."""
    try:
        text = rows.read_text(encoding="utf-8")
        expected = json.loads(facts.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return text if _hash(text) == expected else None


def _save(files: dict[Path, str]) -> None:
    folder = cache_folder() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder of one's own first: other processes may be saving the same rows.
        with (
            tell_full_disk(folder, what="the drawn captions"),
            TemporaryDirectory(dir=folder) as own,
        ):
            for path, text in files.items():
                part = Path(own, path.name)
                part.write_text(text, encoding="utf-8")
                part.replace(path)
    except OSError as error:
        raise DataError(
            f"the drawn captions cannot be saved in {folder} ({error.strerror}); name another "
            f"folder with the variable {CACHE}"
        ) from error


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
