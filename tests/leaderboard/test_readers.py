import json
import os

import pytest

from vlft.errors import EvaluationError
from vlft.leaderboard.readers import read_results
from vlft.results import write_export


def reasons(found, *, damaged):
    return {one.file: one.reason for one in found.skipped if one.damaged is damaged}


def test_results_are_found_below_folders_and_as_files(tmp_path, result, write):
    write(tmp_path / "results" / "a" / "deep", result("a"))
    path = write(tmp_path / "b", result("b"))
    found = read_results([tmp_path / "results", path])
    assert [(entry.model.name, entry.file) for entry in found.entries] == [
        ("a", "results/a/deep/scenes-question_answering.json"),
        ("b", "scenes-question_answering.json"),
    ]
    assert found.skipped == []


def test_a_file_that_two_places_hold_counts_once(tmp_path, result, write):
    path = write(tmp_path / "results", result())
    (tmp_path / "results" / "again").symlink_to(tmp_path / "results")  # leads back
    assert len(read_results([tmp_path, tmp_path / "results", path]).entries) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: text[: len(text) // 2], "is cut off or no JSON"),
        (lambda text: "", "is cut off or no JSON"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "version 2"),
        (lambda text: text.replace('"seconds"', '"secs"'), "is no result of vlft"),
        (lambda text: "\udcff", "cannot be read"),
        (lambda text: "[" * 100_000, "cannot be read"),
    ],
)
def test_a_bad_file_is_told_and_spoils_nothing_else(tmp_path, result, write, spoil, reason):
    bad = write(tmp_path / "bad", result("bad"))
    text = spoil(bad.read_text(encoding="utf-8"))
    bad.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    write(tmp_path / "good", result("good"))
    found = read_results([tmp_path])
    assert [entry.model.name for entry in found.entries] == ["good"]
    ((file, told),) = reasons(found, damaged=True).items()
    assert reason in told
    assert str(tmp_path) not in told
    assert file == f"{tmp_path.name}/bad/scenes-question_answering.json"


def test_a_name_that_no_text_can_hold_spoils_nothing(tmp_path, lmms_eval_values):
    lmms_eval_values["model_name"] = "\ud800"
    (tmp_path / "x_results.json").write_text(json.dumps(lmms_eval_values), encoding="utf-8")
    ((_, told),) = reasons(read_results([tmp_path]), damaged=True).items()
    assert told == "it holds text that is no Unicode"


def test_a_file_name_may_hold_any_bytes(tmp_path, result, write):
    path = write(tmp_path / "results", result())
    path.rename(os.fsdecode(os.fsencode(tmp_path / "results") + b"/\xff.json"))
    (entry,) = read_results([tmp_path / "results"]).entries
    assert entry.file == "results/\N{REPLACEMENT CHARACTER}.json"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"model_type": "llava"}),
        ("list.json", [1, 2]),
        ("number.json", 3),
        ("leaderboard.json", {"schema_version": 1, "tables": []}),
    ],
)
def test_other_json_is_told_but_is_no_damage(tmp_path, name, values):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    found = read_results([tmp_path])
    assert list(reasons(found, damaged=False)) == [f"{tmp_path.name}/{name}"]
    assert reasons(found, damaged=True) == {}


def test_the_logs_and_exports_of_a_measurement_are_not_even_told(tmp_path, result, write):
    path = write(tmp_path, result())
    write_export(path, {"metrics": {}})
    log = tmp_path / "logs" / "x" / "about.json"
    log.parent.mkdir(parents=True)
    log.write_text("{}", encoding="utf-8")
    found = read_results([tmp_path])
    assert len(found.entries) == 1
    assert found.skipped == []


def test_results_of_lmms_eval_in_a_folder_called_logs_are_read(tmp_path, lmms_eval_values):
    folder = tmp_path / "logs" / "model"
    folder.mkdir(parents=True)
    (folder / "1_results.json").write_text(json.dumps(lmms_eval_values), encoding="utf-8")
    assert len(read_results([tmp_path]).entries) == 3


def test_what_lies_in_the_folder_that_is_written_is_left_out(tmp_path, result, write):
    write(tmp_path / "site", result())
    found = read_results([tmp_path], out=tmp_path / "site")
    assert found.entries == []
    assert list(reasons(found, damaged=False).values()) == ["it lies in the folder that is written"]


def test_a_folder_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    def refused(top, onerror=None, followlinks=False):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "closed")))
        return iter(())

    monkeypatch.setattr(os, "walk", refused)
    found = read_results([tmp_path])
    assert reasons(found, damaged=True) == {f"{tmp_path.name}/closed": "Permission denied"}


def test_a_place_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="is not there"):
        read_results([tmp_path / "none"])
