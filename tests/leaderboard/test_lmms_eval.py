from statistics import NormalDist

import pytest

from vlft.errors import EvaluationError
from vlft.leaderboard import leaderboard
from vlft.leaderboard.lmms_eval import entries_of, is_lmms_eval


def read(values, tmp_path):
    found = entries_of(values, tmp_path / "20261101_120000_results.json", "shown")
    return {(entry.benchmark, entry.key["extraction"]): entry for entry in found}


@pytest.fixture
def qa(lmms_eval_values, tmp_path):
    return read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"]


def test_the_layout_is_recognized(lmms_eval_values):
    assert is_lmms_eval(lmms_eval_values)
    assert not is_lmms_eval({"results": {"a": {"acc": 1}}})  # nothing beside it
    assert not is_lmms_eval({"results": [1], "versions": {}})
    assert not is_lmms_eval([lmms_eval_values])


def test_every_way_of_reading_a_task_is_an_entry(lmms_eval_values, tmp_path):
    assert list(read(lmms_eval_values, tmp_path)) == [
        ("lmms-eval/made_up_qa", "none"),
        ("lmms-eval/made_up_qa", "first-letter"),
        ("lmms-eval/made_up_loss", "none"),
    ]


def test_an_entry_holds_what_the_file_says(qa):
    assert (qa.main.name, qa.main.value, qa.main.n) == ("exact_match", 0.75, 400)
    assert qa.main.direction == "higher"
    assert [(number.name, number.value) for number in qa.numbers[1:]] == [("words", 3.5)]
    assert qa.numbers[1].direction is None
    assert qa.model.name == "invented/quartz-3b"
    assert qa.date == "2026-11-01T12:00:00"
    assert qa.source == "lmms-eval 0.7.2"
    assert qa.status == "full"
    assert qa.recorded["task_hash"] == "cafe"
    assert qa.seconds is None  # the time of both tasks together


def test_the_interval_is_the_value_and_196_standard_errors_on_both_sides(qa):
    half = NormalDist().inv_cdf(0.975) * 0.02
    assert qa.main.interval.low == pytest.approx(0.75 - half, abs=1e-15)
    assert qa.main.interval.high == pytest.approx(0.75 + half, abs=1e-15)
    assert qa.main.interval.method == "standard error"
    assert qa.numbers[1].interval is None  # N/A


def test_the_key_says_what_is_known_of_the_protocol(qa):
    assert qa.key == {
        "made_by": "lmms-eval",
        "benchmark": "lmms-eval/made_up_qa",
        "benchmark_version": "0.0",
        "dataset_revision": "invented/qa, split test, revision not recorded",
        "prompt_format": '0-shot, {"post_prompt": "\\nOne word.", "pre_prompt": ""}',
        "extraction": "none",
        "decoding": 'generate_until, {"max_new_tokens": 16, "temperature": 0}',
        "metric": "exact_match",
        "direction": "higher",
    }


def test_what_is_not_stated_is_said(lmms_eval_values, tmp_path):
    del lmms_eval_values["versions"], lmms_eval_values["n-shot"]
    key = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"].key
    assert key["benchmark_version"] == "not recorded"
    assert key["prompt_format"].startswith("shots not recorded, ")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            "pretrained=a/b,api_key=sk-1:2,max_new_tokens=64,hf_token=hf_x",
            "pretrained=a/b,api_key=***,max_new_tokens=64,hf_token=***",
        ),
        ({"apikey": "sk-1", "size": 3}, '{"apikey": ***, "size": 3}'),
    ],
)
def test_secrets_in_arguments_are_not_published(lmms_eval_values, tmp_path, given, shown):
    del lmms_eval_values["model_name"]
    lmms_eval_values["config"]["model_args"] = given
    entry = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"]
    assert entry.recorded["model_args"] == entry.model.name == shown


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["versions"].update(made_up_qa=0.1),
        lambda values: values["n-shot"].update(made_up_qa=5),
        lambda values: values["config"].update(gen_kwargs="temperature=1"),
        lambda values: values.update(system_instruction_sha="0123456789"),
        lambda values: values["configs"]["made_up_qa"].update(test_split="validation"),
        lambda values: values["configs"]["made_up_qa"]["lmms_eval_specific_kwargs"].update(
            post_prompt="\nThink first."
        ),
    ],
)
def test_runs_under_different_settings_have_tables_of_their_own(lmms_eval_values, tmp_path, change):
    one = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"]
    change(lmms_eval_values)
    other = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"]
    assert len(leaderboard([one, other]).tables) == 2


