"""Scorers of one's own held-out sets: oracles get 1, constants chance, and order means nothing."""

import io
import random
from dataclasses import replace

import pytest
import torch
from PIL import Image

from vlft.data.records import Conversation, ImageRef, Labeled, Pair
from vlft.errors import EvaluationError, RecordError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import predict, score_samples
from vlft.types import Likelihood, Message

CUSTOM = (
    "vqa", "multiple_choice", "multiple_choice_likelihood", "pairs", "caption", "classification"
)  # fmt: skip


def spec_of(name, **changes):
    return load_benchmark(f"custom/{name}", ["data.path=mine.jsonl"]).model_copy(update=changes)


def picture(number):
    return ImageRef(draw=lambda: Image.new("RGB", (8, 8), (number, 0, 0)))


def asked(number, answer, question="what is it?", **meta):
    turns = (Message("user", (0, question)), Message("assistant", (answer,)))
    return Conversation(f"r{number}", turns, (picture(number),), meta)


def choice(number, answer, options):
    return asked(number, answer, options=options)


def pair(number, text, **meta):
    return Pair(f"r{number}", picture(number), text, meta)


def number_of(prompt):
    """The red of the image; -1 without an image."""
    return prompt.images[0].getpixel((0, 0))[0] if prompt.images else -1


