"""Data sets in files on disk or on the Hub: ``type`` is the format, the path's form the container.

Every format but ScienceQA's reads from every container: JSONL, a JSON list, CSV, TSV, Parquet,
Arrow, a folder of ``save_to_disk``, and a data set of the Hub.
"""

from typing import Literal

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section

HUB = "hub:"
"""Stands before the id of a data set of the Hub: ``hub:user/name``."""


class FileDataset(Section):
    """A data set read from files."""

    path: str
    """The file, a pattern (``data/train-*.parquet``), a folder that ``save_to_disk`` wrote, or
    ``hub:user/name``; a relative path starts at the working directory."""
    image_root: str | None = None
    """Folder that image paths are relative to and may not leave; null: the file's folder."""
    limit: int | None = Field(None, gt=0)
    """Use the first so many records."""


class RowDataset(FileDataset):
    """A data set of rows, in any container."""

    split: str | None = None
    """Split of a Hub data set or of a ``save_to_disk`` folder with several, such as ``train`` or
    ``train[:10%]``; null: ``train``."""
    subset: str | None = None
    """Configuration of a Hub data set (its ``name`` in ``load_dataset``); null: its only one."""
    revision: str | None = None
    """Commit, tag or branch of a Hub data set; null: its newest, which is not reproducible."""

    @model_validator(mode="after")
    def _hub_fields(self) -> "RowDataset":
        for field in ("subset", "revision"):
            if getattr(self, field) is not None and not self.path.startswith(HUB):
                raise Contradiction(
                    field,
                    "only data sets of the Hub have it: write path: hub:user/name, or leave it out",
                )
        return self


class Messages(RowDataset):
    """Rows with ``messages`` (role, content) and ``images``; OpenAI's content lists as well."""

    type: Literal["messages"]
    """Format of a row."""


class ShareGpt(RowDataset):
    """Rows in ShareGPT's form: turns with a speaker and a text, and a list of images."""

    type: Literal["sharegpt"]
    """Format of a row."""
    messages_column: str | None = None
    """Column with the turns; null: ``conversations`` or ``messages``."""
    images_column: str | None = None
    """Column with one image or a list; null: ``images`` or ``image``."""
    system_column: str | None = None
    """Column with the system prompt; null: ``system``, where there is one."""
    role_tag: str | None = None
    """Key of a turn's speaker; null: ``from`` or ``role``."""
    content_tag: str | None = None
    """Key of a turn's text; null: ``value`` or ``content``."""
    user_tag: str | None = None
    """Name of the user; null: ``human`` or ``user``."""
    assistant_tag: str | None = None
    """Name of the assistant; null: ``gpt`` or ``assistant``."""
    system_tag: str = "system"
    """Name of who gives the system prompt in a turn of its own."""


class LlavaJson(RowDataset):
    """LLaVA's JSON: a list of records with ``conversations`` and ``image``."""

    type: Literal["llava_json"]
    """Format of a row."""


class QuestionAnswer(RowDataset):
    """Rows with a question and its answer, and images and options in columns of their own."""

    type: Literal["question_answer"]
    """Format of a row."""
    question_column: str = "question"
    """Column with the question, or with TRL's conversational ``prompt``."""
    answer_column: str = "answer"
    """Column with the answer: text, a number, a list of answers (the most frequent one is learned),
    an option's index, letter or text, or TRL's conversational ``completion``."""
    image_column: str | None = "image"
    """Column with one image, a list, or nothing; null: the questions are text alone."""
    options_column: str | tuple[str, ...] | None = None
    """Column with the list of options, or the columns that hold one each; null: none."""
    system_column: str | None = None
    """Column with the system prompt; null: none."""


class Pairs(RowDataset):
    """Image-text pairs."""

    type: Literal["pairs"]
    """Format of a row."""
    image_column: str = "filepath"
    """Column or key with the image (open_clip's name by default)."""
    text_column: str = "title"
    """Column or key with the caption (open_clip's name by default)."""

    @model_validator(mode="after")
    def _two_columns(self) -> "Pairs":
        if self.image_column == self.text_column:
            raise Contradiction("text_column", "image and caption cannot share one column")
        return self


class Captions(RowDataset):
    """Captions to write: Karpathy's own file, or rows with an image and one caption or several."""

    type: Literal["captions"]
    """Format of a row."""
    split: str | None = None
    """Split of Karpathy's own file or of a Hub data set, several as ``train+restval``; null:
    ``train``."""
    prompt: str
    """What is asked of every image. A benchmark words it as its ``prompt_format`` says."""
    clean: bool = False
    """Learn captions in lower case, without ``. ! " ( ) * # : ; ~``, and of at most 30 words."""

    @model_validator(mode="after")
    def _asks(self) -> "Captions":
        if not self.prompt.strip():
            raise Contradiction("prompt", "nothing is asked: write what, such as `a picture of`")
        return self


class LabeledImages(RowDataset):
    """Images with a class each: rows in any container, or a folder with one folder per class."""

    type: Literal["classification"]
    """Format of a row."""
    image_column: str = "image"
    """Column or key with the image."""
    label_column: str = "label"
    """Column or key with the class name."""


class ScienceQA(FileDataset):
    """ScienceQA: ``problems.json``, optional ``pid_splits.json``, ``images/``; or its Hub copy.

    The Hub copy (``hub:derek-thomas/ScienceQA``, its Parquet files, or a folder with them) holds no
    ids: its records are called by their rows.
    """

    type: Literal["scienceqa"]
    """File format."""
    split: Literal["train", "val", "test", "minitrain", "minival", "minitest", "trainval"] = "train"
    """Split by name, as in ``pid_splits.json``; the "mini" ones need that file."""
    captions: str | None = None
    """``captions.json``, whose captions become part of a record's facts; null: none."""
    shots: tuple[str, ...] = ()
    """Ids of training problems that a benchmark shows as examples, in this order."""
    revision: str | None = None
    """Commit, tag or branch of the Hub copy; null: its newest, which is not reproducible."""

    @model_validator(mode="after")
    def _hub_fields(self) -> "ScienceQA":
        if self.revision is not None and not self.path.startswith(HUB):
            raise Contradiction(
                "revision",
                "only the Hub copy has it: write path: hub:derek-thomas/ScienceQA, or leave it out",
            )
        return self
