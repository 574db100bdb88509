"""The main job on this machine, in minutes, without a download: ``make demo``.

1. A tiny LLaVA is trained from random weights on general scenes: the stand-in for a pretrained
   checkpoint (kept, so that a second demo starts from it).
2. It is asked a type of question that it has never seen, tuned on it with LoRA, and asked again.
3. The same in short for a tiny CLIP: retrieval before and after tuning on scenes that are off the
   grid.

4. All four models are measured on generated files in the layouts of published benchmarks, base and
   tuned ones are compared answer by answer, and the leaderboard is written.

It ends with a table, two pictures, a page and the path of the run. Each step is an ordinary
command, printed before it runs; nothing here knows more than the command line does.
"""

import shutil
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from vlft.cli.compare import run as compare_runs
from vlft.cli.evaluate import Wanted
from vlft.cli.evaluate import run as evaluate_run
from vlft.cli.leaderboard import run as write_leaderboard
from vlft.cli.pictures import draw_curves, draw_predictions
from vlft.cli.report import text_table
from vlft.cli.train import run as train_recipe
from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.data.records import images_of
from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import load_benchmark
from vlft.recipe import load_recipe
from vlft.recipe.show import as_yaml
from vlft.results import Metric, Result, read_result, read_samples

ROOT = Path("runs/demo")
PRETRAINED, TUNED = ROOT / "pretrained", ROOT / "lora"
CLIP_PRETRAINED, CLIP_TUNED = ROOT / "clip_pretrained", ROOT / "clip_lora"
UNSEEN, RETRIEVAL = "scenes/unseen_question", "scenes/retrieval_jitter"
LAYOUTS = "scenes_layouts"
SITE = ROOT / "site"


@dataclass(frozen=True)
class Stage:
    """One training command of the demo.

    Attributes:
        recipe: Name of a shipped recipe.
        run_dir: Where it goes.
        benchmark: What it is measured on.
        init_from: The run it starts from; a run without one stands in for a pretrained checkpoint,
            so a finished one is used again.
    """

    recipe: str
    run_dir: Path
    benchmark: str
    init_from: Path | None = None

    @property
    def overrides(self) -> list[str]:
        """What the demo changes in the recipe: only where things are."""
        start = [] if self.init_from is None else [f"init_from={self.init_from}"]
        return [*start, f"training.output_dir={self.run_dir}"]


STAGES = (
    Stage("tiny/pretrain_scenes", PRETRAINED, UNSEEN),
    Stage("tiny/lora_scenes", TUNED, UNSEEN, init_from=PRETRAINED),
    Stage("tiny/clip_pretrain", CLIP_PRETRAINED, RETRIEVAL),
    Stage("tiny/clip_lora", CLIP_TUNED, RETRIEVAL, init_from=CLIP_PRETRAINED),
)


def main() -> int:
    """Run all stages; return the exit status."""
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    start = time.perf_counter()
    for stage in STAGES:
        status = run_stage(stage)
        if status:
            return status
    for stage in STAGES:
        measure(stage.run_dir, stage.benchmark)
    for stage in STAGES:
        measure(stage.run_dir, LAYOUTS)
    for base, tuned in ((PRETRAINED, TUNED), (CLIP_PRETRAINED, CLIP_TUNED)):
        compare(base, tuned)
    publish([stage.run_dir for stage in STAGES])

    curves, examples = ROOT / "learning_curve.png", ROOT / "predictions.png"
    draw_curves({stage.recipe: stage.run_dir for stage in STAGES}, curves)
    question = draw_examples(examples)
    rows = [row_of("tiny LLaVA, unseen question type", "accuracy", PRETRAINED, TUNED, UNSEEN)]
    for direction in ("image_to_text", "text_to_image"):
        name = f"tiny CLIP, {direction.replace('_', ' ')} R@1"
        metric = f"{direction}_recall@1"
        rows.append(row_of(name, metric, CLIP_PRETRAINED, CLIP_TUNED, RETRIEVAL))
    header = ("held out", "before", "95 % interval", "after LoRA", "95 % interval", "n", "chance")
    print(f"\n{text_table(header, [row.cells for row in rows])}\n")
    print(
        f"learning curves      {curves}\nexample predictions  {examples}\n"
        f"leaderboard          {SITE / 'index.html'}\n"
        f"run                  {TUNED}"
    )
    print(f"\n{time.perf_counter() - start:.0f} s. Ask the tuned model something yourself:")
    print(f'  .venv/bin/vlft predict {TUNED} --image {ROOT / "example.png"} --prompt "{question}"')
    missed = [row.cells[0] for row in rows if not row.gained]
    if missed:
        print(f"\nno gain outside the intervals: {', '.join(missed)}")
    return 1 if missed else 0


