import json
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image

from vlft.adapters import apply_adapter
from vlft.data import open_dataset
from vlft.data.scenes.layouts import write_layout
from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import evaluate, measure, notes_on_revision, score_samples
from vlft.recipe.adapter import DehvfAdapter
from vlft.results import ModelIdentity, rank_together, read_result, read_samples, write_result

NOBODY = ModelIdentity(name="nobody")


def run(model, spec, *, records=None, limit=None, batch_size=5):
    return measure(
        model,
        spec,
        open_dataset(spec.data) if records is None else records,
        limit=limit,
        identity=NOBODY,
        recorded={},
        batch_size=batch_size,
        progress=False,
    )


class Listed:
    """A data set from a list of records."""

    def __init__(self, records):
        self.name, self.records = "listed", records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


@pytest.fixture
def oracle(answers, questions):
    """Knows the world by heart: the answer of every question text and image."""
    known = {}
    for record in open_dataset(questions.data):
        shown = b"".join(ref.draw().tobytes() for ref in record.images)
        known[record.messages[0].content[-1], shown] = record.messages[-1].content[0]

    def answer(prompt):
        shown = b"".join(image.tobytes() for image in prompt.images)
        return known[prompt.messages[-1].content[-1], shown]

    return answers(answer)


def test_an_oracle_gets_one(oracle, questions):
    result, samples = run(oracle, questions)
    assert [metric.value for metric in result.metrics] == [1.0, 0.0]  # accuracy, not_an_option
    assert all(metric.value == 1 for metrics in result.groups.values() for metric in metrics)
    assert len(samples) == 24


def test_a_constant_gets_the_share_of_its_answer_which_is_chance(answers):
    spec = load_benchmark(
        "scenes/question_answering", ["data.num_samples=400", "data.questions=[size, exists]"]
    )
    result, _ = run(answers(lambda prompt: "yes" if "is there" in str(prompt) else "small"), spec)
    (accuracy, _), interval = result.metrics, result.metrics[0].interval
    assert accuracy.chance == 0.5
    assert interval.low < 0.5 < interval.high


def test_the_order_of_records_changes_no_number(oracle, answers, questions):
    records = list(open_dataset(questions.data))
    half = answers(lambda prompt: "yes" if len(str(prompt.messages)) % 2 else "left")
    for model in (oracle, half):
        one = run(model, questions, records=Listed(records))
        other = run(model, questions, records=Listed(records[::-1]), batch_size=7)
        assert one.result.metrics == other.result.metrics
        assert one.result.groups == other.result.groups
        assert one.samples == other.samples[::-1]


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_clip"])
def test_batches_change_speed_only_and_runs_repeat(lively, questions, pairs, name):
    backbone, spec = lively(name), questions if name == "tiny_llava" else pairs
    runs = [evaluate(backbone, spec, batch_size=size, progress=False) for size in (1, 8, 8)]
    results = [(one.result.metrics, one.result.groups, one.samples) for one in runs]
    assert results[0] == results[1] == results[2]
    assert len({str(sample.prediction) for sample in runs[0].samples}) > 3


def test_the_result_says_what_was_measured(lively, questions):
    backbone = lively("tiny_llava")
    result, samples = evaluate(backbone, questions, progress=False)
    key, recorded = result.protocol.ranking_key, result.protocol.recorded
    assert result.status == "scored"
    assert result.metrics[0].name == "accuracy"
    assert result.metrics[0].n == len(samples) == 24
    assert key.benchmark == questions.name
    assert key.dataset_revision == questions.dataset_revision
    assert (key.decoding, key.coverage) == ("greedy, at most 8 tokens", "full")
    assert recorded["resolution"] == {"height": 48, "width": 48}
    assert recorded["dtype"] == "float32"
    assert recorded["batch_size"] == 32
    assert recorded["parameters"] == sum(w.numel() for w in backbone.model.parameters())
    assert recorded["packages"]["transformers"]
    assert result.model.name == "tiny_llava"
    assert result.model.source["config"] == "tiny_llava"
    assert result.model.adapter is None
    assert result.seconds > 0
    assert result.date.endswith("+00:00")


