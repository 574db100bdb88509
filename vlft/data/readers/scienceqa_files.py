"""The JSON files of ScienceQA's official layout: problems, splits, captions."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlft.data.sources.paths import existing_file
from vlft.errors import DataError, unknown

_WITHOUT_FILE = {
    "train": ("train",),
    "val": ("val",),
    "test": ("test",),
    "trainval": ("train", "val"),
}


def object_in(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        DataError: The file is no JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: found a {type(value).__name__}, expected an object by id")
    return value


def problem_ids(problems: Mapping[str, Any], path: Path, split: str) -> list[str]:
    """Return the ids of a split by ``pid_splits.json``, or by the problems' own ``split``.

    Raises:
        DataError: There is no such split, or an id of it is no problem.
    """
    listing = path.parent / "pid_splits.json"
    if listing.is_file():
        splits = object_in(listing)
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


def captions_of(path: str) -> dict[str, str]:
    """Return the captions of ``captions.json`` by question id.

    Raises:
        DataError: The file is missing or not in this layout.
    """
    try:
        file = existing_file(path)
    except DataError as error:
        raise DataError(
            f"{error} (`captions`: data/captions.json of github.com/lupantech/ScienceQA)"
        ) from error
    captions = object_in(file).get("captions")
    if not isinstance(captions, dict) or not all(isinstance(one, str) for one in captions.values()):
        raise DataError(f"{file}: expected the captions by id under the key `captions`")
    return captions


def shots_of(
    ids: Sequence[str], problems: Mapping[str, Any], path: Path, *, asked: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Return the problems that are shown as examples, by id; None for one that is not there.

    Raises:
        DataError: One is itself asked.
    """
    for key in ids:
        if key in asked:
            raise DataError(
                f"{path}: `shots` names {key!r}, which is asked itself: take training problems"
            )
    return {key: problems.get(key) for key in ids}
