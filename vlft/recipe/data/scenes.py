"""Data drawn from the generated world."""

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section

QuestionType: TypeAlias = Literal[
    "color",
    "shape",
    "coarse_shape",
    "size",
    "texture",
    "position",
    "row",
    "column",
    "relation",
    "count",
    "exists",
    "compare",
    "same_color",
    "same_texture",
    "kind",
    "hierarchy",
    "same_kind",
]
"""Question types of the world; the last three need no image."""

Split: TypeAlias = Literal["train", "held_out", "all"]

MIN_CELL = 8  # pixels; smaller shapes cannot be told apart


class Scenes(Section):
    """Samples of the generated world; sample i depends on the settings and offset + i alone."""

    type: Literal["scenes"]
    """The generated world."""
    task: Literal["question_answering", "captioning", "pairs", "mixture", "classification"] = (
        "question_answering"
    )
    """What a sample is: a question with its answer, a dense caption to write, an image-text pair
    (of ``max_objects`` objects), questions and captions, half of each, or one object to classify by
    its shape."""
    questions: tuple[QuestionType, ...] = ()
    """Question types to draw from, each equally often; empty: all (``vlft list questions``)."""
    options: bool = False
    """Write up to four options behind the question."""
    num_samples: int = Field(4096, gt=0)
    """Size of the set in samples."""
    seed: int = 0
    """Seed of the world; other seeds give other scenes."""
    offset: int = Field(0, ge=0)
    """First sample index, so that sets of one seed do not overlap."""
    split: Split = "train"
    """Which scenes are drawn: one in eight is held out, by its objects, whatever the seed; ``all``
    makes no difference between them."""
    image_size: int = Field(48, gt=0)
    """Side of the image in pixels; at least 8 per cell of the grid."""
    grid: int = Field(4, ge=2, le=9)
    """Cells per side that objects are placed on; aligned with the tiny hosts' patches."""
    max_objects: int = Field(2, ge=1, le=4)
    """Largest number of objects in a scene; ``classification`` shows one."""
    jitter: bool = False
    """Move objects off the grid by up to a quarter of a cell, into free space only."""
    labels_level: Literal["fine", "coarse"] = "fine"
    """Classes of ``task: classification``: the 12 shapes, or the 4 kinds of shape."""

    @model_validator(mode="after")
    def _fits(self) -> "Scenes":
        if self.image_size < MIN_CELL * self.grid:
            raise Contradiction(
                "image_size",
                f"a grid of {self.grid} leaves cells under {MIN_CELL} pixels: use at least "
                f"{MIN_CELL * self.grid}",
            )
        for field in ("questions", "options"):
            if getattr(self, field) and self.task in ("captioning", "pairs", "classification"):
                raise Contradiction(
                    field,
                    f"task {self.task} asks no questions: use task: question_answering or "
                    f"mixture, or leave `{field}` out",
                )
        if self.task != "classification" and self.labels_level != "fine":
            raise Contradiction(
                "labels_level",
                f"task {self.task} has no classes: use task: classification, or leave it out",
            )
        return self