def run(spec, model, records, batch=3):
    return score_samples(predict(model, records, spec, batch_size=batch).samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


class Prefers:
    """Scores a continuation by a function of the image's number and the text."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def score(self, prompts, continuations):
        self.asked += prompts
        return [
            tuple(
                Likelihood(float(self.value(number_of(prompt), text)), len(text)) for text in texts
            )
            for prompt, texts in zip(prompts, continuations, strict=True)
        ]


class Sees:
    """Embeds images and texts by functions to vectors."""

    def __init__(self, image, text):
        self.image, self.text = image, text

    def embed_images(self, images):
        return torch.tensor([self.image(one.getpixel((0, 0))[0]) for one in images])

    def embed_texts(self, texts):
        return torch.tensor([self.text(text) for text in texts])


# open questions


def test_vqa_gives_every_metric_of_hand_made_answers(answers):
    records = [asked(0, "red"), asked(1, "100"), asked(2, "red car"), asked(3, "stop")]
    said = {0: "Red.", 1: "104", 2: "car", 3: "shop"}
    found = run(spec_of("vqa"), answers(lambda prompt: said[number_of(prompt)]), records)
    assert values(found) == pytest.approx(
        {
            "exact_match": 1 / 4,
            "anls": (3 / 4 + 2 / 3 + 0 + 3 / 4) / 4,
            "relaxed_accuracy": 1 / 4,
            "token_f1": (1 + 0 + 2 / 3 + 0) / 4,
        }
    )
    assert [sample.score for sample in found.samples] == [1, 0, 0, 0]


def test_vqa_takes_any_accepted_answer(answers):
    record = asked(0, "sofa", answers=["sofa", "couch"])
    found = run(spec_of("vqa", metric="token_f1"), answers(lambda prompt: "a couch"), [record])
    assert values(found)["exact_match"] == 0
    assert values(found)["token_f1"] == 1
    assert found.metrics[0].name == "token_f1"
    assert found.samples[0].score == 1


def test_vqa_accuracy_is_there_with_ten_answers(answers):
    ten = ["two"] * 3 + ["2"] * 1 + ["3"] * 6
    records = [asked(0, "two", answers=ten), asked(1, "two", answers=ten[::-1])]
    found = run(spec_of("vqa", metric="vqa_accuracy"), answers(lambda prompt: "2"), records)
    assert values(found)["vqa_accuracy"] == pytest.approx(1.0)  # four of ten say two


def test_vqa_accuracy_without_ten_answers_is_refused(answers):
    with pytest.raises(EvaluationError, match=r"r0: vqa_accuracy needs 10 `answers` .* here are 1"):
        run(spec_of("vqa", metric="vqa_accuracy"), answers(lambda p: "2"), [asked(0, "two")])


def test_answers_that_are_no_texts_are_named(answers):
    with pytest.raises(EvaluationError, match=r"record r0: field `answers`: found 'sofa'"):
        run(spec_of("vqa"), answers(lambda p: "2"), [asked(0, "two", answers="sofa")])


def test_samples_of_another_scorer_are_named(answers):
    spec = spec_of("vqa")
    (sample,) = run(spec, answers(lambda p: "2"), [asked(0, "two")]).samples
    with pytest.raises(EvaluationError, match=r"sample r0: expected `answers` in `extra`"):
        score_samples([sample.model_copy(update={"extra": {}})], spec)


def test_a_short_answer_may_be_asked_for(answers):
    model = answers(lambda prompt: "red")
    run(spec_of("vqa", prompt_format="short_answer"), model, [asked(0, "red")])
    assert model.asked[0].messages[-1].content[-1].endswith("a single word or phrase.")


# questions with options


OPTIONS = ["cat", "dog", "bird", "fish"]


def test_options_are_shown_with_letters_and_the_letter_is_read(answers):
    model = answers(lambda prompt: "The answer is B.")
    found = run(spec_of("multiple_choice"), model, [choice(0, "dog", OPTIONS)])
    assert model.asked[0].messages[-1].content[-1].startswith("\nA. cat\nB. dog\nC. bird\nD. fish")
    assert values(found) == {"accuracy": 1.0, "unreadable": 0.0}
    assert found.metrics[0].chance == 0.25
    assert found.samples[0].extra["read_as"] == "dog"


def test_the_answer_may_be_recorded_as_a_letter(answers):
    records = [choice(0, "b", OPTIONS), choice(1, "D", OPTIONS)]
    found = run(spec_of("multiple_choice"), answers(lambda prompt: "dog"), records)
    assert values(found)["accuracy"] == 0.5


def test_an_output_that_says_no_option_is_wrong_and_counted(answers):
    records = [choice(0, "dog", OPTIONS), choice(1, "cat", OPTIONS)]
    said = {0: "I cannot tell", 1: "A"}
    model = answers(lambda prompt: said[number_of(prompt)])
    assert values(run(spec_of("multiple_choice"), model, records)) == {
        "accuracy": 0.5,
        "unreadable": 0.5,
    }


@pytest.mark.parametrize("name", ["multiple_choice", "multiple_choice_likelihood"])
def test_a_constant_letter_gets_chance(answers, name):
    draw = random.Random(4)
    records = [choice(n, draw.choice(OPTIONS), OPTIONS) for n in range(250)]
    model = answers(lambda p: "C") if name == "multiple_choice" else Prefers(lambda n, t: t == "C")
    accuracy = run(spec_of(name), model, records).metrics[0]
    assert accuracy.chance == 0.25
    assert accuracy.interval.low < 0.25 < accuracy.interval.high


@pytest.mark.parametrize("shown", ["lettered", "as_recorded"])
def test_the_likeliest_option_is_the_answer(shown):
    records = [choice(n, OPTIONS[n], OPTIONS) for n in range(4)]
    wanted = {n: "ABCD"[n] if shown == "lettered" else OPTIONS[n] for n in range(4)}
    model = Prefers(lambda n, text: -1.0 if text == wanted[n] else -2.0)
    spec = spec_of("multiple_choice_likelihood", prompt_format=shown)
    found = run(spec, model, records)
    assert values(found) == {"accuracy": 1.0, "unreadable": 0.0}
    assert found.samples[2].extra["log_likelihoods"] == [-2, -2, -1, -2]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (asked(0, "dog"), r"no `options` in its meta, expected a list of texts; there is: nothing"),
        (choice(0, "horse", OPTIONS), r"the answer 'horse' must be one of"),
        (choice(0, "F", OPTIONS), r"the answer 'F' must be one of"),
        (choice(0, "cat", ["cat", "Cat"]), r"must be one of at most 26 different options"),
        (choice(0, "cat", "cat"), r"field `options`: found 'cat', expected a list"),
    ],
)
def test_bad_options_are_named(answers, record, message):
    with pytest.raises(EvaluationError, match=f"record r0: .*{message}|record r0: {message}"):
        run(spec_of("multiple_choice"), answers(lambda p: "A"), [record])


def test_a_question_that_shows_its_options_is_left_as_it_is(answers):
    shown = "what?\nA. cat\nB. dog\nAnswer with the letter."
    record = asked(0, "B", question=shown, options=["cat", "dog"])
    model = answers(lambda prompt: "B")
    assert values(run(spec_of("multiple_choice"), model, [record]))["accuracy"] == 1
    assert model.asked[0].messages[-1].content == (0, shown)


# captions with wrong ones


def one_hot(place, size=6):
    return [float(place == other) for other in range(size)]


RIGHT_AND_WRONG = [
    pair(0, "a cat", negative="a dog"),
    pair(1, "a dog", negatives=["a cat", "a bird"]),
    pair(2, "a bird", negatives=["a cat"]),
]
ORDER = ["a cat", "a dog", "a bird"]


@pytest.mark.parametrize("kind", ["embeds", "scores"])
def test_an_oracle_of_pairs_gets_one_on_both_kinds_of_host(kind):
    model = {
        "embeds": Sees(one_hot, lambda text: one_hot(ORDER.index(text))),
        "scores": Prefers(lambda n, text: 0.0 if ORDER.index(text) == n else -3.0),
    }[kind]
    found = run(spec_of("pairs"), model, RIGHT_AND_WRONG, batch=2)
    # Without the image all have -3, which counts against the model; of six letters each has -3/6.
    blind = {"accuracy_no_image": 0.0, "accuracy_per_token_no_image": pytest.approx(1 / 3)}
    asked = {"accuracy": 1.0, "accuracy_per_token": 1.0} | blind
    assert values(found) == (asked if kind == "scores" else {"accuracy": 1.0})
    assert found.metrics[0].chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert [sample.prediction for sample in found.samples] == ORDER


def test_a_collapsed_model_gets_nothing_or_all_by_the_tie_rule():
    flat = Sees(lambda n: one_hot(0), lambda text: one_hot(0))
    assert values(run(spec_of("pairs"), flat, RIGHT_AND_WRONG)) == {"accuracy": 0.0}
    lenient = spec_of("pairs", tie_rule="for_model")
    assert values(run(lenient, flat, RIGHT_AND_WRONG)) == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (pair(0, "a cat"), r"no wrong caption: expected `negative` .* there is: nothing"),
        (pair(0, "a cat", negative="  "), r"no wrong caption"),
        (pair(0, "a cat", negative="a cat"), r"the right caption is among its negatives"),
        (pair(0, "a cat", negatives=[]), r"field `negatives`: found \[\]"),
        (asked(0, "a cat"), r"expected an image-text pair with `negatives`"),
    ],
)
def test_bad_pairs_are_named(record, message):
    with pytest.raises(EvaluationError, match=f"record r0: {message}"):
        run(spec_of("pairs"), Prefers(lambda n, t: 0.0), [record])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("name", ["pairs", "multiple_choice_likelihood"])
def test_what_cannot_be_compared_is_refused(name, value):
    record = RIGHT_AND_WRONG[0] if name == "pairs" else choice(0, "dog", OPTIONS)
    with pytest.raises(EvaluationError, match=r"record r0: the scores are \[.*NaN or infinite"):
        run(spec_of(name), Prefers(lambda n, text: value), [record])


# captions


def test_captions_of_conversations_and_pairs_are_compared(answers):
    records = [asked(0, "a black cat"), pair(1, "a white dog"), pair(2, "x", answers=["a b", "b"])]
    said = {0: "A black cat.", 1: "a dog", 2: "b"}
    model = answers(lambda prompt: said[number_of(prompt)])
    found = run(spec_of("caption"), model, records)
    recall, squared = 2 / 3, 1.2**2
    dog = (1 + squared) * recall / (recall + squared)
    assert values(found) == pytest.approx(
        {"rouge_l": (1 + dog + 1) / 3, "exact_match": 2 / 3, "words": (3 + 2 + 1) / 3}
    )
    assert model.asked[1].messages == (Message("user", (0, "Describe the image.")),)


def test_a_caption_that_is_missing_is_named(answers):
    with pytest.raises(EvaluationError, match="record r0: the caption is empty"):
        run(spec_of("caption"), answers(lambda p: "x"), [asked(0, " ")])


# classes


class Head:
    """Classifies by a function of an image's number to logits."""

    def __init__(self, classes, logits):
        self.classes, self.logits = classes, logits

    def classify(self, images):
        return torch.tensor([self.logits(one.getpixel((0, 0))[0]) for one in images])


CLASSES = ("cat", "dog", "bird", "fish", "red_fox", "hen")
LABELED = [Labeled(f"r{n}", picture(n), CLASSES[n % 6]) for n in range(12)]


def test_a_classifier_is_judged_by_its_own_classes():
    oracle = Head(CLASSES, lambda n: one_hot(n % 6))
    found = run(spec_of("classification"), oracle, LABELED)
    assert values(found) == {"accuracy": 1.0, "top_5_accuracy": 1.0}
    assert [metric.chance for metric in found.metrics] == pytest.approx([1 / 6, 5 / 6])
    second = Head(CLASSES, lambda n: [2.0 * (c == (n + 1) % 6) + (c == n % 6) for c in range(6)])
    found = run(spec_of("classification"), second, LABELED)
    assert values(found) == {"accuracy": 0.0, "top_5_accuracy": 1.0}
    assert found.samples[0].prediction == "dog"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("photo", "a photo of a red fox."),
        ("label", "red fox"),
        ("one {label} here", "one red fox here"),
    ],
)
def test_zero_shot_takes_the_class_of_the_nearest_text(shown, text):
    seen = []

    def embed(written):
        seen.append(written)
        return one_hot(
            next(c for c, name in enumerate(CLASSES) if name.replace("_", " ") in written)
        )

    model = Sees(lambda n: one_hot(n % 6), embed)
    found = run(spec_of("classification", prompt_format=shown), model, LABELED)
    assert values(found)["accuracy"] == 1.0
    assert text in seen
    assert len(seen) == len(CLASSES)


