"""ScienceQA in its official layout (``problems.json``, ``images/``), or its copy on the Hub.

A record is the question with its hint and lettered choices; the answer is the letter. Many
questions have no image. Its ``meta`` holds the problem as it stands, with ``caption`` and ``shots``
(problems by id) where the section asks for them.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vlft.data.readers.choices import LETTERS, with_choices
from vlft.data.readers.fields import Place
from vlft.data.readers.rows import Rows
from vlft.data.readers.scienceqa_files import captions_of, object_in, problem_ids, shots_of
from vlft.data.records import Conversation, ImageRef
from vlft.data.sources.paths import existing_file, is_saved_folder
from vlft.errors import DataError
from vlft.recipe.data import ScienceQA
from vlft.recipe.data.files import HUB, RowDataset
from vlft.types import Message

MOST_CHOICES = 5

BY_ROW = "id_is_row"
"""Key of ``meta`` that marks a record which is called by its row, since the copy has no ids."""

HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Split to its name on the Hub."""


class Problem(NamedTuple):
    """A problem, wherever it is stored.

    Attributes:
        place: Where it stands.
        fields: Its fields.
        image: Its image, if it has one.
    """

    place: Place
    fields: dict[str, Any]
    image: ImageRef | None


class Problems(Protocol):
    """Problems of one split."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Problem: ...


class ScienceQADataset:
    """Questions of one split, in the order of ``pid_splits.json`` (of the problems without it).

    Args:
        section: The recipe's section; ``path`` is the folder, the problems file, the Hub copy, or
            the Parquet files of that.

    Raises:
        DataError: A file is missing or not in this layout, or the split is empty.
    """

    def __init__(self, section: ScienceQA) -> None:
        self.name = section.path
        rows = _rows_of(section)
        self._problems: Problems = _Official(section) if rows is None else _HubCopy(section, rows)

    def __len__(self) -> int:
        return len(self._problems)

    def __getitem__(self, index: int) -> Conversation:
        """Make one question.

        Raises:
            RecordError: The problem lacks a field or contradicts itself.
        """
        place, problem, image = self._problems[index]
        choices = place.need(problem, "choices", list)
        if not 2 <= len(choices) <= MOST_CHOICES:
            raise place.wrong("choices", choices, f"2 to {MOST_CHOICES} choices")
        answer = place.need(problem, "answer", int)
        if not 0 <= answer < len(choices):
            raise place.wrong("answer", answer, f"an index below the {len(choices)} choices")
        hint = place.typed(problem.get("hint") or "", str, "hint").strip()
        asked = place.need(problem, "question", str)
        question = with_choices(
            [*([f"Context: {hint}"] if hint else []), asked],
            [place.typed(choice, str, "choices") for choice in choices],
        )
        images = () if image is None else (image,)
        return Conversation(
            id=place.record_id,
            messages=(
                Message("user", (*range(len(images)), question)),
                Message("assistant", (LETTERS[answer],)),
            ),
            images=images,
            meta=problem,
        )


class _Official:
    """The official layout."""

    def __init__(self, section: ScienceQA) -> None:
        given = Path(section.path).expanduser()
        path = existing_file(str(given / "problems.json" if given.is_dir() else given))
        self._name = section.path
        images = path.parent / "images"
        self._root = images if section.image_root is None else Path(section.image_root).expanduser()
        problems = object_in(path)
        ids = problem_ids(problems, path, section.split)[: section.limit]
        self._problems = [(key, problems[key]) for key in ids]
        self._captions = None if section.captions is None else captions_of(section.captions)
        shots = shots_of(section.shots, problems, path, asked=set(ids))
        self._shots = {
            key: None if shot is None else self._with_caption(key, shot)
            for key, shot in shots.items()
        }

    def __len__(self) -> int:
        return len(self._problems)

    def __getitem__(self, index: int) -> Problem:
        key, problem = self._problems[index]
        place = Place(self._name, key, key)
        fields = self._with_caption(key, place.typed(problem, dict, "record"))
        if self._shots:
            fields = {**fields, "shots": self._shots}
        name = fields.get("image")
        image = None if name is None else self._image(place, key, fields, name)
        return Problem(place, fields, image)

    def _with_caption(self, key: str, problem: dict[str, Any]) -> dict[str, Any]:
        # Upstream gives a problem without an image an empty caption.
        return (
            problem
            if self._captions is None
            else problem | {"caption": self._captions.get(key, "")}
        )

    def _image(self, place: Place, key: str, problem: dict[str, Any], name: object) -> ImageRef:
        folder = place.need(problem, "split", str)
        path = Path(folder, key, place.typed(name, str, "image"))
        return ImageRef(path=path, root=self._root)


class _HubCopy:
    """The copy on the Hub, which has images in its rows and no ids."""

    def __init__(self, section: ScienceQA, rows: RowDataset) -> None:
        for field in ("captions", "shots"):
            if getattr(section, field):
                raise DataError(
                    f"{section.path}: `{field}` needs official ids, and the Hub copy has none: use "
                    "problems.json"
                )
        self._rows = Rows(rows, {})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Problem:
        row = self._rows[index]
        place, marks = row.place, {}
        if row.values.get("id") in (None, ""):
            # Not the bare number: official ids are numbers too, and other questions.
            place, marks = Place(place.dataset, place.row, f"row{index}"), {BY_ROW: True}
        stored = row.values.get("image")
        image = None if stored in (None, "") else row.image(stored, "image")
        return Problem(place, row.meta(("image",)) | marks, image)


def _rows_of(section: ScienceQA) -> RowDataset | None:
    """Return the rows of the Hub copy that a section names, or None for the official layout."""
    path, folder = section.path, Path(section.path).expanduser()
    split, revision = None, None
    if path.startswith(HUB):
        split, revision = _on_hub(section), section.revision
    elif is_saved_folder(folder):
        split = _on_hub(section)
    elif not (folder / "problems.json").is_file() and any(folder.glob("data/*.parquet")):
        path = str(folder / "data" / f"{_on_hub(section)}-*.parquet")
    elif not path.endswith(".parquet"):
        return None
    return RowDataset(
        path=path,
        image_root=section.image_root,
        limit=section.limit,
        split=split,
        revision=revision,
    )


def _on_hub(section: ScienceQA) -> str:
    if section.split not in HUB_SPLITS:
        raise DataError(
            f"{section.path}: split {section.split!r} is made by pid_splits.json of the official "
            f"files; the Hub copy has {', '.join(HUB_SPLITS)}"
        )
    return HUB_SPLITS[section.split]
