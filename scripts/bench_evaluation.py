"""Bar B7: the harness against a loop that asks one case at a time, and against mteb.

    python scripts/bench_evaluation.py [--rounds 5] [--cases 800] [--only tiny,b32,repeated,mteb]

All sides score the same generated images and captions in ARO's layout with the same weights, in
turn (A B A B ...) in one process, first round dropped. The loop opens an image, has the model's own
processor make tensors of it and of the case's captions, and calls the model: what a script of
one's own does. Scores must agree. A/A is the base against itself: a ratio counts only if A/A is
within half of its margin.

Goals: loop / harness >= 4 on a tiny CLIP, >= 1.7 on a ViT-B/32, >= 4 with repeated images (every
image in five cases of two captions); harness / mteb <= 0.5, same micro score (mteb does not cut
images to their box, so in VG-Relation itself each is in 4.5 cases); loop / harness from its log
>= 20. COCO-Order (five captions per image, five options each) is timed beside them: there
are 25 texts for each image, and none of them repeats.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import set_seed

from vlft.backbones import build
from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.data.scenes.layouts.files import save, write_jsonl
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import World, draw_in
from vlft.data.scenes.swaps import swapped_captions
from vlft.evaluation.benchmark import BenchmarkSpec, load_benchmark
from vlft.evaluation.driver import evaluate
from vlft.evaluation.places import placed
from vlft.recipe.backbone import Clip
from vlft.types import Backbone

VG, ORDER = "scenes/aro_vg_relation", "scenes/aro_coco_order"
CASES_PER_IMAGE = 5
SPLIT = "test"


class Side(NamedTuple):
    """One way of measuring.

    Attributes:
        name: What the table calls it.
        measure: Does it; returns the micro accuracy.
        goal: Smallest ratio of the loop's time (for mteb: of mteb's) to this one's.
    """

    name: str
    measure: Callable[[], float]
    goal: float | None = None


def host(config: str) -> Backbone:
    """Build a CLIP with random weights; a large one has small outputs otherwise."""
    set_seed(0)
    backbone = build(Clip(type="clip", config=config))
    backbone.model.eval()
    return backbone


def one_by_one(backbone: Backbone, spec: BenchmarkSpec) -> float:
    """Score the cases with a plain loop."""
    spec = placed(spec)
    records = open_dataset(spec.data)
    right = 0
    with torch.inference_mode():
        for index in range(len(records)):
            record: Any = records[index]
            image = open_image(record.image, dataset=spec.name, record_id=record.id)
            texts = [record.text, *negatives(record)]
            inputs = backbone.processor(
                text=texts, images=image, return_tensors="pt", padding=True, truncation=True
            )
            values = backbone.model(**inputs).logits_per_image[0].tolist()
            ties_win = spec.tie_rule == "for_model"
            # equal texts are ties, whatever the last bits of their values say
            right += all(
                value > wrong if text != record.text else ties_win
                for text, value, wrong in zip(texts[1:], values[:1] * 9, values[1:], strict=False)
            )
    return right / len(records)


def negatives(record: Any) -> list[str]:
    """Return the wrong captions of a case."""
    return record.meta.get("negatives") or [record.meta["negative"]]


def harness(backbone: Backbone, spec: BenchmarkSpec, log: Path | None = None) -> float:
    """Score the cases with the harness."""
    result, _ = evaluate(backbone, spec, progress=False, log_folder=log)
    return next(metric.value for metric in result.metrics if metric.name == "accuracy")


def mteb_task(spec: BenchmarkSpec) -> Any:
    """Return mteb's own task of VG-Relation with the cases of a benchmark.

    mteb does not cut images to their box, so they are cut beforehand.
    """
    import datasets
    import mteb  # pyrefly: ignore[missing-import]  comes with the extra `bench`

    spec = placed(spec)
    records = open_dataset(spec.data)
    rows: dict[str, list[Any]] = {"image": [], "true_caption": [], "false_caption": []}
    for index in range(len(records)):
        record: Any = records[index]
        rows["image"].append(open_image(record.image, dataset=spec.name, record_id=record.id))
        rows["true_caption"].append(record.text)
        rows["false_caption"].append(negatives(record)[0])
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "true_caption": datasets.Value("string"),
            "false_caption": datasets.Value("string"),
        }
    )
    task = mteb.get_task("AROVisualRelation")
    task.dataset = datasets.DatasetDict({SPLIT: datasets.Dataset.from_dict(rows, features)})
    task.data_loaded = True
    return task


def mteb_score(task: Any, model: Any) -> float:
    """Score the cases with mteb."""
    import mteb  # pyrefly: ignore[missing-import]  comes with the extra `bench`

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mteb.evaluate(
            model,
            task,
            encode_kwargs={"batch_size": 32, "show_progress_bar": False},
            cache=None,
            show_progress_bar=False,
        )
    return found.task_results[0].scores[SPLIT][0]["text_acc"]


def compare(title: str, base: Side, sides: Sequence[Side], rounds: int) -> list[dict[str, Any]]:
    """Time sides in turn against a base, print a line for each, and return the raw values."""
    everything = [base, *sides, base._replace(name=f"{base.name} (A/A)")]
    times: list[list[float]] = [[] for _ in everything]
    values = [0.0] * len(everything)
    for turn in range(rounds + 1):
        for place, side in enumerate(everything):
            start = time.perf_counter()
            values[place] = side.measure()
            if turn:  # the first round warms caches
                times[place].append(time.perf_counter() - start)
    # six digits: mteb averages in float32
    assert len({round(value, 6) for value in values}) == 1, f"{title}: scores differ: {values}"
    found = []
    spread = statistics.median(a / b for a, b in zip(times[-1], times[0], strict=True))
    for side, taken in zip(everything[1:-1], times[1:-1], strict=True):
        ratio = statistics.median(a / b for a, b in zip(times[0], taken, strict=True))
        verdict = "" if side.goal is None else ("met" if ratio >= side.goal else "MISSED")
        print(
            f"{title:<22} {base.name} / {side.name:<22} {ratio:8.2f}   goal {side.goal or '-':>4}  "
            f"{verdict:<7} A/A {spread:.2f}   score {values[0]:.4f}",
            flush=True,
        )
        found.append(
            {
                "case": title,
                "base": base.name,
                "side": side.name,
                "ratio": ratio,
                "goal": side.goal,
                "a_a": spread,
                "score": values[0],
                "seconds": {base.name: times[0], side.name: taken, "a_a": times[-1]},
            }
        )
    return found


def against_loop(
    title: str, config: str, spec: BenchmarkSpec, goal: float | None, rounds: int
) -> list[dict[str, Any]]:
    """Compare harness and log with the loop."""
    backbone = host(config)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder)
        harness(backbone, spec, log)
        return compare(
            title,
            Side("loop", lambda: one_by_one(backbone, spec)),
            [
                Side("harness", lambda: harness(backbone, spec), goal),
                Side("harness from its log", lambda: harness(backbone, spec, log), 20),
            ],
            rounds,
        )


def on_world(benchmark: str, number: int) -> BenchmarkSpec:
    """Return a benchmark of the generated world with so many samples."""
    return load_benchmark(benchmark, [f"world.num_samples={number}"])


def repeated(images: int, folder: Path) -> BenchmarkSpec:
    """Return a benchmark in which every image is in five cases, each with captions of its own."""
    world = World(seed=1, max_objects=4, grid=4, image_size=48)
    rows = []
    for index in range(images):
        scene = draw_in(world, index, min_objects=3)
        save(render(scene), folder / f"{index}.png")
        swaps = [swap for swap in swapped_captions(scene) if swap.kind != "order"]
        assert len(swaps) >= CASES_PER_IMAGE
        rows += [
            {"filepath": f"{index}.png", "title": swap.true, "negative": swap.false}
            for swap in swaps[:CASES_PER_IMAGE]
        ]
    write_jsonl(rows, folder / "pairs.jsonl")
    return load_benchmark("custom/pairs", [f"data.path={folder / 'pairs.jsonl'}"])


def against_mteb(cases: int, rounds: int) -> list[dict[str, Any]]:
    """Compare the harness with mteb's task on one checkpoint, tiny and ViT-B/32."""
    from mteb.models.model_implementations import (  # pyrefly: ignore[missing-import]
        clip_models,
    )

    found = []
    for title, config, number in (
        ("tiny", "tiny_clip", cases),
        ("B/32", "clip_vit_b32", cases // 4),
    ):
        backbone = host(config)
        network: Any = backbone.model
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            backbone.processor.save_pretrained(folder)
            model = clip_models.CLIPModel(folder, revision="main", device="cpu")
            model.mteb_model_meta = clip_models.clip_vit_base_patch32
        with tempfile.TemporaryDirectory() as folder:
            for name, spec in (
                ("different images", on_world(VG, number)),
                ("5 cases an image", repeated(number // CASES_PER_IMAGE, Path(folder))),
            ):
                task = mteb_task(spec)
                found += compare(
                    f"{title}, {name}",
                    Side("mteb", lambda task=task, model=model: mteb_score(task, model)),
                    [Side("harness", lambda b=backbone, s=spec: harness(b, s), 2.0)],
                    rounds,
                )
    return found


def main() -> int:
    """Print a line per comparison and a JSON record; the exit status says whether all are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--only", default="tiny,b32,repeated,mteb")
    given = parser.parse_args()
    cases, rounds, found = given.cases, given.rounds, []
    wanted = given.only.split(",")
    if "tiny" in wanted:
        found += against_loop("tiny CLIP", "tiny_clip", on_world(VG, cases), 4, rounds)
    if "b32" in wanted:
        found += against_loop("ViT-B/32", "clip_vit_b32", on_world(VG, cases // 4), 1.7, rounds)
    if "repeated" in wanted:
        for title, config, number in (
            ("tiny, 5 cases an image", "tiny_clip", cases // 5),
            ("B/32, 5 cases an image", "clip_vit_b32", cases // 20),
        ):
            with tempfile.TemporaryDirectory() as folder:
                found += against_loop(title, config, repeated(number, Path(folder)), 4, rounds)
        spec = on_world(ORDER, cases // 5)
        found += against_loop("tiny, COCO-Order", "tiny_clip", spec, None, rounds)
    if "mteb" in wanted:
        found += against_mteb(cases, rounds)
    print(
        json.dumps(
            {"bar": "B7", "rounds": rounds, "threads": torch.get_num_threads(), "found": found}
        )
    )
    return 0 if all(one["goal"] is None or one["ratio"] >= one["goal"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