def test_zero_shot_chooses_among_given_labels():
    model = Sees(lambda n: one_hot(0), lambda text: one_hot(len(text) % 6))
    spec = spec_of("classification", labels=("cat", "dog", "mule", "horse"))
    found = run(spec, model, LABELED[:2])
    assert found.metrics[0].chance == 0.25
    assert [metric.name for metric in found.metrics] == ["accuracy"]


def test_labels_that_are_listed_twice_are_refused():
    model = Sees(lambda n: one_hot(0), lambda text: one_hot(0))
    spec = spec_of("classification", labels=("cat", "dog", "cat"))
    with pytest.raises(EvaluationError, match=r"labels: 'cat' is listed twice"):
        run(spec, model, LABELED[:2])


def test_a_collapsed_classifier_gets_nothing():
    flat = Head(CLASSES, lambda n: [1.0] * 6)
    assert values(run(spec_of("classification"), flat, LABELED))["accuracy"] == 0


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            Labeled("r0", picture(0), "birds"),
            r"unknown class 'birds'\. Did you mean 'bird'\? Avail",
        ),
        (pair(0, "a cat"), r"expected an image with a label \(data\.type: classification\)"),
    ],
)
def test_a_label_that_is_no_class_is_named(record, message):
    with pytest.raises(EvaluationError, match=f"record r0: {message}"):
        run(spec_of("classification"), Head(CLASSES, lambda n: one_hot(n)), [record])