def test_a_metric_of_which_less_is_better_ranks_upwards(lmms_eval_values, tmp_path):
    entry = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_loss", "none"]
    assert (entry.main.name, entry.main.direction) == ("wer", "lower")


def test_a_part_of_a_set_is_limited(lmms_eval_values, tmp_path):
    entry = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_loss", "none"]
    assert (entry.status, entry.main.n) == ("limited", 32)
    assert entry.reason == "32 of 400 samples of made_up_loss"
    lmms_eval_values["config"]["limit"] = 8.0
    assert all(one.status == "limited" for one in read(lmms_eval_values, tmp_path).values())


def test_a_file_that_does_not_tell_its_size_does_not_rank(lmms_eval_values, tmp_path):
    del lmms_eval_values["n-samples"]
    entry = read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"]
    assert entry.status == "limited"
    assert entry.main.n is None


def test_a_group_has_the_samples_of_its_tasks(lmms_eval_values, tmp_path):
    lmms_eval_values["results"]["both"] = {"alias": "both", "exact_match,none": 0.5}
    lmms_eval_values["group_subtasks"]["both"] = ["made_up_qa", "inner", "both"]
    lmms_eval_values["group_subtasks"]["inner"] = ["made_up_loss"]
    lmms_eval_values["group_subtasks"]["both"].remove("both")
    entry = read(lmms_eval_values, tmp_path)["lmms-eval/both", "none"]
    assert entry.main.n == 432
    assert entry.status == "limited"


def test_groups_in_a_circle_are_survived(lmms_eval_values, tmp_path):
    lmms_eval_values["group_subtasks"] = {
        "made_up_qa": ["made_up_loss"],
        "made_up_loss": ["made_up_qa"],
    }
    assert len(read(lmms_eval_values, tmp_path)) == 3


def test_a_single_task_has_the_time_of_the_run(lmms_eval_values, tmp_path):
    del lmms_eval_values["results"]["made_up_loss"]
    assert read(lmms_eval_values, tmp_path)["lmms-eval/made_up_qa", "none"].seconds == 611.2


def test_samples_beside_the_file_are_found(lmms_eval_values, tmp_path):
    samples = tmp_path / "20261101_120000_samples_made_up_qa.jsonl"
    samples.write_text("{}\n", encoding="utf-8")
    found = read(lmms_eval_values, tmp_path)
    assert found["lmms-eval/made_up_qa", "none"].samples == str(samples)
    assert found["lmms-eval/made_up_loss", "none"].samples is None


@pytest.mark.parametrize("value", ["N/A", None, True, float("nan"), 10**400, {"a": 1}])
def test_a_value_that_is_no_number_is_left_out(lmms_eval_values, tmp_path, value):
    lmms_eval_values["results"] = {"made_up_qa": {"exact_match,none": value, "words,none": 2}}
    (entry,) = read(lmms_eval_values, tmp_path).values()
    assert [number.name for number in entry.numbers] == ["words"]
    lmms_eval_values["results"] = {"made_up_qa": {"exact_match,none": value}}
    with pytest.raises(EvaluationError, match="no task has a number"):
        read(lmms_eval_values, tmp_path)


def test_a_bare_file_still_gives_an_entry(tmp_path):
    values = {"results": {"t": {"acc,none": 0.5}}, "versions": {}}
    (entry,) = read(values, tmp_path).values()
    assert entry.model.name == "unknown model"
    assert entry.main.direction is None
    assert entry.date is None
