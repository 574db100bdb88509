"""Metrics over a corpus: numbers, intervals, groups; the program that COCO's evaluation runs."""

import shutil
from importlib.util import find_spec
from time import perf_counter

import numpy as np
import pytest

from vlft.errors import EvaluationError
from vlft.evaluation.captions import java
from vlft.evaluation.captions.bleu import bleu, bleu_counts
from vlft.evaluation.captions.corpus import METRICS

HAS_JAVA = shutil.which("java") is not None and find_spec("pycocoevalcap") is not None


def drawn(images, seed=0):
    generator = np.random.default_rng(seed)
    words = [f"w{number}" for number in range(12)]
    right = [
        [[words[k] for k in generator.integers(0, 12, 7)] for _ in range(3)] for _ in range(images)
    ]
    said = [[word for word in captions[0] if generator.random() < 0.8] for captions in right]
    return said, right


def totals(name, said, right):
    every = range(len(said))
    return {metric: one.total(every) for metric, one in METRICS[name](said, right).items()}


@pytest.mark.parametrize("name", ["bleu", "rouge_l", "cider", "words", "exact_match"])
def test_a_number_lies_in_its_interval_and_the_order_of_images_changes_no_digit(name):
    said, right = drawn(60)
    found = totals(name, said, right)
    order = np.random.default_rng(1).permutation(60)
    assert found == totals(name, [said[k] for k in order], [right[k] for k in order])
    for metric in found.values():
        assert metric.n == 60
        assert metric.interval.low < metric.value < metric.interval.high


def test_the_interval_of_bleu_has_its_coverage():
    """Of 30 corpora that are drawn alike, about 95 % of the intervals hold the common number."""
    counts = [bleu_counts(*pair) for pair in zip(*drawn(10_000), strict=True)]
    truth = bleu(np.sum(counts, axis=0))[3]
    held = 0
    for seed in range(1, 31):
        metric = METRICS["bleu"](*drawn(100, seed))["bleu_4"].total(range(100))
        held += metric.interval.low <= truth <= metric.interval.high
    assert held >= 25


def test_a_group_has_its_own_bleu_and_the_same_score_for_each_caption():
    said, right = drawn(30)
    rows = range(10, 20)
    part = METRICS["bleu"](said[10:20], right[10:20])["bleu_2"]
    whole = METRICS["bleu"](said, right)["bleu_2"]
    assert whole.total(rows) == part.total(range(10))
    assert whole.each[10:20] == part.each


def test_exact_match_compares_words():
    found = METRICS["exact_match"]([["a"], ["a", "b"]], [[["b"], ["a"]], [["a"]]])["exact_match"]
    assert found.each == [1.0, 0.0]


def test_five_thousand_images_take_seconds():
    said, right = drawn(5_000)
    start = perf_counter()
    for name in ("bleu", "rouge_l", "cider"):
        totals(name, said, right)
    assert perf_counter() - start < 60  # 3 s on an idle machine


@pytest.mark.parametrize("name", ["meteor", "spice"])
def test_metrics_in_java_say_what_they_need(name, monkeypatch):
    monkeypatch.setattr(java, "find_spec", lambda package: None)
    monkeypatch.setattr(java, "which", lambda command: None)
    with pytest.raises(EvaluationError) as error:
        METRICS[name]([["a"]], [[["a"]]])
    assert str(error.value) == (
        f"{name} needs the package pycocoevalcap (pip install pycocoevalcap) and the command "
        "`java` (install a Java runtime); without them use extraction ptb-like and the metrics "
        "bleu, rouge_l and cider"
    )


@pytest.mark.skipif(not HAS_JAVA, reason="needs Java and the package pycocoevalcap")
def test_meteor_knows_the_same_caption():
    said = [["a", "black", "dog", "runs", "on", "grass"], ["two", "men"]]
    found = METRICS["meteor"](said, [[said[0]], [["umbrella"]]])["meteor"]
    assert found.each == pytest.approx([1.0, 0.0])
    assert 0 < found.total(range(2)).value < 1
