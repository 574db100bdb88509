"""The ``evaluation`` section: benchmarks on saved checkpoints."""

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section


class EvaluationSection(Section):
    """Which suite is run, when, and which number picks the best checkpoint."""

    suite: str | None = None
    """A benchmark or suite of ``eval/`` (``vlft list benchmarks``, ``vlft list suites``), run on
    saved checkpoints."""
    overrides: tuple[str, ...] = ()
    """Values that win over the benchmark's file, as on the command line of ``vlft eval``:
    ``[data.path=held_out.jsonl]``."""
    metric_for_best: str | None = None
    """``loss`` (on the validation set), or a metric of the suite; null: the last checkpoint is the
    result."""
    limit: int | None = Field(None, gt=0)
    """Samples per benchmark while training (a limited number never ranks)."""

    @model_validator(mode="after")
    def _suite_is_there(self) -> "EvaluationSection":
        if self.suite is not None:
            return self
        if self.overrides:
            raise Contradiction(
                "overrides", "there is no `suite` to change: name one, or leave it out"
            )
        if self.limit is not None:
            raise Contradiction("limit", "there is no `suite` to limit: name one, or leave it out")
        if self.metric_for_best not in (None, "loss"):
            raise Contradiction(
                "metric_for_best",
                "a metric other than `loss` comes from a benchmark: name its "
                "`suite`, or use metric_for_best: loss",
            )
        return self
