"""Data sets in files on disk."""

from typing import Literal

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section


class FileDataset(Section):
    """A data set read from a file."""

    path: str
    """The file (or, for ScienceQA, the folder); a relative path starts at the working directory."""
    image_root: str | None = None
    """Folder that image paths are relative to and may not leave; null: the file's folder."""
    limit: int | None = Field(None, gt=0)
    """Use the first so many records."""


class Messages(FileDataset):
    """JSONL with ``messages`` (role, content) and ``images`` (paths) per line."""

    type: Literal["messages"]
    """File format."""


class LlavaJson(FileDataset):
    """LLaVA's JSON: a list of records with ``conversations`` and ``image``."""

    type: Literal["llava_json"]
    """File format."""


class Pairs(FileDataset):
    """Image-text pairs in TSV (with header) or JSONL."""

    type: Literal["pairs"]
    """File format."""
    image_column: str = "filepath"
    """Column or key with the image path (open_clip's name by default)."""
    text_column: str = "title"
    """Column or key with the caption (open_clip's name by default)."""

    @model_validator(mode="after")
    def _two_columns(self) -> "Pairs":
        if self.image_column == self.text_column:
            raise Contradiction("text_column", "image and caption cannot share one column")
        return self


class ScienceQA(FileDataset):
    """ScienceQA's own layout: ``problems.json``, optional ``pid_splits.json``, ``images/``."""

    type: Literal["scienceqa"]
    """File format."""
    split: Literal["train", "val", "test", "minitrain", "minival", "minitest", "trainval"] = "train"
    """Split by name, as in ``pid_splits.json``."""
