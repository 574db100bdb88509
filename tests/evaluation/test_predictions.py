"""Predictions made elsewhere are scored as our own are; what does not fit is named."""

import json

import pytest

from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import evaluate
from vlft.evaluation.predictions import score_predictions
from vlft.results import rank_together

OPTIONS = ["cat", "dog", "bird"]


@pytest.fixture
def data(tmp_path):
    """Four questions with options; the answers are cat, dog, bird, cat."""
    rows = []
    for number in range(4):
        turns = [
            {"role": "user", "content": f"what is it? ({number})"},
            {"role": "assistant", "content": OPTIONS[number % 3]},
        ]
        rows.append({"id": f"q{number}", "messages": turns, "options": OPTIONS})
    path = tmp_path / "held_out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def score(data, tmp_path):
    def run(content, *, benchmark="custom/multiple_choice", name="said.jsonl", **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        elif name.endswith(".json"):
            path.write_text(json.dumps(content))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        spec = load_benchmark(benchmark, [f"data.path={data}"])
        return score_predictions(path, spec, **options)

    return run


def said(*answers):
    return [{"id": f"q{number}", "answer": answer} for number, answer in enumerate(answers)]


def accuracy(done):
    return {metric.name: metric.value for metric in done.result.metrics}["accuracy"]


def test_an_oracle_gets_one_and_a_constant_its_share(score):
    assert accuracy(score(said("A", "dog", "The answer is C.", "A"))) == 1.0
    assert accuracy(score(said(*"AAAA"))) == 0.5


def test_a_json_list_and_json_lines_are_alike(score):
    rows = said("A", "B", "B", "B")
    one, other = score(rows), score(rows, name="said.json")
    assert one.result.metrics == other.result.metrics
    assert one.samples == other.samples


def test_lines_in_a_file_that_is_called_json_are_read(score):
    text = "".join(json.dumps(row) + "\n" for row in said("A", "B", "B", "B"))
    assert accuracy(score(text, name="said.json")) == 0.75 - 0.25


def test_scores_choose_the_highest_option(score):
    rows = [
        {"id": "q0", "scores": [0.5, 0.1, 0.2]},
        {"id": "q1", "scores": [-3, -1, -2]},
        {"id": "q2", "scores": [1, 1, 1]},
        {"id": "q3", "scores": [0, 1, 0]},
    ]
    assert accuracy(score(rows, benchmark="custom/multiple_choice_likelihood")) == 0.5


def test_the_order_of_predictions_does_not_matter(score):
    rows = said("A", "B", "A", "B")
    assert score(rows).samples == score(rows[::-1]).samples


def test_the_same_texts_get_the_same_score_from_a_model(score, data, host, tmp_path):
    spec = load_benchmark("custom/multiple_choice", [f"data.path={data}"])
    result, samples = evaluate(host("tiny_llama"), spec, progress=False)
    rows = [{"id": sample.id, "answer": sample.prediction} for sample in samples]
    done = score(rows)
    assert done.result.metrics == result.metrics
    assert done.samples == samples
    assert not rank_together(done.result, result)  # nobody knows how they were made


def test_what_a_result_says_of_a_file(score):
    result, _ = score(said(*"AAAA"), name="their_model.jsonl")
    assert result.model.name.endswith("their_model.jsonl")
    assert result.protocol.ranking_key.coverage == "full"
    assert result.protocol.ranking_key.decoding == "unknown: predictions made elsewhere"
    assert score(said(*"AAAA"), name="theirs.jsonl").result.model.weights is None
    assert result.seconds >= 0


def test_a_policy_replaces_the_extraction(score):
    rows = said("A", "dog", "bird", "cat")
    assert accuracy(score(rows)) == 1.0
    done = score(rows, policy="option")
    assert accuracy(done) == 0.75
    assert done.result.protocol.ranking_key.extraction == "option"
    with pytest.raises(UnknownNameError, match=r"unknown extraction 'option_'. Did you mean"):
        score(rows, policy="option_")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (said("A", "B", "C"), r"1 of 4 records have no prediction \(q3\): .*--partial"),
        (
            [*said("A", "B", "C", "A"), {"id": "q33", "answer": "A"}],
            r"1 prediction has no record \(q33; is 'q3' meant\?\)",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_unless_partial(score, rows, message):
    with pytest.raises(EvaluationError, match=message):
        score(rows)
    done = score(rows, partial=True)
    missing = len(rows) < 4
    assert done.result.metrics[0].n == (3 if missing else 4)
    assert done.result.protocol.ranking_key.coverage == "limited"


def test_two_predictions_for_one_record_are_refused(score):
    with pytest.raises(EvaluationError, match="2 predictions have the id 'q0'; keep one"):
        score([*said("A", "B", "C", "A"), *said("B")], partial=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"answer": "A"}], r"row 1: found no `id`; there is: answer"),
        ([{"id": 1.0, "answer": "A"}], r"row 1: `id` is 1.0, expected a text or a whole number"),
        ([{"image_id": 1.0, "caption": "A"}], r"row 1: `image_id` is 1.0, expected a text or a"),
        ([{"id": None, "answer": "A"}], r"row 1: `id` is None"),
        ([{"id": "q0", "answer": True}], "expected one of"),
        ([{"id": "q0", "choice": False}], "expected one of"),
        ([{"id": "q0"}], r"row 1 \(id q0\): expected one of `answer`"),
        ([{"id": "q0", "answer": "A", "scores": [1]}], "expected one of"),
        ([{"id": "q0", "scores": ["a"]}], "expected one of"),
        (["A"], "row 1: found str, expected an object"),
        ({"q0": "A"}, r'found dict, expected rows such as \{"id": "1", "answer": "B"\}'),
        ([{"id": "q0", "scores": [1, 2, 3]}], r"prediction q0: found `scores`, expected `answer`"),
    ],
)
def test_rows_of_another_form_are_named(score, rows, message):
    with pytest.raises(EvaluationError, match=message) as error:
        score(rows, name="said.json", partial=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, 2.0], "record q0: found 2 scores, expected 3, one for each option"),
        ([1.0, float("nan"), 0.0], "record q0: the scores are .*NaN or infinite"),
        ([1.0, 10**400, 0.0], "record q0: the scores are .*NaN or infinite"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(score, scores, message):
    rows = [{"id": "q0", "scores": scores}]
    with pytest.raises(EvaluationError, match=message):
        score(rows, benchmark="custom/multiple_choice_likelihood", partial=True)


@pytest.mark.parametrize("benchmark", ["custom/multiple_choice", "custom/vqa"])
def test_the_right_answer_beside_a_prediction_is_never_scored(score, benchmark):
    """A file of samples holds both; taken as `answer`, everybody would be right."""
    done = score(said(*"AAAA"))
    rows = [sample.model_dump(mode="json") for sample in done.samples]
    with pytest.raises(EvaluationError, match=r"row 1 has `answer` and `prediction`: keep what"):
        score(rows, benchmark=benchmark)


def test_a_policy_for_parts_of_a_file_needs_such_a_file(score):
    with pytest.raises(EvaluationError, match="--policy outputs chooses a part of an official"):
        score(said(*"AAAA"), policy="outputs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "q0", "answer": "A", "answer": "B"}\n', r"said.jsonl, line 1: .* key 'answer' tw"),
        ("[" * 100_000, "too deep"),
        ('{"id": "q0", "choice": ' + "1" * 5000 + "}", "thousands of digits"),
    ],
)
def test_json_that_loses_or_breaks_something_is_refused(score, text, message):
    with pytest.raises(EvaluationError, match=message) as error:
        score(text, partial=True)
    assert "\n" not in str(error.value)