# all of them


@pytest.mark.parametrize("name", CUSTOM)
def test_the_order_of_records_and_the_batches_change_no_number(answers, name):
    records = {
        "vqa": [asked(n, f"answer {n % 3}") for n in range(12)],
        "pairs": [
            pair(n, f"text {n}", negatives=[f"other {n}", f"text {n + 1}"]) for n in range(9)
        ],
        "caption": [asked(n, f"a text of {n % 5} words") for n in range(12)],
        "classification": LABELED,
    }.get(name, [choice(n, OPTIONS[n % 4], OPTIONS) for n in range(12)])
    model = {
        "pairs": Prefers(lambda n, text: -(len(text) * 7 % 5) - n / 100),
        "classification": Head(CLASSES, lambda n: one_hot(n * n % 6)),
        "multiple_choice_likelihood": Prefers(lambda n, text: -(ord(text[0]) * (n + 3) % 7)),
    }.get(name, answers(lambda prompt: ["A", "answer 1", "a text"][number_of(prompt) % 3]))
    shuffled = random.Random(0).sample(records, len(records))
    one, other = run(spec_of(name), model, records), run(spec_of(name), model, shuffled, batch=5)
    assert one.metrics == other.metrics
    by_id = {sample.id: sample for sample in other.samples}
    assert [by_id[sample.id] for sample in one.samples] == one.samples


@pytest.mark.parametrize("name", [*CUSTOM, "retrieval"])
def test_the_benchmark_says_how_large_an_image_may_be(answers, name):
    record, model = {
        "pairs": (RIGHT_AND_WRONG[0], Prefers(lambda n, text: 0.0)),
        "retrieval": (pair(0, "a cat"), Sees(lambda n: one_hot(0), lambda text: one_hot(0))),
        "classification": (LABELED[0], Head(CLASSES, lambda n: one_hot(0))),
        "multiple_choice_likelihood": (choice(0, "dog", OPTIONS), Prefers(lambda n, text: 0.0)),
    }.get(name, (choice(0, "dog", OPTIONS), answers(lambda prompt: "dog")))
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "PNG")
    ref = ImageRef(data=buffer.getvalue())
    change = {"images": (ref,)} if isinstance(record, Conversation) else {"image": ref}
    record = replace(record, **change)
    run(spec_of(name, max_image_pixels=1200), model, [record])
    with pytest.raises(RecordError, match=r"limit is 1,199; .*`max_image_pixels` of a benchmark"):
        run(spec_of(name, max_image_pixels=1199), model, [record])


def test_groups_carry_the_main_metric(answers):
    records = [asked(n, "red", topic="a" if n < 2 else "b") for n in range(4)]
    said = {0: "red", 1: "red", 2: "red", 3: "blue"}
    spec = spec_of("vqa", group_by="topic", metric="token_f1")
    found = run(spec, answers(lambda prompt: said[number_of(prompt)]), records)
    assert {name: (m.name, m.value) for name, (m,) in found.groups.items()} == {
        "a": ("token_f1", 1.0),
        "b": ("token_f1", 0.5),
    }
