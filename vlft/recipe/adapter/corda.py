"""The ``corda`` adapter section: a LoRA that starts from weights decomposed by what flows in."""

from typing import Literal

from pydantic import Field, model_validator

from vlft.recipe.adapter.placed import Placed
from vlft.recipe.data import DatasetSection
from vlft.recipe.section import Contradiction, Section


class Calibration(Section):
    """What flows through the layers while their inputs are measured."""

    data: DatasetSection | None = None
    """Data set that is drawn from; null: ``data.train``."""
    samples: int = Field(256, gt=0)
    """Samples that are drawn from it, by the recipe's seed."""
    positions: Literal["all", "text", "image", "prompt"] = "all"
    """Which positions of a language model's input count: all, those of text, those of images, or
    those before an answer and around it, which the loss does not see (``prompt``: questions without
    their answers). The layers of a vision tower always count all of theirs."""


class CordaOverride(Section):
    """What differs in a tower or at a site."""

    mode: Literal["ipm", "kpm"] | None = None
    """As of the adapter."""
    r: int | None = Field(None, gt=0)
    """As of the adapter; the scale ``lora_alpha / r`` stays that of the adapter."""
    calibration: Calibration | None = None
    """As of the adapter; given, it stands for all of it."""


class CordaAdapter(Placed):
    """CorDA (arXiv 2406.05223): components of each weight, told apart by calibration data.

    What is trained and saved is a LoRA.
    """

    type: Literal["corda"]
    """Adapter method."""
    mode: Literal["ipm", "kpm"]
    """Instruction-previewed (``ipm``) or knowledge-preserved (``kpm``); the one trains the
    components that the calibration data use most, to learn their task faster, the other those that
    they use least, to keep what they stand for."""
    r: int = Field(128, gt=0)
    """Rank of the update."""
    lora_alpha: float | None = Field(None, gt=0)
    """Numerator of the scale ``lora_alpha / r``; null: ``r``, as in the paper."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """As LoRA's; the start is exact without only, so it is 0."""
    use_rslora: bool = False
    """Scale by ``lora_alpha / sqrt(r)`` (rsLoRA, arXiv 2312.03732)."""
    calibration: Calibration = Field(default_factory=Calibration)
    """What the layers' inputs are measured on."""
    overrides: dict[str, CordaOverride] = Field(default_factory=dict)
    """What differs in a tower (``vision``) or at one of the sites (``language.mlp``), which wins
    over its tower."""
    normalizer: Literal["corda", "absmax", "none"] = "corda"
    """What a sample's input to a layer is divided by: the magnitude of its largest signed value, as
    the authors have it, its largest magnitude, or nothing."""
    covariance_dtype: Literal["float32", "float64"] = "float32"
    """Type that inputs are summed up in."""
    balance: bool = False
    """Make both halves of each rank-one pair equally long at the start; otherwise their lengths
    follow the scale of the inputs, as the authors' do."""
    merged_qkv: Literal["shared", "split"] = "shared"
    """A merged projection of query, key and value: one basis of rank ``r`` for all three, or
    decomposed apart, with rank ``3 r``."""
    save: Literal["portable", "residual"] = "portable"
    """``portable``: the run is a LoRA of rank ``2 r`` on the untouched base, as any LoRA;
    ``residual``: a LoRA of rank ``r`` beside the whole changed base, which is stored with the run
    (and, under ``backbone.quantization``, quantized)."""

    @model_validator(mode="after")
    def _fits_together(self) -> "CordaAdapter":
        if self.lora_dropout > 0:
            raise Contradiction(
                "lora_dropout",
                "dropout would drop components that CorDA took out of the base: use "
                "lora_dropout: 0, or type: lora",
            )
        ranks = [name for name, one in self.overrides.items() if one.r is not None]
        if self.use_rslora and (ranks or self.merged_qkv == "split"):
            raise Contradiction(
                "use_rslora",
                "the export of a run needs one scale, and rsLoRA's follows the rank, which "
                f"differs by {f'overrides.{ranks[0]}.r' if ranks else 'merged_qkv: split'}: use "
                "use_rslora: false, or one rank for all",
            )
        if self.mode == "kpm" and all(one.data is None for one in self.calibrations):
            raise Contradiction(
                "mode",
                "kpm keeps what its calibration data stand for, and those of the task itself "
                "are what is to be learned: give calibration.data (questions about what the "
                "model knows), or use mode: ipm",
            )
        return self

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """Every way of calibrating that is asked for, the adapter's own first."""
        own = (one.calibration for one in self.overrides.values() if one.calibration is not None)
        return (self.calibration, *own)

    @property
    def calibration_fields(self) -> tuple[str, ...]:
        """Where each of ``calibrations`` stands in the recipe."""
        own = (name for name, one in self.overrides.items() if one.calibration is not None)
        return (
            "adapter.calibration",
            *(f"adapter.overrides.{name}.calibration" for name in own),
        )
