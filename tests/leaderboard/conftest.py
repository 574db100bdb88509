"""Entries and result files to rank, made by hand; all names are invented."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlft.leaderboard import Entry, Number, Span
from vlft.results import (
    Metric,
    ModelIdentity,
    Protocol,
    RankingKey,
    Result,
    Sample,
    write_result,
)
from vlft.results.statistics import wilson

KEY = RankingKey(
    benchmark="scenes/question_answering",
    benchmark_version=1,
    dataset_revision="scenes-0123456789ab",
    prompt_format="as_recorded",
    extraction="plain",
    decoding="greedy, at most 8 tokens",
    tie_rule=None,
    coverage="full",
)


def make_entry(name="otter", value=0.5, *, low=None, high=None, direction="higher", **changes):
    interval = None
    if low is not None:
        interval = Span(method="wilson", level=0.95, low=low, high=high)
    n = changes.pop("n", 100)
    number = Number(name="accuracy", value=value, direction=direction, n=n, interval=interval)
    key = {"made_by": "vlft", "benchmark": "made/up", "metric": "accuracy", "direction": direction}
    fields: dict[str, Any] = {
        "origin": "vlft",
        "key": key | changes.pop("key", {}),
        "numbers": (number,),
        "model": ModelIdentity(
            name=name, weights=changes.pop("weights", None), adapter=changes.pop("adapter", None)
        ),
        "source": "vlft",
        "file": f"results/{name}.json",
    }
    return Entry(**fields | changes)


@pytest.fixture
def entry() -> Callable[..., Entry]:
    return make_entry


def make_result(
    name: str = "otter", hits: int = 50, n: int = 100, *, metric: str = "accuracy", **changes: Any
) -> Result:
    """Make a result; changes go to its fields, to its key, or to recorded facts."""
    number = Metric(name=metric, value=hits / n, n=n, interval=wilson(hits, n), chance=0.25)
    key = {name: changes.pop(name) for name in RankingKey.model_fields if name in changes}
    fields: dict[str, Any] = {
        "metrics": (number,),
        "protocol": Protocol(
            ranking_key=KEY.model_copy(update=key),
            recorded={"packages": {"vlft": "0.1.0"}} | changes.pop("recorded", {}),
        ),
        "model": ModelIdentity(
            name=name,
            weights=changes.pop("weights", f"sum-of-{name}"),
            adapter=changes.pop("adapter", None),
        ),
        "date": "2026-11-20T10:00:00+00:00",
        "seconds": 21.5,
    }
    return Result(**fields | changes)


@pytest.fixture
def result() -> Callable[..., Result]:
    return make_result


@pytest.fixture
def write() -> Callable[..., Path]:
    """Write a result with two samples into a folder."""

    def write_into(folder: Path, made: Result) -> Path:
        samples = [
            Sample(id="scene-0", prediction="red", answer="red", score=1.0),
            Sample(id="scene-1", prediction=made.model.name, answer="red", score=0.0),
        ]
        return write_result(folder, made, [] if made.status == "not_applicable" else samples)

    return write_into


LMMS_EVAL: dict[str, Any] = {
    "results": {
        "made_up_qa": {
            "alias": "made_up_qa",
            "exact_match,none": 0.75,
            "exact_match_stderr,none": 0.02,
            "exact_match_stderr_clustered,none": "N/A",
            "words,none": 3.5,
            "words_stderr,none": "N/A",
            "exact_match,first-letter": 0.5,
            "exact_match_stderr,first-letter": "N/A",
        },
        "made_up_loss": {"alias": " - made_up_loss", "wer,none": 0.125, "submission,none": None},
    },
    "group_subtasks": {"made_up_qa": [], "made_up_loss": []},
    "configs": {
        "made_up_qa": {
            "task": "made_up_qa",
            "dataset_path": "invented/qa",
            "test_split": "test",
            "output_type": "generate_until",
            "generation_kwargs": {"max_new_tokens": 16, "temperature": 0},
            "metric_list": [{"metric": "exact_match"}, {"metric": "words"}],
            "lmms_eval_specific_kwargs": {
                "default": {"pre_prompt": "", "post_prompt": "\nOne word."},
                "other": {"pre_prompt": "Q: "},
                "pre_prompt": "",
                "post_prompt": "\nOne word.",
            },
        },
        "made_up_loss": {"task": "made_up_loss", "output_type": "generate_until"},
    },
    "versions": {"made_up_qa": 0.0, "made_up_loss": "Yaml"},
    "n-shot": {"made_up_qa": 0, "made_up_loss": 2},
    "higher_is_better": {
        "made_up_qa": {"exact_match": True, "words": None},
        "made_up_loss": {"wer": False},
    },
    "n-samples": {
        "made_up_qa": {"original": 400, "effective": 400},
        "made_up_loss": {"original": 400, "effective": 32},
    },
    "config": {"model": "llava", "model_args": "pretrained=invented/quartz-3b", "limit": None},
    "git_hash": "0123abc",
    "lmms_eval_version": "0.7.2",
    "date": "20261101_120000",
    "task_hashes": {"made_up_qa": "cafe"},
    "model_source": "llava",
    "model_name": "invented/quartz-3b",
    "model_name_sanitized": "invented__quartz-3b",
    "total_evaluation_time_seconds": "611.2",
}
"""A result file in the layout of lmms-eval."""


@pytest.fixture
def lmms_eval_values() -> dict[str, Any]:
    return json.loads(json.dumps(LMMS_EVAL))


PUBLISHED = """
benchmark: scenes/question_answering
metric: accuracy
source: "Invented et al., table 2"
url: https://example.org/paper
protocol: {prompt_format: "a question, as the paper prints it", decoding: greedy}
rows:
  - {model: Mirage-7B, value: 0.9, n: 2048, groups: {color: 0.95}}
  - {model: Mirage-2B, value: 0.7, trained_parameters: 12000}
