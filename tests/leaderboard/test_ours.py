import pytest

from vlft.errors import EvaluationError
from vlft.leaderboard.ours import entry_of
from vlft.results import Metric, RankingKey


def test_an_entry_holds_what_the_result_says(tmp_path, result, write):
    more = Metric(name="unreadable", value=0.01, n=100, direction="lower")
    made = result(
        "otter", 75, recorded={"trained_parameters": 412, "visual_tokens_per_image": 16.5}
    )
    made = made.model_copy(
        update={"metrics": (*made.metrics, more), "groups": {"color": made.metrics}}
    )
    path = write(tmp_path, made)
    entry = entry_of(path, "results/otter.json")
    assert entry.main.value == 0.75
    assert entry.main.interval is not None
    assert entry.main.interval.method == "wilson"
    assert [number.name for number in entry.numbers] == ["accuracy", "unreadable"]
    assert entry.numbers[1].direction == "lower"
    assert entry.groups["color"][0].value == 0.75
    assert (entry.trained_parameters, entry.visual_tokens_per_image) == (412, 16.5)
    assert (entry.date, entry.seconds) == ("2026-11-20T10:00:00+00:00", 21.5)
    assert entry.source == "vlft 0.1.0"
    assert entry.samples == str(tmp_path / "scenes-question_answering.samples.jsonl")
    assert entry.status == "full"


def test_the_key_is_the_ranking_key_but_for_the_coverage_and_the_metric(tmp_path, result, write):
    key = entry_of(write(tmp_path, result()), "x").key
    fields = set(RankingKey.model_fields) - {"coverage"}
    assert set(key) == fields | {"made_by", "metric", "direction"}
    assert key["decoding"] == "greedy, at most 8 tokens"


def test_a_limited_result_has_the_key_of_a_full_one(tmp_path, result, write):
    full = entry_of(write(tmp_path, result()), "x")
    limited = entry_of(write(tmp_path, result(coverage="limited")), "x")
    assert limited.status == "limited"
    assert limited.reason is not None
    assert limited.key == full.key


def test_what_is_not_applicable_has_a_reason_and_no_numbers(tmp_path, result, write):
    lacking = result(status="not_applicable", metrics=(), reason="the host reads text only")
    entry = entry_of(write(tmp_path, lacking), "x")
    assert (entry.status, entry.reason) == ("not_applicable", "the host reads text only")
    assert entry.numbers == ()


def test_a_result_without_metrics_is_refused(tmp_path, result, write):
    with pytest.raises(EvaluationError, match="has no metrics"):
        entry_of(write(tmp_path, result(metrics=())), "x")


def test_the_source_tells_predictions_and_reports_from_models(tmp_path, result, write):
    made = result()
    model = made.model.model_copy(update={"source": {"predictions": "a.jsonl"}})
    scored = made.model_copy(update={"model": model})
    assert entry_of(write(tmp_path, scored), "x").source == "vlft 0.1.0, predictions made elsewhere"
    reported = result(dataset_revision="as reported")
    assert entry_of(write(tmp_path, reported), "x").source == "report, taken as it is"


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "sub/a.jsonl", "link.jsonl"])
def test_only_a_plain_file_beside_the_result_is_taken_for_its_samples(
    tmp_path, result, write, name
):
    folder = tmp_path / "results"
    path = write(folder, result())
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.jsonl").write_text("", encoding="utf-8")
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.txt")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("scenes-question_answering.samples.jsonl", name), encoding="utf-8")
    entry = entry_of(path, "x")
    assert entry.samples is None
    assert any("not beside the result" in note for note in entry.notes)
