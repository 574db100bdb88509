"""ScienceQA in its official layout: ``problems.json``, optional ``pid_splits.json``, ``images/``.

A record is the question with its hint and lettered choices; the answer is the letter. Many
questions have no image.
"""

import json
from pathlib import Path
from typing import Any

from vlft.data.readers.choices import LETTERS, with_choices
from vlft.data.readers.fields import Place
from vlft.data.records import Conversation, ImageRef
from vlft.data.sources.paths import existing_file
from vlft.errors import DataError, unknown
from vlft.recipe.data import ScienceQA
from vlft.types import Message

MOST_CHOICES = 5

_WITHOUT_FILE = {
    "train": ("train",),
    "val": ("val",),
    "test": ("test",),
    "trainval": ("train", "val"),
}


class ScienceQADataset:
    """Questions of one split, in the order of ``pid_splits.json`` (of the problems without it).

    Args:
        section: The recipe's section; ``path`` is the folder, or the problems file itself.

    Raises:
        DataError: A file is missing or not in this layout, or the split is empty.
    """

    def __init__(self, section: ScienceQA) -> None:
        given = Path(section.path).expanduser()
        path = existing_file(str(given / "problems.json" if given.is_dir() else given))
        self.name = section.path
        images = path.parent / "images"
        self._root = images if section.image_root is None else Path(section.image_root).expanduser()
        problems = _object(path)
        ids = _ids(problems, path, section.split)[: section.limit]
        self._problems = [(key, problems[key]) for key in ids]

    def __len__(self) -> int:
        return len(self._problems)

    def __getitem__(self, index: int) -> Conversation:
        """Make one question.

        Raises:
            RecordError: The problem lacks a field or contradicts itself.
        """
        key, problem = self._problems[index]
        place = Place(self.name, key, key)
        problem = place.typed(problem, dict, "record")
        choices = place.need(problem, "choices", list)
        if not 2 <= len(choices) <= MOST_CHOICES:
            raise place.wrong("choices", choices, f"2 to {MOST_CHOICES} choices")
        answer = place.need(problem, "answer", int)
        if not 0 <= answer < len(choices):
            raise place.wrong("answer", answer, f"an index below the {len(choices)} choices")
        name = problem.get("image")
        images = () if name is None else (self._image(place, key, problem, name),)
        hint = place.typed(problem.get("hint") or "", str, "hint").strip()
        asked = place.need(problem, "question", str)
        question = with_choices(
            [*([f"Context: {hint}"] if hint else []), asked],
            [place.typed(choice, str, "choices") for choice in choices],
        )
        return Conversation(
            id=key,
            messages=(
                Message("user", (*range(len(images)), question)),
                Message("assistant", (LETTERS[answer],)),
            ),
            images=images,
            meta=problem,
        )

    def _image(self, place: Place, key: str, problem: dict[str, Any], name: object) -> ImageRef:
        folder = place.need(problem, "split", str)
        path = Path(folder, key, place.typed(name, str, "image"))
        return ImageRef(path=path, root=self._root)


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: found a {type(value).__name__}, expected an object by id")
    return value


def _ids(problems: dict[str, Any], path: Path, split: str) -> list[str]:
    """Ids of a split by ``pid_splits.json``, or by the problems' own ``split`` without it."""
    listing = path.parent / "pid_splits.json"
    if listing.is_file():
        splits = _object(listing)
        if split not in splits:
            raise DataError(f"{listing}: {unknown('split', split, splits)}")
        missing = [key for key in splits[split] if key not in problems]
        if missing:
            raise DataError(
                f"{listing}: {len(missing)} ids of split {split!r} are not in {path.name} (first: "
                f"{missing[0]!r}); take both files from one release"
            )
        return list(splits[split])
    if split not in _WITHOUT_FILE:
        raise DataError(
            f"split {split!r} is defined by pid_splits.json, which is not beside {path}; put it "
            f"there, or use one of {', '.join(_WITHOUT_FILE)}"
        )
    found = [
        key for key, problem in problems.items() if problem.get("split") in _WITHOUT_FILE[split]
    ]
    if not found:
        there = sorted({str(problem.get("split")) for problem in problems.values()})
        raise DataError(f"{path} has no problem of split {split!r}; there is: {', '.join(there)}")
    return found