"""


@pytest.fixture
def references(tmp_path) -> Path:
    """A folder with one published table."""
    folder = tmp_path / "references"
    folder.mkdir()
    (folder / "invented.yaml").write_text(PUBLISHED, encoding="utf-8")
    return folder


@pytest.fixture
def example(tmp_path, write) -> Path:
    """Results of invented models on the generated world, as a project of some weeks has them."""
    folder = tmp_path / "results"
    write_example(folder, write)
    return folder


def write_example(folder: Path, write: Callable[..., Path]) -> None:
    """Write results of invented models on the generated world."""
    for number, (benchmark, key, models) in enumerate(EXAMPLE):
        for name, hits, n, facts in models:
            adapter = ADAPTERS.get(name)
            trained = TRAINED[name]
            day = f"2026-11-{10 + len(name) % 12:02d}T0{number}:12:40+00:00"
            made = make_result(
                name,
                hits,
                n,
                benchmark=benchmark,
                weights=f"{abs(hash_of(name)):016x}",
                adapter=adapter,
                date=day,
                seconds=n / (90 + len(name)),
                **key,
                **facts,
                groups=_groups(hits / n, n) if "question" in benchmark else {},
                recorded={
                    "trained_parameters": trained,
                    "visual_tokens_per_image": None if "clip" in name else 9.0,
                    "resolution": {"height": 48, "width": 48},
                    "dtype": "float32",
                    "device": "cpu",
                },
            )
            write(folder / name / f"{number}", made)
    lacking = make_result(
        "amber-otter-lora",
        status="not_applicable",
        metrics=(),
        reason="the host has no capability Embeds",
        benchmark="scenes/retrieval",
        dataset_revision="none",
        decoding="none",
    )
    write(folder / "amber-otter-lora" / "lacking", lacking)


def hash_of(name: str) -> int:
    """Return a number that depends on a name alone."""
    return int.from_bytes(name.encode()[:7].ljust(7, b"-")) * 1_000_003 % 2**63


def _groups(share: float, n: int) -> dict[str, tuple[Metric, ...]]:
    size = n // 4
    shares = {"color": 0.06, "count": -0.07, "relation": -0.11, "shape": 0.02}
    return {
        group: (_metric(round(min(1.0, share + more) * size), size))
        for group, more in shares.items()
    }


def _metric(hits: int, n: int) -> tuple[Metric, ...]:
    return (Metric(name="accuracy", value=hits / n, n=n, interval=wilson(hits, n)),)


def _lora(rank: int, **more: Any) -> dict[str, Any]:
    return {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, **more}


ADAPTERS = {
    "amber-otter-lora": _lora(16),
    "brisk-heron-dora": _lora(8, use_dora=True),
    "dune-wren-ia3": {"peft_type": "IA3"},
    "fjord-newt-pissa": _lora(4, init_lora_weights="pissa"),
    "grove-finch-clip-lora": _lora(8),
}
TRAINED = {
    "amber-otter-lora": 412_672,
    "brisk-heron-dora": 214_528,
    "cedar-lynx-full": 3_412_672,
    "dune-wren-ia3": 9_216,
    "ember-vole-base": 0,
    "fjord-newt-pissa": 103_168,
    "grove-finch-clip-lora": None,  # not on record
    "hazel-mole-clip-full": 1_204_224,
    "iris-toad-clip-base": 0,
}
EXAMPLE: tuple[
    tuple[str, dict[str, Any], tuple[tuple[str, int, int, dict[str, Any]], ...]], ...
] = (
    (
        "scenes/question_answering",
        {},
        (
            ("amber-otter-lora", 1786, 2048, {}),
            ("brisk-heron-dora", 1761, 2048, {}),
            ("cedar-lynx-full", 1761, 2048, {}),
            ("dune-wren-ia3", 1518, 2048, {}),
            ("ember-vole-base", 1010, 2048, {}),
            ("fjord-newt-pissa", 231, 256, {"coverage": "limited"}),
        ),
    ),
    (
        "scenes/question_answering",
        {},
        (("dune-wren-ia3", 1499, 2048, {"notes": ("An older run.",)}),),
    ),
    (
        "scenes/question_answering",
        {"decoding": "log-likelihood", "extraction": "none"},
        (("amber-otter-lora", 1811, 2048, {}), ("cedar-lynx-full", 1742, 2048, {})),
    ),
    (
        "scenes/retrieval",
        {
            "metric": "image_to_text_recall@1",
            "prompt_format": "caption",
            "extraction": "none",
            "decoding": "cosine",
            "tie_rule": "against_model",
        },
        (
            ("grove-finch-clip-lora", 627, 1024, {}),
            ("hazel-mole-clip-full", 649, 1024, {}),
            ("iris-toad-clip-base", 206, 1024, {}),
        ),
    ),
)
