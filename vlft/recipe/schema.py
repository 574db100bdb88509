"""The whole recipe as one frozen record."""

from pydantic import Field

from vlft.recipe.adapter import AdapterSection
from vlft.recipe.backbone import BackboneSection
from vlft.recipe.data import DataSection
from vlft.recipe.evaluation import EvaluationSection
from vlft.recipe.hub import HubSection
from vlft.recipe.objective import ObjectiveSection
from vlft.recipe.section import Section
from vlft.recipe.target import TargetSection
from vlft.recipe.towers import PartName, Tower
from vlft.recipe.training import TrainingSection


class Recipe(Section):
    """A complete run: host, adapter, data, objective, training, evaluation."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of initialization and data order."""
    backbone: BackboneSection
    """The host model."""
    adapter: AdapterSection
    """What is trained in it, and by which method."""
    towers: dict[PartName, Tower] = Field(default_factory=dict)
    """Parts that differ from the default: towers of the host, frozen or full, with own rates; the
    ``fuser`` of a ``dehvf`` adapter, with own rates."""
    init_from: str | None = None
    """Run directory or ``hub:user/name@revision`` whose finished model this run starts from; its
    adapter is merged into the base."""
    data: DataSection = Field(default_factory=DataSection)
    """What is trained and validated on."""
    objective: ObjectiveSection
    """The loss."""
    training: TrainingSection = Field(default_factory=TrainingSection)
    """Length, rates, precision, and what is kept."""
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    """Benchmarks on saved checkpoints."""
    target: TargetSection | None = None
    """The published number that the recipe is after; null: none."""
    hub: HubSection = Field(default_factory=HubSection)
    """Where the run is published."""

    @property
    def eval_strategy(self) -> str:
        """When the validation set is measured: with checkpoints, if a metric picks the best."""
        picks_best = self.evaluation.metric_for_best is not None
        own = self.training.eval_strategy
        return self.training.save_strategy if own == "no" and picks_best else own
