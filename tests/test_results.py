import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vlft.errors import EvaluationError, RunDirectoryError
from vlft.results import (
    Interval,
    Metric,
    ModelIdentity,
    Protocol,
    RankingKey,
    Result,
    Sample,
    file_stem,
    protocol_differences,
    rank_together,
    read_result,
    read_samples,
    write_result,
)

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


def a_result(**changes):
    accuracy = Metric(
        name="accuracy",
        value=0.5,
        n=2,
        interval=Interval(method="wilson", level=0.95, low=0.1, high=0.9),
        chance=0.25,
    )
    recorded = {"dtype": "float32", "resolution": {"height": 48, "width": 48}}
    return Result(
        metrics=(accuracy,),
        groups={"color": (accuracy,)},
        protocol=Protocol(ranking_key=KEY.model_copy(update=changes), recorded=recorded),
        model=ModelIdentity(name="runs/mine", source={"config": "tiny_llava"}, adapter={"r": 8}),
        date="2026-11-23T00:00:00+00:00",
        seconds=1.5,
    )


SAMPLES = [
    Sample(id="scene-0", group="color", prediction="red", answer="red", score=1.0),
    # line separators of Unicode that are not the end of a line of JSON
    Sample(id="scene-1", prediction="a\u2028b\x85c\nd", answer="red", score=0.0, extra={"k": [1]}),
]


def test_a_result_and_its_samples_come_back_as_they_were(tmp_path):
    result = a_result()
    path = write_result(tmp_path / "results", result, SAMPLES)
    assert path.name == "scenes-question_answering.json"
    found = read_result(path)
    assert found.samples_file == "scenes-question_answering.samples.jsonl"
    assert found == result.model_copy(update={"samples_file": found.samples_file})
    assert read_samples(path.parent / found.samples_file) == SAMPLES


def test_no_part_files_are_left(tmp_path):
    write_result(tmp_path, a_result(), SAMPLES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scenes-question_answering.json",
        "scenes-question_answering.samples.jsonl",
    ]


def test_a_limited_result_does_not_take_the_place_of_a_full_one(tmp_path):
    full = write_result(tmp_path, a_result(), SAMPLES)
    limited = write_result(tmp_path, a_result(coverage="limited"), SAMPLES[:1])
    assert full != limited
    assert len(read_samples(tmp_path / str(read_result(full).samples_file))) == 2
    assert len(read_samples(tmp_path / str(read_result(limited).samples_file))) == 1


def test_a_full_disk_leaves_the_older_result_as_it_was(tmp_path, monkeypatch):
    path = write_result(tmp_path, a_result(), SAMPLES)
    write_text = Path.write_text

    def full(self, text, **options):
        if self.name.endswith(".json.part"):
            write_text(self, text[:10], **options)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(self, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunDirectoryError, match="no room on the disk"):
        write_result(tmp_path, a_result(), SAMPLES[:1])
    assert read_samples(path.with_name(str(read_result(path).samples_file))) == SAMPLES
    assert len(list(tmp_path.iterdir())) == 2


def test_a_result_without_samples_leaves_no_older_ones(tmp_path):
    write_result(tmp_path, a_result(), SAMPLES)
    path = write_result(tmp_path, a_result(), [])
    assert [*tmp_path.iterdir()] == [path]
    assert read_result(path).samples_file is None


@pytest.mark.parametrize(
    "names",
    [
        ("x:a=1", "x:a=-1"),
        ("x:data.path=a/b.jsonl", "x:data.path=a-b.jsonl"),
        ("x:prompt_format=a {label}", "x:prompt_format=a (label)"),
        ("a/b", "a-b"),
        ("x:a=", "x:a"),
        ("ü", "ö"),
    ],
)
def test_different_benchmarks_have_different_files(names):
    stems = {file_stem(name) for name in names}
    assert len(stems) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", stem) for stem in stems)


def test_plain_names_are_plain_file_names():
    assert file_stem("scenes/retrieval", limited=True) == "scenes-retrieval.limited"
    assert file_stem("custom/vqa:metric=anls") == "custom-vqa-metric-anls"


