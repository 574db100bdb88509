"""Data sets in the layouts of real benchmarks: they are measured on, and never trained on."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from vlft.recipe.data.files import FileDataset, RowDataset
from vlft.recipe.data.mixture import Measurable, Mixture
from vlft.recipe.data.scenes import Split
from vlft.recipe.section import Section


class Aro(RowDataset):
    """VG-Relation and VG-Attribution of ARO: the official JSON, or rows of its Hub copies."""

    type: Literal["aro"]
    """Format of a row."""


class AroOrder(RowDataset):
    """The order sets of ARO: captions in Karpathy's form, or rows with shuffled captions."""

    type: Literal["aro_order"]
    """Format of a row."""
    tags: str | None = None
    """JSON Lines with ``caption``, ``tokens``, ``tags`` (Penn Treebank) and, if they differ from
    the tokens, ``words`` (NLTK's) of every caption; null: the file beside ``path`` with the ending
    ``.tags.jsonl``, or spaCy, where it is installed. Rows that hold shuffled captions need none."""
    seed: int = 1
    """Seed of the shuffles (the official default)."""


class CaptionPairs(RowDataset):
    """Images with a caption and a wrong one: SugarCrepe's files, or rows with their columns."""

    type: Literal["caption_pairs"]
    """Format of a row."""


class Karpathy(RowDataset):
    """Images with several captions each: Karpathy's splits in their three forms."""

    type: Literal["karpathy"]
    """Format of a row."""


class Mmra(RowDataset):
    """MMRA: questions about two images."""

    type: Literal["mmra"]
    """Format of a row."""


class Mmeb(FileDataset):
    """MMEB's evaluation layout: a folder of parquet files per data set, and images below a root."""

    type: Literal["mmeb"]
    """Format of a row."""
    datasets: tuple[str, ...] = Field(min_length=1)
    """Names of the data sets, each a folder below ``path`` or a configuration of the Hub's set."""
    revision: str | None = None
    """Commit, tag or branch of a Hub data set; null: its newest, which is not reproducible."""


class MeasurableMixture(Mixture):
    """Several data sets as one, each of which can be measured on."""

    datasets: tuple[Annotated[Measurable, Field(discriminator="type")], ...]
    """The data sets, each a section of its own."""


BenchmarkData: TypeAlias = Annotated[
    Measurable | MeasurableMixture | Aro | AroOrder | CaptionPairs | Karpathy | Mmra | Mmeb,
    Field(discriminator="type"),
]
"""Whatever can be measured on."""


class GeneratedFiles(Section):
    """The generated world, written in the file layout that a benchmark reads."""

    layout: str
    """Layout of the files (a key of ``vlft.data.scenes.layouts.LAYOUTS``)."""
    num_samples: int = Field(gt=0)
    """Records per file of the layout."""
    seed: int
    """Seed of the world."""
    offset: int = Field(0, ge=0)
    """First sample index."""
    split: Split = "held_out"
    """Which scenes are drawn."""
    image_size: int = Field(48, gt=0)
    """Side of a scene in pixels."""
    grid: int = Field(4, ge=2, le=9)
    """Cells per side."""
    max_objects: int = Field(2, ge=1, le=4)
    """Largest number of objects in a scene."""
    jitter: bool = False
    """Whether objects leave the grid."""
