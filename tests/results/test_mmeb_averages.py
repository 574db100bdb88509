"""Two averages that published tables mix up, and where each data set stands."""

import pytest

from vlft.evaluation.benchmark import load_benchmark
from vlft.recipe.origins import plain
from vlft.recipe.shipped import find_shipped
from vlft.recipe.yaml_file import read_yaml
from vlft.results.mmeb_averages import Measured, Standing, averages, standings_of
from vlft.results.mmeb_report import IMAGE

# meta-tasks of CLIP in arXiv 2410.05160 (figure vlm2vec_results.png), in per cent
CLIP = {"CLS": 42.8, "VQA": 9.1, "RET": 53.0, "VG": 51.8}


@pytest.fixture(scope="module")
def standings():
    return standings_of(load_benchmark("mmeb/image").settings)


def by_name(metrics):
    return {metric.name: metric for metric in metrics}


def test_the_table_has_every_data_set_exactly_once(standings):
    assert set(standings) == set(IMAGE)
    assert len(IMAGE) == 36
    sizes = {
        domain: {
            task: sum(one == Standing(task, domain) for one in standings.values())
            for task in ("CLS", "VQA", "RET", "VG")
        }
        for domain in ("IND", "OOD")
    }
    assert sizes == {
        "IND": {"CLS": 5, "VQA": 6, "RET": 8, "VG": 1},
        "OOD": {"CLS": 5, "VQA": 4, "RET": 4, "VG": 3},
    }
    assert load_benchmark("mmeb/image").data.datasets == tuple(standings)


def test_data_sets_and_meta_tasks_are_averaged_apart(standings):
    measured = {name: Measured(CLIP[one.task] / 100) for name, one in standings.items()}
    found = averages(measured, standings)
    metrics = by_name(found.metrics)
    assert round(100 * metrics["hit@1"].value, 1) == 37.8  # VLM2Vec's Overall
    assert round(100 * metrics["hit@1_by_meta_task"].value, 1) == 39.2  # UniME-V2's
    assert [100 * found.groups[task][0].value for task in CLIP] == pytest.approx([*CLIP.values()])


def rows_of(table):
    path = find_shipped("eval", f"references/{table}")
    return [row for row in plain(read_yaml(path, shown=path.name))["rows"] if "groups" in row]


@pytest.mark.parametrize(
    ("table", "number", "by_tasks", "misprints"),
    [("mmeb_vlm2vec", 15, 0, {"SigLIP"}), ("mmeb_unime_v2", 11, 2, set())],
)
def test_published_rows_are_the_average_that_they_say(
    standings, table, number, by_tasks, misprints
):
    rows = rows_of(table)
    assert len(rows) == number
    assert sum("metric" in row for row in rows) == by_tasks
    unfit = set()
    for row in rows:
        measured = {name: Measured(row["groups"][one.task]) for name, one in standings.items()}
        found = by_name(averages(measured, standings).metrics)
        said, other = row.get("metric", "hit@1"), {"hit@1", "hit@1_by_meta_task"}
        (other,) = other - {said}
        if abs(found[said].value - row["value"]) > 0.001:
            unfit.add(row["model"])
        else:
            assert abs(found[other].value - row["value"]) > 0.005
        domains = (20 * row["groups"]["IND"] + 16 * row["groups"]["OOD"]) / 36
        assert domains == pytest.approx(found["hit@1"].value, abs=0.001) or row["model"] in unfit
    assert unfit == misprints


def test_domains_by_hand():
    standings = {
        "a": Standing("CLS", "IND"),
        "b": Standing("CLS", "OOD"),
        "c": Standing("VG", "OOD"),
        "d": Standing("VG", "IND"),
    }
    measured = {
        "a": Measured(1.0, [1.0, 1.0], 0.5),
        "b": Measured(0.5, [1.0, 0.0], 0.25),
        "c": Measured(0.0, [0.0, 0.0, 0.0], 0.25),
    }
    found = averages(measured, standings)
    assert {name: (one.value, one.n) for name, one in by_name(found.metrics).items()} == {
        "hit@1": (0.5, 7),
        "hit@1_by_meta_task": (0.375, 7),
        "hit@1_IND": (1.0, 2),
        "hit@1_by_meta_task_IND": (1.0, 2),
        "hit@1_OOD": (0.25, 5),
        "hit@1_by_meta_task_OOD": (0.25, 5),
    }
    metrics = by_name(found.metrics)
    assert metrics["hit@1"].chance == pytest.approx(1 / 3)
    assert metrics["hit@1_by_meta_task"].chance == pytest.approx((0.375 + 0.25) / 2)
    assert set(found.groups) == {"CLS", "VG", "IND", "OOD"}
    assert [one.name for one in found.groups["OOD"]] == ["hit@1", "hit@1_by_meta_task"]


def test_a_domain_without_data_sets_is_left_out():
    found = averages({"a": Measured(0.5)}, {"a": Standing("CLS", "IND")})
    assert [one.name for one in found.metrics if one.name.endswith("OOD")] == []
    assert set(found.groups) == {"CLS", "IND"}


def test_the_interval_is_that_of_the_average():
    standings = {name: Standing(task, "IND") for name, task in zip("abc", "xxy", strict=True)}
    scores = {"a": [1.0] * 50, "b": [1.0] * 50, "c": [1.0, 0.0] * 25}
    measured = {name: Measured(sum(one) / 50, one) for name, one in scores.items()}
    metrics = by_name(averages(measured, standings).metrics)
    wide, narrow = metrics["hit@1_by_meta_task"].interval, metrics["hit@1"].interval
    assert wide.low < 0.75 < wide.high
    assert narrow.low < 5 / 6 < narrow.high
    # only c varies: it counts a half in one average and a third in the other
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(1.5, rel=0.1)


def test_without_scores_there_is_no_interval():
    found = averages({"a": Measured(0.5)}, {"a": Standing("CLS", "IND")})
    assert all(metric.interval is None and metric.n == 0 for metric in found.metrics)