def test_an_interrupted_write_leaves_no_result_without_its_samples(tmp_path, monkeypatch):
    path = write_result(tmp_path, a_result(), SAMPLES)
    replace = Path.replace

    def killed_before_the_result(self, target):
        if target == path:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed_before_the_result)
    with pytest.raises(KeyboardInterrupt):
        write_result(tmp_path, a_result(), SAMPLES[:1])
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_result(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: len(text) // 2], "cut off or no JSON"),
        (lambda text: "", "cut off or no JSON"),
        (lambda text: "[]", "no result of vlft: it has no schema_version"),
        (lambda text: '{"results": {}}', "no result of vlft: it has no schema_version"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "version 2"),
        (lambda text: text.replace('"seconds"', '"secs"'), "is no result of vlft: sec"),
        (lambda text: text.replace('"value": 0.5', '"value": NaN'), "is no result of vlft"),
        (lambda text: "\udcff", "cannot be read"),
    ],
)
def test_a_bad_result_is_refused_in_one_line_that_names_the_file(tmp_path, spoil, message):
    path = write_result(tmp_path, a_result(), [])
    text = spoil(path.read_text(encoding="utf-8"))
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(EvaluationError, match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_result_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_result(tmp_path / "none.json")


def test_a_half_written_sample_names_its_line(tmp_path):
    write_result(tmp_path, a_result(), SAMPLES)
    path = tmp_path / "scenes-question_answering.samples.jsonl"
    path.write_text(path.read_text(encoding="utf-8")[:-10], encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"line 2 is no sample of vlft"):
        read_samples(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_is_a_finite_number(value):
    with pytest.raises(ValidationError):
        Metric(name="accuracy", value=value, n=1)


@pytest.mark.parametrize("field", RankingKey.model_fields)
def test_results_that_differ_in_one_field_of_the_key_do_not_rank_together(field):
    other = {"benchmark_version": 2, "coverage": "limited"}.get(field, "another")
    one, two = a_result(), a_result(**{field: other})
    assert protocol_differences(one, two) == [field]
    assert not rank_together(one, two)
    assert not rank_together(two, one)


def test_recorded_facts_do_not_keep_results_apart():
    one = a_result()
    protocol = one.protocol.model_copy(update={"recorded": {"dtype": "bfloat16"}})
    assert rank_together(one, one.model_copy(update={"protocol": protocol}))


def test_limited_results_never_rank():
    limited = a_result(coverage="limited")
    assert protocol_differences(limited, limited) == []
    assert not rank_together(limited, limited)


def test_the_file_is_plain_json_with_the_number_on_top_level(tmp_path):
    values = json.loads(write_result(tmp_path, a_result(), SAMPLES).read_text(encoding="utf-8"))
    assert values["metrics"][0]["value"] == 0.5
    assert values["protocol"]["ranking_key"]["coverage"] == "full"


def test_results_and_declarations_are_read_without_torch():
    code = (
        "import sys, vlft.results, vlft.evaluation.benchmark as b; b.load_suite('scenes');"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("coverage", ["full", "limited"])
def test_a_name_that_is_too_long_is_cut_and_stays_one_of_its_own(tmp_path, coverage):
    start = "custom/vqa:data.path=/held/" + "out/" * 200
    paths = [
        write_result(tmp_path, a_result(benchmark=start + name, coverage=coverage), SAMPLES)
        for name in ("a.jsonl", "b.jsonl")
    ]
    assert len(set(paths)) == 2
    for path, name in zip(paths, ("a.jsonl", "b.jsonl"), strict=True):
        assert path.name.startswith("custom-vqa-data.path-held-out-out-")
        result = read_result(path)
        assert result.benchmark == start + name
        assert read_samples(tmp_path / result.samples_file) == SAMPLES
        assert len(f".{result.samples_file}.part") <= 255


def test_names_that_differ_in_other_letters_do_not_replace_each_other(tmp_path):
    names = [f"custom/vqa:data.path={name}.jsonl" for name in ("\u8bad\u7ec3", "\u8bc4\u4f30")]
    paths = {write_result(tmp_path, a_result(benchmark=name), SAMPLES) for name in names}
    assert len(paths) == 2
