"""The ``backbone`` section: which host model, from where, in which precision.

Every host is named in one of three ways: ``model`` (a Hub id, a local checkpoint or a run
directory), ``config`` (a shipped configuration, random weights unless ``weights`` says where real
ones are), or, for ``assembled``, the two parts ``vision`` and ``language``.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from vlft.recipe.section import Contradiction, Section
from vlft.recipe.towers import TowerName

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

Quantization = Literal["none", "nf4", "int8"]
"""``nf4``: 4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314); ``int8``:
LLM.int8() (arXiv 2208.07339)."""


class Host(Section):
    """Fields that every kind of host shares."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ()
    """Towers that this kind of host has."""

    model: str | None = None
    """Hub id, local checkpoint folder, or run directory."""
    revision: str | None = None
    """Hub revision (commit, tag or branch) of ``model`` or ``weights``; in quotes when it is all
    digits."""
    config: str | None = None
    """Name of a shipped configuration (``vlft list configs``); weights are random unless
    ``weights`` is given."""
    weights: str | None = None
    """Hub id or local folder with weights for ``config``; null: random."""
    processor: str | None = None
    """Hub id or folder of the processor; null: that of the model, or the built-in one of a
    shipped configuration."""
    dtype: Dtype = "float32"
    """Storage type of the weights (``bf16`` in ``training`` is the type of the arithmetic);
    ``auto``: as in the checkpoint."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2", "flex_attention"] | None = (
        None
    )
    """As in transformers; null: its default."""
    quantization: Quantization = "none"
    """Quantized storage of frozen linear weights, through bitsandbytes: ``nf4`` (4-bit, double
    quantization) or ``int8``."""
    quantized_towers: tuple[TowerName, ...] = ("language",)
    """Towers whose linear weights ``quantization`` stores; the output head never is."""
    trust_remote_code: bool = False
    """Run Python code that comes with a checkpoint. Read that code first."""

    def check_source(self) -> None:
        """Raise unless exactly one of ``model`` and ``config`` says what to build."""
        if self.model is None and self.config is None:
            raise Contradiction(
                "model",
                "nothing says what to build: give `model` (Hub id or folder) or "
                "`config` (a shipped configuration, see `vlft list configs`)",
            )
        if self.model is not None and self.config is not None:
            raise Contradiction(
                "model",
                "`model` and `config` exclude each other: keep `model` for a checkpoint, "
                "or `config` with `weights`",
            )

    @model_validator(mode="after")
    def _one_source(self) -> "Host":
        self.check_source()
        if self.weights is not None and self.config is None:
            raise Contradiction(
                "weights", "`weights` goes with `config`; with `model` the weights come along"
            )
        if self.revision is not None and self.model is None and self.weights is None:
            raise Contradiction(
                "revision",
                "there is no checkpoint that it could be a revision of: give `model` "
                "or `weights`, or leave `revision` out",
            )
        return self


class Clip(Host):
    """A CLIP model from transformers (contrastive)."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "projector", "text")

    type: Literal["clip"]
    """Kind of host."""
    family: Literal["contrastive"] = "contrastive"
    """Follows from the type."""


class Siglip(Host):
    """A SigLIP or SigLIP 2 model from transformers (contrastive)."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "projector", "text")

    type: Literal["siglip"]
    """Kind of host."""
    family: Literal["contrastive"] = "contrastive"
    """Follows from the type."""


class OpenClip(Host):
    """A model of open_clip, by its architecture name (contrastive)."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "projector", "text")

    type: Literal["open_clip"]
    """Kind of host."""
    family: Literal["contrastive"] = "contrastive"
    """Follows from the type."""
    model: str | None = None
    """Architecture as open_clip names it (``ViT-B-32``), or a folder that a run was merged into;
    ``open_clip:`` may stand before it."""
    pretrained: str | None = None
    """Tag of open_clip (``laion2b_s34b_b79k``) or a safetensors file, for the architecture
    ``model``; null: random weights."""

    def check_source(self) -> None:
        """``pretrained`` goes with an architecture; open_clip brings processor and attention."""
        super().check_source()
        if self.pretrained is not None and self.config is not None:
            raise Contradiction(
                "pretrained", "`pretrained` goes with `model`; with `config` give `weights`"
            )
        for field in ("processor", "attn_implementation"):
            if getattr(self, field) is not None:
                raise Contradiction(field, "open_clip brings its own: leave it out")


class Vision(Host):
    """An image encoder with a classification head: ViT, Swin, or the tower of a CLIP."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "head")

    type: Literal["vision"]
    """Kind of host."""
    family: Literal["vision"] = "vision"
    """Follows from the type."""
    labels: tuple[str, ...] | str | None = None
    """Class names in the order of the head's rows, or a text file with one per line; null: those
    of the checkpoint."""

    @field_validator("labels")
    @classmethod
    def _read_labels(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
        """Read the file, so that a run's recipe holds the names themselves."""
        if value is None:
            return None
        if isinstance(value, str):
            path = Path(value).expanduser()
            if not path.is_file():
                raise Contradiction(
                    "labels",
                    f"there is no file {value!r}: give a text file with one class name per line, "
                    "or a list of names",
                )
            value = tuple(filter(None, map(str.strip, path.read_text("utf-8").splitlines())))
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None or len(value) < 2:
            found = "one name" if twice is None else f"{twice!r} twice"
            raise Contradiction("labels", f"found {found}: give each class once, and at least two")
        return value


class ImageTextToText(Host):
    """A generative model that ``AutoModelForImageTextToText`` knows, such as Qwen2.5-VL."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "projector", "language")

    type: Literal["image_text_to_text"]
    """Kind of host."""
    family: Literal["generative"] = "generative"
    """Follows from the type."""
    sites: Literal["auto"] | None = None
    """``auto``: find towers and places in the module tree of a model line that vlft has no table
    for; null: by that table."""


class Assembled(Host):
    """A LLaVA put together from a vision tower and a language model, projector new."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("vision", "projector", "language")

    type: Literal["assembled"]
    """Kind of host."""
    family: Literal["generative"] = "generative"
    """Follows from the type."""
    vision: str | None = None
    """Hub id or folder of the vision tower (a CLIP checkpoint or its tower)."""
    language: str | None = None
    """Hub id or folder of the causal language model."""
    vision_feature_layer: int | None = None
    """Hidden state of the tower that is projected; null: that of ``config``, else -2 (LLaVA-1.5
    takes the last but one)."""

    def check_source(self) -> None:
        """``config`` gives shapes; ``vision`` and ``language`` give trained parts."""
        if self.model is not None:
            raise Contradiction(
                "model",
                "an assembled host has no single checkpoint: give `vision` and "
                "`language`, or write type: image_text_to_text for a complete model",
            )
        if self.config is None and (self.vision is None or self.language is None):
            missing = "vision" if self.vision is None else "language"
            raise Contradiction(
                missing,
                f"`{missing}` is not given: name both parts (`vision` and `language`), or "
                "a `config` for the shapes of the one that starts random",
            )


class CausalLM(Host):
    """A text-only causal language model."""

    tower_names: ClassVar[tuple[TowerName, ...]] = ("language",)

    type: Literal["causal_lm"]
    """Kind of host."""
    family: Literal["generative"] = "generative"
    """Follows from the type."""


BackboneSection = Annotated[
    Clip | Siglip | OpenClip | Vision | ImageTextToText | Assembled | CausalLM,
    Field(discriminator="type"),
]
