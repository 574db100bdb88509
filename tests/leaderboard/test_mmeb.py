import json

import pytest

from vlft.errors import EvaluationError
from vlft.leaderboard import leaderboard
from vlft.leaderboard.mmeb import entry_of, is_report
from vlft.results.mmeb_report import IMAGE, NO_FILE


def a_report(**changes):
    """All 36 data sets, 1,000 queries each; the first 18 are half right, the others all."""
    image = {
        name: {"hit@1": 0.5 if place < 18 else 1.0, "num_pred": 1000, "num_data": 1000}
        for place, name in enumerate(IMAGE)
    }
    metadata = {"model_name": "quartz-embed", "report_generated_date": "2026-11-01T12:00:00"}
    return {"metadata": metadata, "metrics": {"image": image | changes, "video": {"K700": NO_FILE}}}


def test_a_report_comes_to_the_mean_over_its_data_sets(tmp_path):
    entry = entry_of(a_report(), tmp_path / "r.json", "r.json")
    assert (entry.main.name, entry.main.n) == ("hit@1", 36000)
    assert entry.main.value == 0.75
    assert entry.status == "full"
    assert entry.groups["NIGHTS"][0].value == 1.0
    assert entry.groups["ImageNet-1K"][0].value == 0.5
    assert entry.model.name == "quartz-embed"
    assert any("video" in note for note in entry.notes)


def test_a_report_that_lacks_a_data_set_does_not_rank(tmp_path):
    whole = entry_of(a_report(), tmp_path / "a.json", "a.json")
    part = entry_of(a_report(NIGHTS=NO_FILE), tmp_path / "b.json", "b.json")
    assert part.reason == "the report has no numbers of NIGHTS"
    full, limited = leaderboard([whole, part]).tables
    assert [[row.rank for row in table.rows] for table in (full, limited)] == [[1], [None]]


def test_a_report_on_a_part_of_the_queries_does_not_rank(tmp_path):
    few = {"hit@1": 1.0, "num_pred": 10, "num_data": 10}
    part = entry_of(a_report(NIGHTS=few, OVEN=few), tmp_path / "a.json", "a.json")
    assert (part.status, part.reason) == ("limited", "other than 1,000 queries of NIGHTS, OVEN")
    unknown = entry_of(a_report(NIGHTS={"hit@1": 1.0}), tmp_path / "b.json", "b.json")
    assert unknown.status == "full"  # the file does not say


def test_all_metadata_are_optional(tmp_path):
    report = a_report()
    del report["metadata"]
    entry = entry_of(report, tmp_path / "some_model.json", "some_model.json")
    assert entry.model.name == "some_model"
    assert entry.date is None


def test_a_report_with_numbers_that_are_no_shares_is_refused(tmp_path):
    bad = {"hit@1": 80.8, "num_pred": 100, "num_data": 100}
    with pytest.raises(EvaluationError, match=r"x\.json: .*NIGHTS"):
        entry_of(a_report(NIGHTS=bad), tmp_path / "x.json", "x.json")


def test_other_json_is_no_report():
    assert not is_report({"metrics": {"accuracy": 1}})
    assert not is_report([])


def test_a_stored_report_of_the_public_leaderboard_is_read(tmp_path):
    shared = _shared() / "mmeb" / "report_layout_sample.json"
    values = json.loads(shared.read_text(encoding="utf-8"))
    entry = entry_of(values, shared, "report.json")
    assert entry.model.name == "VLM2Vec-V2.0-Qwen2VL-2B"
    assert entry.groups["ImageNet-1K"][0].value == 0.808
    assert entry.status == "limited"  # the sample is cut to one data set


def _shared():
    from pathlib import Path

    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with golden files is not there")
    return folder
