"""A folder with one folder of images per class, as torchvision and the datasets library read it."""

import os
from pathlib import Path

from PIL import Image

from vlft.data.sources.source import Row
from vlft.errors import DataError

COLUMNS = ("image", "label")
"""Fields of a row: path of the image below the folder, name of its class."""


class ImageFolderSource:
    """Images by class, in the order of their names.

    Args:
        name: The folder as the recipe gives it.
        folder: The folder.
        rows: Class and path below the folder of each image.
    """

    def __init__(self, name: str, folder: Path, rows: list[tuple[str, str]]) -> None:
        self.name = name
        self.columns: tuple[str, ...] | None = COLUMNS
        self._folder = folder
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        """Give one image's path and class; its place is the path."""
        label, path = self._rows[index]
        return Row({"image": path, "label": label}, path, self._folder)


def image_folder(folder: Path, *, name: str) -> ImageFolderSource:
    """List the images below a folder; files with other endings do not count.

    Raises:
        DataError: No folder in it has an image.
    """
    Image.init()
    rows = [
        (label.name, os.path.relpath(file, folder))
        for label in sorted(folder.iterdir())
        if label.is_dir() and not label.name.startswith(".")
        for file in sorted(label.rglob("*"))
        if file.suffix.lower() in Image.EXTENSION and file.is_file()
    ]
    if not rows:
        raise DataError(
            f"{name} has no folder with images, expected one folder per class "
            f"({name.rstrip('/')}/cat/1.jpg); check `path`"
        )
    return ImageFolderSource(name, folder, rows)
