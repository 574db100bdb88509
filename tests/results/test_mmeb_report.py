"""Reports of MMEB's leaderboard: written, read with gaps, and added up."""

import json

import pytest

from vlft.errors import EvaluationError
from vlft.results import Metric, ModelIdentity, Protocol, RankingKey, Result
from vlft.results.mmeb_averages import Standing
from vlft.results.mmeb_report import (
    IMAGE,
    VIDEO,
    VISDOC,
    MmebReport,
    numbers_of,
    read_report,
    report_of,
    write_report,
)

STANDINGS = {
    "NIGHTS": Standing("RET", "IND"),
    "RefCOCO": Standing("VG", "OOD"),
    "ImageNet-1K": Standing("CLS", "IND"),
}


def entry(hit, n=4, **more):
    return {"hit@1": hit, "hit@5": 1.0, **more, "num_pred": n, "num_data": n}


def report(**image):
    return MmebReport({}, {"image": {name.replace("_", "-"): one for name, one in image.items()}})


def result(groups, benchmark="mmeb/image"):
    key = RankingKey(
        benchmark=benchmark, benchmark_version=1, dataset_revision="r", prompt_format="official",
        extraction="none", decoding="cosine", tie_rule="for_model", coverage="full",
    )  # fmt: skip
    return Result(
        metrics=(Metric(name="hit@1", value=0.5, n=4),),
        groups=groups,
        protocol=Protocol(ranking_key=key),
        model=ModelIdentity(name="runs/mine"),
        date="2026-01-02T03:04:05+00:00",
        seconds=1,
    )


def test_a_result_becomes_a_report_with_gaps_marked():
    groups = {
        "NIGHTS": (Metric(name="hit@1", value=0.75, n=4), Metric(name="mrr@5", value=0.8, n=4)),
        "RET": (Metric(name="hit@1", value=0.75, n=4),),
    }
    found = report_of(result(groups), {"model_size": 2.2, "model_name": "Mine"})
    image = found.metrics["image"]
    assert list(image) == list(IMAGE)
    assert image["NIGHTS"] == {"hit@1": 0.75, "mrr@5": 0.8, "num_pred": 4, "num_data": 4}
    assert {one for name, one in image.items() if name != "NIGHTS"} == {"FILE_N/A"}
    assert found.metrics["video"] == dict.fromkeys(VIDEO, "DIR_N/A")
    assert found.metrics["visdoc"] == dict.fromkeys(VISDOC, "DIR_N/A")
    assert found.metadata == {
        "model_name": "Mine",
        "data_source": "Self-Reported",
        "report_generated_date": "2026-01-02T03:04:05+00:00",
        "model_size": 2.2,
    }


def test_sizes_are_those_of_the_benchmark():
    assert (len(set(IMAGE)), len(set(VIDEO)), len(set(VISDOC))) == (36, 18, 24)


def test_a_result_of_something_else_is_no_report():
    with pytest.raises(EvaluationError, match="scenes/mmeb: its result has no data set of MMEB"):
        report_of(result({"Scenes-CLS": ()}, "scenes/mmeb"))


def test_a_written_report_reads_back(tmp_path):
    groups = {"NIGHTS": (Metric(name="hit@1", value=0.1 + 0.2, n=4),)}
    written = report_of(result(groups))
    write_report(written, tmp_path / "mine.json")
    assert read_report(json.loads((tmp_path / "mine.json").read_text())) == written


def test_what_vlft_does_not_measure_is_kept():
    content = {
        "metadata": {"model_name": "M", "score_source": "Self-Reported"},
        "metrics": {
            "image": {"NIGHTS": entry(0.5), "RefCOCO": "JSON_ERROR"},
            "video": {"K700": entry(0.1), "MomentSeeker_1k8": "FILE_N/A"},
            "visdoc": {"ViDoSeek-page-fixed": {"ndcg_linear@5": 0.3}},
        },
    }
    found = read_report(content)
    assert {"metadata": found.metadata, "metrics": found.metrics} == content
    assert found.model == "M"


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"metrics": [{"name": "hit@1"}]},  # a result of vlft
        {"metadata": {}},
        {"metrics": {"image": "DIR_N/A"}},
        {"metrics": {"accuracy": 1}},
        "report",
    ],
)
def test_other_files_are_no_reports(content):
    assert read_report(content) is None


@pytest.mark.parametrize("metadata", [None, {}, "x", {"model_name": None}, {"model_name": " "}])
def test_metadata_are_optional(metadata):
    content = {"metadata": metadata, "metrics": {"image": {"NIGHTS": entry(0.5)}}}
    assert read_report(content).model is None


def test_numbers_by_hand():
    content = report(NIGHTS=entry(0.75), RefCOCO=entry(0.5, 2), CIFAR_100=entry(1.0))
    found = numbers_of(content, STANDINGS)
    metrics = {metric.name: metric for metric in found.metrics}
    assert (metrics["hit@1"].value, metrics["hit@1"].n) == (0.625, 6)
    assert metrics["hit@1_IND"].value == 0.75
    assert metrics["hit@1"].interval.method == "bootstrap"
    assert found.missing == ("ImageNet-1K",)
    assert found.ignored == ("CIFAR-100",)
    assert [metric.name for metric in found.groups["NIGHTS"]] == ["hit@1", "hit@5"]
    assert found.groups["NIGHTS"][0].interval.method == "wilson"
    assert found.groups["RET"][0].value == 0.75


def test_the_training_spelling_of_imagenet_is_taken():
    content = MmebReport({}, {"image": {"ImageNet_1K": entry(0.5)}})
    found = numbers_of(content, STANDINGS)
    assert found.groups["ImageNet-1K"][0].value == 0.5
    assert found.ignored == ()


@pytest.mark.parametrize(
    "bad", ["FILE_N/A", "READ_ERROR", {}, {"hit@1": None}, {"hit@1": True}, None, [0.5]]
)
def test_whatever_is_no_number_is_missing(bad):
    found = numbers_of(report(NIGHTS=bad, RefCOCO=entry(0.5)), STANDINGS)
    assert found.missing == ("NIGHTS", "ImageNet-1K")


def test_a_report_without_sizes_has_no_intervals():
    found = numbers_of(report(NIGHTS={"hit@1": 0.5}), STANDINGS)
    assert [metric.n for metric in found.metrics] == [0] * len(found.metrics)
    assert found.groups["NIGHTS"][0].interval is None


def test_per_cent_are_refused():
    with pytest.raises(EvaluationError, match=r"NIGHTS: found `hit@1` 65.8, expected a share"):
        numbers_of(report(NIGHTS=entry(65.8)), STANDINGS)


def test_a_report_without_image_numbers_is_refused():
    with pytest.raises(EvaluationError, match=r"no `hit@1` of any image data set .*: CIFAR-100"):
        numbers_of(report(CIFAR_100=entry(0.5)), STANDINGS)
    with pytest.raises(EvaluationError, match=r"there is: nothing"):
        numbers_of(MmebReport({}, {"visdoc": {"x": entry(0.5)}}), STANDINGS)