def test_the_adapter_is_part_of_the_identity(lively, questions):
    backbone = lively("tiny_llava")
    config = LoraConfig(r=3, target_modules=["q_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    tuned = replace(backbone, model=get_peft_model(backbone.model, config))
    adapter = evaluate(tuned, questions, limit=2, progress=False).result.model.adapter
    assert (adapter["peft_type"], adapter["r"], adapter["lora_alpha"]) == ("LORA", 3, 8)


def test_results_of_the_driver_are_written_and_read(lively, questions, tmp_path):
    result, samples = evaluate(lively("tiny_llava"), questions, progress=False)
    found = read_result(write_result(tmp_path, result, samples))
    assert found.metrics == result.metrics
    assert read_samples(tmp_path / found.samples_file) == samples


def test_samples_can_be_scored_again_without_a_model(lively, pairs, questions):
    for name, spec in (("tiny_clip", pairs), ("tiny_llava", questions)):
        result, samples = evaluate(lively(name), spec, progress=False)
        blank = [sample.model_copy(update={"score": None}) for sample in samples]
        scored = score_samples(blank, spec)
        assert scored.samples == samples
        assert tuple(scored.metrics) == result.metrics


def test_a_log_serves_other_names_extractions_and_metrics(oracle, answers, tmp_path):
    def asked(model, *changes, name="nobody", **options):
        spec = load_benchmark("scenes/question_answering", ["data.num_samples=24", *changes])
        return measure(
            model, spec, open_dataset(spec.data), identity=ModelIdentity(name=name), recorded={},
            log_folder=tmp_path, progress=False, **options,
        )  # fmt: skip

    def fail(prompt):
        raise AssertionError("asked again")

    loud = answers(lambda prompt: f" {oracle.answer(prompt).upper()}.")
    first = asked(loud)
    again = asked(answers(fail), name="another")
    assert (again.samples, again.result.metrics) == (first.samples, first.result.metrics)
    strict = asked(answers(fail), "extraction=verbatim", "metric=not_an_option")
    assert first.result.metrics[0].value == 1
    assert [(m.name, m.value) for m in strict.result.metrics] == [
        ("not_an_option", 1),
        ("accuracy", 0),
    ]
    for changes, options in ((["data.seed=1001"], {}), ([], {"limit": 3}), ([], {"batch_size": 7})):
        with pytest.raises(AssertionError, match="asked again"):
            asked(answers(fail), *changes, **options)


def test_a_limit_marks_the_result(oracle, questions):
    full = run(oracle, questions)
    limited, same = run(oracle, questions, limit=5), run(oracle, questions, limit=24)
    assert limited.samples == full.samples[:5]
    assert limited.result.protocol.ranking_key.coverage == "limited"
    assert not rank_together(limited.result, full.result)
    assert rank_together(same.result, full.result)


@pytest.mark.parametrize(
    ("name", "benchmark", "reason"),
    [
        ("tiny_clip", "questions", "no capability Generates"),
        ("tiny_llava", "pairs", "no capability Embeds"),
        ("tiny_llama", "questions", "reads text only"),
    ],
)
def test_what_a_host_cannot_take_is_not_applicable_and_never_zero(
    host, request, tmp_path, name, benchmark, reason
):
    spec = request.getfixturevalue(benchmark)
    result, samples = evaluate(host(name), spec, progress=False)
    assert result.status == "not_applicable"
    assert reason in result.reason
    assert (result.metrics, result.groups, samples) == ((), {}, [])
    assert read_result(write_result(tmp_path, result, samples)) == result


@pytest.fixture
def two_images(tmp_path):
    """A benchmark with one image in the first question, and two in the second."""
    Image.new("RGB", (40, 30), (200, 0, 0)).save(tmp_path / "a.png")
    turns = [("<image>what color?", "red"), ("<image><image>same?", "yes")]
    rows = [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ],
            "images": ["a.png"] * question.count("<image>"),
        }
        for question, answer in turns
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    changes = ["data.type=messages", f"data.path={path}", "max_new_tokens=2"]
    return load_benchmark("custom/vqa", changes)


@pytest.mark.parametrize(("most", "status"), [(1, "not_applicable"), (2, "scored")])
def test_more_images_than_a_model_takes_are_not_applicable(
    host, two_images, most, status, tmp_path
):
    section = DehvfAdapter(type="dehvf", groups=2, r=4, num_learned=4, max_images=most)
    backbone = apply_adapter(host("tiny_llava"), section, {})
    result, samples = evaluate(backbone, two_images, progress=False)
    assert result.status == status
    assert bool(samples) == (status == "scored")
    if most == 1:
        assert "1 of 2 questions have more than 1 image" in result.reason
        assert "(adapter.max_images); the first is about record line 2, with 2" in result.reason
        assert read_result(write_result(tmp_path, result, samples)) == result
        limited, _ = evaluate(backbone, two_images, limit=1, progress=False)
        assert limited.status == "scored"  # the first question has one


def test_a_text_only_host_takes_a_benchmark_without_images(lively):
    changes = ["needs_images=false", "data.questions=[kind]", "data.num_samples=6"]
    spec = load_benchmark("scenes/question_answering", changes)
    result, _ = evaluate(lively("tiny_llama"), spec, progress=False)
    assert result.metrics[0].n == 6


def test_another_number_of_records_than_declared_marks_the_result(oracle, questions):
    result, _ = run(oracle, questions.model_copy(update={"expected_n": 25}))
    assert result.protocol.ranking_key.coverage == "limited"
    assert "24 records, and the benchmark declares 25" in result.notes[0]
    assert not run(oracle, questions.model_copy(update={"expected_n": 24})).result.notes


def test_data_on_the_hub_without_a_revision_are_told():
    spec = load_benchmark("custom/vqa", ["data.path=hub:user/name"])
    (note,) = notes_on_revision(spec)
    assert "set data.revision to a commit" in note
    pinned = load_benchmark("custom/vqa", ["data.path=hub:user/name", "data.revision=1a2b3c4"])
    assert notes_on_revision(pinned) == ()


def test_records_with_one_id_are_refused(oracle, questions):
    records = list(open_dataset(questions.data))
    with pytest.raises(EvaluationError, match="2 samples have the id 'scene-1'"):
        run(oracle, questions, records=Listed([*records, records[1]]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scorer", "retrievals", "unknown scorer 'retrievals'. Did you mean 'retrieval'"),
        ("metric", "accuracy_", "unknown metric 'accuracy_'. Did you mean 'accuracy'"),
        ("extraction", "plane", "unknown extraction 'plane'. Did you mean 'plain'"),
    ],
)
def test_names_that_do_not_exist_are_refused_before_anything_is_asked(
    oracle, questions, field, value, message
):
    with pytest.raises((EvaluationError, UnknownNameError), match=message):
        run(oracle, questions.model_copy(update={field: value}))
    assert oracle.asked == []


def test_settings_that_the_scorer_does_not_know_are_refused_and_no_lack_of_the_model(
    oracle, lively, questions
):
    spec = questions.model_copy(update={"settings": {"macro_min_cases": 25}})
    with pytest.raises(EvaluationError, match="settings: unknown field 'macro_min_cases'"):
        run(oracle, spec)
    with pytest.raises(EvaluationError, match="settings: unknown field 'macro_min_cases'"):
        evaluate(lively("tiny_clip"), spec, progress=False)


def test_the_main_metric_comes_first(oracle, questions):
    result, _ = run(oracle, questions.model_copy(update={"metric": "not_an_option"}))
    assert [metric.name for metric in result.metrics] == ["not_an_option", "accuracy"]


def test_progress_is_shown_on_stderr_only_and_can_be_left_out(lively, questions, capfd):
    evaluate(lively("tiny_llava"), questions, progress=False)
    assert capfd.readouterr() == ("", "")
    evaluate(lively("tiny_llava"), questions)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "24/24" in shown.err


def test_a_missing_image_says_where_to_get_it(lively, tmp_path):
    folder = write_layout("aro", tmp_path / "aro", num_samples=12)
    for path in (folder / "images").glob("*.png"):
        path.unlink()
    with pytest.raises(
        EvaluationError, match=r"record \d+: image not found: .*; get what is missing"
    ):
        evaluate(lively("tiny_clip"), load_benchmark("aro/vg_relation"), data=str(folder))
