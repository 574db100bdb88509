"""From the ``path`` of a recipe to files that are there."""

import glob
from collections.abc import Iterable
from pathlib import Path

from vlft.errors import DataError, near

_SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")  # by ``save_to_disk``
_LISTED = 3  # files of a folder that a message names


def existing_file(path: str) -> Path:
    """Return the path of a file that is there.

    Raises:
        DataError: There is no such file.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise no_file(path)
    return found


def find_files(path: str) -> list[Path]:
    """Return the file at a path, or every file that fits a pattern, by name.

    Raises:
        DataError: There is none.
    """
    found = Path(path).expanduser()
    if found.is_file():
        return [found]
    if not glob.has_magic(path):
        raise no_file(path)
    files = [Path(name) for name in sorted(glob.glob(str(found), recursive=True))]  # noqa: PTH207
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(
            f"data file {path!r}: no file fits the pattern (looked at {found.absolute()}); check "
            "`path`"
        )
    return files


def is_saved_folder(folder: Path) -> bool:
    """Whether ``save_to_disk`` of the datasets library wrote the folder."""
    return any((folder / name).is_file() for name in _SAVED)


def no_file(path: str) -> DataError:
    """Say that there is no file at a path, and what is near."""
    found = Path(path).expanduser()
    where = f"(looked at {found.absolute()}); check `path`"
    if found.is_dir():
        files = [file.name for file in sorted(found.iterdir()) if file.is_file()]
        there = f", or one of {', '.join(files[:_LISTED])}" if files else ""
        return DataError(f"data file {path!r} is a folder, expected a file {where}{there}")
    return DataError(f"data file {path!r} does not exist {where}{_guess(found)}")


def _guess(path: Path) -> str:
    names: Iterable[str] = ()
    if path.parent.is_dir():
        names = (file.name for file in path.parent.iterdir())
    guess = near(path.name, names)
    return f". Did you mean {str(path.with_name(guess))!r}?" if guess else ""