def run_stage(stage: Stage) -> int:
    """Train a stage, unless it stands in for a checkpoint that an earlier demo finished."""
    print(f"\n$ vlft train {stage.recipe} {' '.join(stage.overrides)}", flush=True)
    if stage.init_from is None and is_finished(stage):
        print(f"kept from an earlier demo: {stage.run_dir}")
        return 0
    shutil.rmtree(stage.run_dir, ignore_errors=True)
    return train_recipe(stage.recipe, stage.overrides, resume=False)


def is_finished(stage: Stage) -> bool:
    """Whether the run directory holds the finished model of exactly this recipe."""
    recipe = stage.run_dir / "recipe.yaml"
    wanted = as_yaml(load_recipe(stage.recipe, stage.overrides).recipe)
    done = (stage.run_dir / "model.safetensors").is_file()
    return done and recipe.is_file() and recipe.read_text(encoding="utf-8") == wanted


def measure(run_dir: Path, benchmark: str) -> None:
    """Measure a run on a benchmark or suite, from what it left on disk."""
    print(f"\n$ vlft eval {run_dir} --benchmark {benchmark} --batch-size 128", flush=True)
    wanted = Wanted([benchmark], overrides=[], data=None, name=None, out=None, as_json=False)
    if evaluate_run(str(run_dir), wanted, limit=None, batch_size=128):
        raise EvaluationError(f"{benchmark}: not everything could be measured on {run_dir}")


def compare(base: Path, tuned: Path) -> None:
    """Compare two runs answer by answer."""
    print(f"\n$ vlft compare {base} {tuned}", flush=True)
    status = compare_runs(
        str(base), str(tuned), [], groups=False, across_protocols=False, as_json=False
    )
    if status:
        raise EvaluationError(f"{base} and {tuned}: not everything could be compared")


def publish(run_dirs: list[Path]) -> None:
    """Write the leaderboard of some runs."""
    places = [str(run_dir / "results") for run_dir in run_dirs]
    print(f"\n$ vlft leaderboard {' '.join(places)} --out {SITE}", flush=True)
    write_leaderboard(places, out=str(SITE))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        cells: As shown.
        gained: The interval after lies above the interval before.
    """

    cells: tuple[str, ...]
    gained: bool


def row_of(name: str, metric: str, before: Path, after: Path, benchmark: str) -> Row:
    """Compare two runs on one metric."""
    old, new = (metric_of(result_of(run_dir, benchmark), metric) for run_dir in (before, after))
    assert old.interval is not None
    assert new.interval is not None
    chance = "" if old.chance is None else f"{old.chance:.3f}"
    cells = (name, *cells_of(old), *cells_of(new), str(new.n), chance)
    return Row(cells, gained=new.interval.low > old.interval.high)


def cells_of(metric: Metric) -> tuple[str, str]:
    """Return value and interval as text."""
    interval = metric.interval
    shown = "" if interval is None else f"{interval.low:.3f} - {interval.high:.3f}"
    return f"{metric.value:.3f}", shown


def result_of(run_dir: Path, benchmark: str) -> Result:
    """Read a run's result on a benchmark."""
    return read_result(run_dir / "results" / f"{benchmark.replace('/', '-')}.json")


def metric_of(result: Result, name: str) -> Metric:
    """Pick a metric of a result."""
    return next(metric for metric in result.metrics if metric.name == name)


def draw_examples(path: Path) -> str:
    """Draw some answers before and after; return one of the questions, its image saved beside."""
    records = open_dataset(load_benchmark(UNSEEN).data)
    answers = []
    for run_dir in (PRETRAINED, TUNED):
        file = result_of(run_dir, UNSEEN).samples_file
        assert file is not None
        answers.append(read_samples(run_dir / "results" / file)[:8])
    images = [
        open_image(images_of(records[index])[0], dataset=UNSEEN, record_id=str(index))
        for index in range(8)
    ]
    draw_predictions(images, answers[0], answers[1], path)
    images[0].save(ROOT / "example.png")
    return str(answers[0][0].extra["question"])


if __name__ == "__main__":
    sys.exit(main())