def test_marks_that_windows_writes_do_not_matter(score):
    text = "\ufeff" + "".join(json.dumps(row) + "\r\n" for row in said("A", "B", "B", "B"))
    assert accuracy(score(text.encode())) == 0.5


def test_a_half_written_line_is_named(score):
    text = json.dumps(said("A")[0]) + "\n" + json.dumps(said("A")[0])[:9]
    with pytest.raises(EvaluationError, match="line 2 is cut off or no JSON"):
        score(text)


@pytest.mark.parametrize("content", [b'{"id":', b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(score, content):
    with pytest.raises(EvaluationError, match=r"said\.json (is cut off|cannot be read)"):
        score(content, name="said.json")


def test_a_file_that_is_not_there_is_named(data, tmp_path):
    spec = load_benchmark("custom/multiple_choice", [f"data.path={data}"])
    with pytest.raises(EvaluationError, match=r"--predictions: .*gone.json cannot be read"):
        score_predictions(tmp_path / "gone.json", spec)


def test_a_policy_of_texts_needs_texts(score):
    rows = [{"id": f"q{number}", "scores": [3, 2, 1]} for number in range(4)]
    with pytest.raises(
        EvaluationError, match=r"--policy bogus says how texts are read, and the fi"
    ):
        score(rows, policy="bogus")
    with pytest.raises(EvaluationError, match=r"holds scores or indices: leave it out$"):
        score([{"id": "q0", "choice": 1}], policy="option", partial=True)
    with pytest.raises(EvaluationError, match=r"4 of 4 records have no prediction"):
        score([], policy="option")
