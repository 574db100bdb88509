import pytest
from PIL import Image

from vlft.data.records import Conversation, ImageRef, Pair
from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.driver import predict
from vlft.evaluation.metrics import wilson
from vlft.evaluation.scorers.question_answering import score
from vlft.results import Sample
from vlft.types import Message


def record(number, answer="red", **meta):
    turns = (
        Message("user", (0, "what color ", "is it?")),
        Message("assistant", (answer,)),
    )
    image = ImageRef(draw=lambda: Image.new("RGB", (8, 8), (number, 0, 0)))
    return Conversation(f"r{number}", turns, (image,), meta)


def sample(number, prediction, answer, group="a", options=None):
    extra = {} if options is None else {"options": options}
    return Sample(id=f"r{number}", group=group, prediction=prediction, answer=answer, extra=extra)


def test_the_prompt_is_all_before_the_answer(questions, answers):
    model = answers(lambda prompt: " Red. ")
    spec = questions.model_copy(update={"group_by": "kind"})
    meta = {"kind": "color", "options": ("red", "blue")}
    (found,) = predict(model, [record(7, **meta)], spec).samples
    (asked,) = model.asked
    assert asked.messages == (Message("user", (0, "what color ", "is it?")),)
    assert asked.images[0].getpixel((0, 0)) == (7, 0, 0)
    assert found == Sample(
        id="r7",
        group="color",
        prediction=" Red. ",
        answer="red",
        extra={"question": "what color is it?", "options": ["red", "blue"]},
    )


def test_samples_keep_the_order_of_the_records(questions, answers):
    model = answers(lambda prompt: str(prompt.images[0].getpixel((0, 0))[0]))
    spec = questions.model_copy(update={"group_by": None})
    records = [record(3), record(1), record(2)]
    samples = predict(model, records, spec, batch_size=2).samples
    found = [(one.id, one.prediction, one.group) for one in samples]
    assert found == [("r3", "3", None), ("r1", "1", None), ("r2", "2", None)]


def test_accuracy_is_counted_over_all_and_per_group(questions):
    samples = [
        sample(0, "Red.", "red", "color", ["red", "blue"]),
        sample(1, "blue", "red", "color", ["red", "blue"]),
        sample(2, "left", "left", "relation", ["left", "right", "above", "below"]),
        sample(3, "zebra", "left", "relation", ["left", "right", "above", "below"]),
    ]
    scored = score(samples, questions)
    accuracy, stray = scored.metrics
    assert [one.score for one in scored.samples] == [1, 0, 1, 0]
    assert (accuracy.name, accuracy.value, accuracy.n) == ("accuracy", 0.5, 4)
    assert accuracy.interval == wilson(2, 4)
    assert accuracy.chance == (0.5 + 0.5 + 0.25 + 0.25) / 4
    assert (stray.name, stray.value, stray.direction) == ("not_an_option", 0.25, "lower")
    chances = {name: metric.chance for name, (metric,) in scored.groups.items()}
    assert chances == {"color": 0.5, "relation": 0.25}


def test_chance_is_not_claimed_where_options_are_unknown(questions):
    scored = score([sample(0, "a", "a"), sample(1, "b", "b", options=["a", "b"])], questions)
    assert [(metric.name, metric.chance) for metric in scored.metrics] == [("accuracy", None)]


def test_scoring_again_changes_nothing(questions):
    samples = [sample(0, "red", "red"), sample(1, "blue", "red")]
    once = score(samples, questions)
    assert score(once.samples, questions) == once


def test_without_samples_there_is_no_number(questions):
    with pytest.raises(EvaluationError, match="no samples"):
        score([], questions)


def test_the_benchmark_must_bound_the_answers(questions, answers):
    spec = questions.model_copy(update={"max_new_tokens": None})
    with pytest.raises(EvaluationError, match="needs `max_new_tokens`"):
        list(predict(answers(lambda prompt: "red"), [record(0)], spec).samples)


@pytest.mark.parametrize("change", ["no answer", "a pair"])
def test_a_record_that_does_not_end_with_an_answer_is_named(questions, answers, change):
    bad = record(5)
    if change == "a pair":
        bad = Pair("r5", bad.images[0], "a text")
    else:
        bad = Conversation("r5", bad.messages[:1], bad.images)
    with pytest.raises(EvaluationError, match="record r5: expected a conversation that ends"):
        list(predict(answers(lambda prompt: "red"), [bad], questions).samples)


def test_a_group_that_a_record_does_not_name_is_an_error(questions, answers):
    with pytest.raises(EvaluationError, match="record r5: no 'question_type' in its meta"):
        list(predict(answers(lambda prompt: "red"), [record(5)], questions).samples)


def test_a_prediction_that_is_no_text_is_named(questions):
    with pytest.raises(EvaluationError, match=r"sample r0: prediction 3 .* must be text"):
        score([sample(0, 3, "red")], questions)


@pytest.mark.parametrize("field", ["prompt_format", "extraction"])
def test_unknown_policies_are_named(questions, answers, field):
    spec = questions.model_copy(update={field: "plane", "group_by": None})
    with pytest.raises(UnknownNameError, match=f"unknown {field} 'plane'"):
        score(list(predict(answers(lambda prompt: "red"), [record(0)], spec).samples), spec)
