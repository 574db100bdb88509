"""MMRA: what is asked, what counts as right, and the four averages."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from vlft.backbones import build
from vlft.data import open_dataset
from vlft.data.readers.mmra import SUBTASKS
from vlft.data.records import Conversation, ImageRef
from vlft.data.scenes.layouts import write_layout
from vlft.disk import CACHE
from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.capabilities import capabilities_of
from vlft.evaluation.driver import evaluate, predict, score_samples
from vlft.evaluation.places import placed
from vlft.evaluation.predictions import score_predictions
from vlft.evaluation.scorers.mmra import ask, ask_likelihood, from_choice, from_scores, from_text
from vlft.recipe.backbone import ImageTextToText
from vlft.recipe.data.benchmarks import Mmra
from vlft.results import Sample
from vlft.types import Generates, Likelihood, Message, Scores

FOUR = ["left", "right", "above", "below"]


def spec_of(name="images_question", **changes):
    return load_benchmark(f"mmra/{name}").model_copy(update=changes)


def picture(number):
    return ImageRef(draw=lambda: Image.new("RGB", (8, 8), (number, 0, 0)))


def question(number, answer, options=None, subtask="LayOut"):
    """Ask about images 2n and 2n + 1; without options, yes or no."""
    meta = {
        "subtask": subtask,
        "level": SUBTASKS[subtask].level,
        "kind": "choice" if options else "yes_no",
        "options": options or ["Yes", "No"],
    }
    turns = (Message("user", (0, 1, f"question {number}?")), Message("assistant", (answer,)))
    images = (picture(2 * number), picture(2 * number + 1))
    return Conversation(str(number), turns, images, meta)


RECORDS = [
    question(0, "A", FOUR, "RelativePosition"),
    question(1, "D", FOUR, "RelativePosition"),
    question(2, "B", ["a", "b", "c"], "AppearanceSimilarity"),
    question(3, "Yes", None, "NearSameEntity"),
    question(4, "No", None, "SubEvent"),
    question(5, "A", ["1", "2", "same"], "Environments"),
    question(6, "C", FOUR, "ObservationAngle"),
    question(7, "No", None, "LayOut"),
]
RIGHT = {int(record.id): record.messages[-1].content[0] for record in RECORDS}


def number_of(prompt):
    return int(text_of(prompt).partition("question ")[2].partition("?")[0])


def text_of(prompt):
    return "".join(part for part in prompt.messages[-1].content if isinstance(part, str))


class Prefers:
    """Scores a continuation by a function of the prompt and the text."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def score(self, prompts, continuations):
        self.asked += prompts
        return [
            tuple(Likelihood(float(self.value(prompt, text)), 1) for text in texts)
            for prompt, texts in zip(prompts, continuations, strict=True)
        ]


def run(spec, model, records=RECORDS, batch=3):
    return score_samples(predict(model, records, spec, batch_size=batch).samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


ORACLE = Prefers(lambda prompt, text: -1.0 if text == RIGHT[number_of(prompt)] else -2.0)


# right and wrong


def test_an_oracle_gets_all_in_both_ways(answers):
    spoken = answers(lambda prompt: RIGHT[number_of(prompt)])
    for spec, model in ((spec_of(), ORACLE), (spec_of("generate"), spoken)):
        found = run(spec, model)
        assert values(found) == {
            "accuracy": 1,
            "macro_accuracy": 1,
            "entity_accuracy": 1,
            "image_accuracy": 1,
            "unparsed": 0,
        }
        assert found.metrics[0].n == 8
        assert found.notes == ()


def test_a_model_without_preference_gets_the_share_of_the_first_answer():
    found = run(spec_of(), Prefers(lambda prompt, text: -1.0))
    first = sum(answer in ("A", "Yes") for answer in RIGHT.values())
    assert values(found)["accuracy"] == first / 8
    (note,) = found.notes
    assert note == "8 samples have equal highest values: the first of these options is taken"


def test_chance_follows_from_the_options():
    accuracy, macro, entity, image, unparsed = run(spec_of(), ORACLE).metrics
    assert accuracy.chance == pytest.approx((3 / 4 + 2 / 3 + 3 / 2) / 8)
    assert macro.chance == pytest.approx(
        (1 / 4 + 1 / 3 + 1 / 2 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 2) / 7
    )
    assert entity.chance == pytest.approx((1 / 4 + 1 / 4 + 1 / 3 + 1 / 2) / 4)
    assert image.chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 2) / 4)
    assert (unparsed.chance, unparsed.direction) == (None, "lower")


def test_the_averages_of_hand_made_answers(answers):
    said = {0: "A", 1: "(D).", 2: "C", 3: "yes!", 4: "Yes", 5: "no idea", 6: "", 7: "NO"}
    found = run(spec_of("generate"), answers(lambda prompt: said[number_of(prompt)]))
    assert [sample.score for sample in found.samples] == [1, 1, 0, 1, 0, 0, 0, 1]
    assert values(found) == pytest.approx(
        {
            "accuracy": 4 / 8,
            "macro_accuracy": (1 + 0 + 1 + 0 + 0 + 0 + 1) / 7,
            "entity_accuracy": 3 / 4,
            "image_accuracy": 1 / 4,
            "unparsed": 2 / 8,
        }
    )
    assert [sample.extra["read_as"] for sample in found.samples] == [
        *("A", "D", "C", "yes", "Yes", None, None, "NO")
    ]
    groups = {name: (metric.value, metric.n) for name, (metric,) in found.groups.items()}
    assert groups["RelativePosition"] == (1, 2)
    assert groups["SubEvent"] == (0, 1)


def test_subtasks_and_levels_partition_the_rows():
    found = run(spec_of(), ORACLE)
    by_name = {metric.name: metric for metric in found.metrics}
    assert sum(metric.n for (metric,) in found.groups.values()) == by_name["accuracy"].n == 8
    assert by_name["entity_accuracy"].n + by_name["image_accuracy"].n == 8
    assert found.groups.keys() <= SUBTASKS.keys()


def test_a_part_of_one_level_has_no_number_for_the_other():
    assert "image_accuracy" not in values(run(spec_of(), ORACLE, RECORDS[:3]))


COUNTS = dict(zip(SUBTASKS, (81, 99, 89, 106, 90, 63, 90, 90, 90, 100, 126), strict=True))
PRINTED = (43.21, 65.66, 50.56, 30.19, 42.22, 42.86, 35.56, 31.11, 52.22, 50.00, 11.91)


def test_a_published_row_is_the_micro_mean_over_1024_rows():
    """Qwen2-7B-Chat, question only (imgs/main_result.png): its counts of right answers."""
    spec, samples = spec_of("question_only"), []
    for (subtask, count), printed in zip(COUNTS.items(), PRINTED, strict=True):
        for row in range(count):
            answer = "A" if row < round(count * printed / 100) else "B"
            record = question(len(samples), answer, FOUR, subtask)
            samples.append(from_choice(record, 0, spec))
    found = score_samples(samples, spec)
    assert found.metrics[0].n == 1024
    assert round(100 * values(found)["accuracy"], 2) == 40.43
    assert round(100 * values(found)["macro_accuracy"], 2) == 41.41
    shares = [100 * found.groups[subtask][0].value for subtask in SUBTASKS]
    assert shares == pytest.approx(PRINTED, abs=0.006)


def test_an_empty_output_is_wrong_under_every_policy(answers):
    record = question(0, "D", FOUR)
    for policy in ("mmra", "mmra_options"):
        found = run(spec_of("generate", extraction=policy), answers(lambda p: " "), [record])
        assert (values(found)["accuracy"], values(found)["unparsed"]) == (0, 1)


def test_texts_of_options_count_under_the_other_policy(answers):
    record = question(0, "D", FOUR)
    for policy, value in (("mmra", 0), ("mmra_options", 1)):
        spec = spec_of("generate", extraction=policy)
        assert values(run(spec, answers(lambda p: "it is below"), [record]))["accuracy"] == value


def test_an_unknown_policy_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"extraction 'mmr'\. Did you mean 'mmra'\?"):
        run(spec_of(extraction="mmr"), ORACLE)


# what is asked


def test_both_images_come_first_and_in_their_order():
    model = Prefers(lambda prompt, text: 0.0)
    run(spec_of(), model, RECORDS[2:3])
    (prompt,) = model.asked
    ((first, second, text),) = (message.content for message in prompt.messages)
    assert [prompt.images[place].getpixel((0, 0))[0] for place in (first, second)] == [4, 5]
    assert text.startswith("question 2?\nA. a\nB. b\nC. c\n")


def test_swapped_images_are_another_request():
    record = RECORDS[0]
    swapped = replace(record, images=record.images[::-1])
    for name, asking, via in (
        ("images_question", ask_likelihood, Scores),
        ("generate", ask, Generates),
    ):
        one, other = asking([record, swapped], spec_of(name), via)
        assert [image.getpixel((0, 0))[0] for image in one.asked.open().images] == [0, 1]
        assert [image.getpixel((0, 0))[0] for image in other.asked.open().images] == [1, 0]
    stored = [ImageRef(data=bytes([n])) for n in (1, 2)]
    keys = {
        request.key
        for request in ask_likelihood(
            [replace(record, images=tuple(refs)) for refs in (stored, stored[::-1])],
            spec_of(),
            Scores,
        )
    }
    assert len(keys) == 2


def test_without_images_the_text_is_the_same():
    seen, blind = (Prefers(lambda prompt, text: 0.0) for _ in range(2))
    run(spec_of(), seen)
    run(spec_of("question_only"), blind)
    assert all(len(prompt.images) == 2 for prompt in seen.asked)
    assert not any(prompt.images for prompt in blind.asked)
    assert sorted(map(text_of, blind.asked)) == sorted(map(text_of, seen.asked))


def test_what_is_compared_are_letters_or_yes_and_no():
    three, yes_no = ask_likelihood([RECORDS[2], RECORDS[3]], spec_of(), Scores)
    assert three.continuations == ("A", "B", "C")
    assert yes_no.continuations == ("Yes", "No")


def test_another_order_of_options_means_nothing_to_a_model_that_is_blind_to_letters():
    def likes(prompt, letter):
        lines = dict(line.split(". ", 1) for line in text_of(prompt).split("\n") if ". " in line)
        return random.Random(f"{number_of(prompt)} {lines[letter]}").random()

    draw = random.Random(5)
    records, shuffled = [], []
    for number in range(60):
        order = draw.sample(FOUR, 4)
        gold = draw.choice(FOUR)
        records.append(question(number, "ABCD"[FOUR.index(gold)], FOUR))
        shuffled.append(question(number, "ABCD"[order.index(gold)], order))
    one, other = (run(spec_of(), Prefers(likes), some) for some in (records, shuffled))
    assert [sample.score for sample in one.samples] == [sample.score for sample in other.samples]
    assert one.metrics == other.metrics
    assert 0 < values(one)["accuracy"] < 1


def test_the_order_of_records_and_the_batches_change_no_number():
    model = Prefers(lambda prompt, text: ord(text[0]) * (number_of(prompt) + 3) % 7)
    one = run(spec_of(), model)
    other = run(spec_of(), model, random.Random(0).sample(RECORDS, 8), batch=5)
    assert one.metrics == other.metrics
    assert one.groups == other.groups


def test_ones_own_templates_are_asked_and_noted(tmp_path, answers):
    path = tmp_path / "templates.json"
    shown = {
        "four_options": "four   {question} {A} {B} {C} {D} ",
        "three_options": "three {question} {A} {B} {C}",
        "yes_no": "yes or no {question}",
    }
    path.write_text(json.dumps(shown))
    overrides = ["prompt_format=template", f"settings.template={path}"]
    spec = load_benchmark("mmra/generate", overrides)
    assert spec.settings["input"] == "images_question"
    model = answers(lambda prompt: RIGHT[number_of(prompt)])
    found = run(spec, model)
    texts = {number_of(prompt): text_of(prompt) for prompt in model.asked}
    assert texts[0] == "four   question 0? left right above below "
    assert texts[2] == "three question 2? a b c"
    assert texts[3] == "yes or no question 3?"
    assert values(found)["accuracy"] == 1
    (note,) = found.notes
    assert (
        note == f"prompts: the user's templates with the hash {found.samples[0].extra['template']}"
    )


def test_settings_that_do_not_exist_name_the_nearest():
    with pytest.raises(EvaluationError, match=r"settings: unknown field 'inputs'\. Did you mean"):
        run(spec_of(settings={"inputs": "question_only"}), ORACLE)
    with pytest.raises(EvaluationError, match=r"settings\.input = 'IQ': Input should be"):
        run(spec_of(settings={"input": "IQ"}), ORACLE)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (replace(RECORDS[0], meta={}), r"record 0: no `subtask` in its meta: .*data\.type: mmra"),
        (replace(RECORDS[0], messages=RECORDS[0].messages[:1]), r"record 0: expected a conv"),
    ],
)
def test_other_records_are_named(record, message):
    with pytest.raises(EvaluationError, match=message):
        run(spec_of(), ORACLE, [record])


def test_other_samples_are_named():
    sample = Sample(id="7", prediction="A", answer="A")
    with pytest.raises(EvaluationError, match=r"sample 7: expected `subtask` in `extra`"):
        score_samples([sample], spec_of())
    with pytest.raises(EvaluationError, match=r"no samples"):
        score_samples([], spec_of())


# predictions made elsewhere


@pytest.mark.parametrize("name", ["images_question", "question_only", "generate"])
def test_all_forms_of_predictions_score_alike(name):
    spec = spec_of(name)
    by_text = [from_text(one, f"It is {RIGHT[int(one.id)]}.", spec) for one in RECORDS]
    places = [
        ("Yes", "No").index(RIGHT[int(one.id)])
        if one.meta["kind"] == "yes_no"
        else "ABCD".index(RIGHT[int(one.id)])
        for one in RECORDS
    ]
    by_choice = [from_choice(one, place, spec) for one, place in zip(RECORDS, places, strict=True)]
    by_scores = [
        from_scores(one, [float(n == place) for n in range(len(one.meta["options"]))], spec)
        for one, place in zip(RECORDS, places, strict=True)
    ]
    for samples in (by_text, by_choice, by_scores):
        assert values(score_samples(samples, spec))["accuracy"] == 1
    assert score_samples(by_text, spec).metrics == score_samples(by_scores, spec).metrics


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda spec: from_choice(RECORDS[2], 3, spec), r"record 2: found choice 3, .* 0 to 2,"),
        (lambda spec: from_choice(RECORDS[3], -1, spec), r"expected 0 to 1, .* one of Yes, No"),
        (lambda spec: from_scores(RECORDS[3], [1.0], spec), r"found 1 scores, expected 2"),
        (lambda spec: from_scores(RECORDS[3], [1.0, float("nan")], spec), r"NaN or infinite"),
    ],
)  # fmt: skip
def test_predictions_that_do_not_fit_are_named(make, message):
    with pytest.raises(EvaluationError, match=message):
        make(spec_of())


# files


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """A data folder with MMRA's layout below it."""
    folder = tmp_path_factory.mktemp("data")
    write_layout("mmra", folder / "mmra", num_samples=44)
    return folder


@pytest.fixture
def small(monkeypatch, tmp_path_factory):
    """Load a benchmark on two scenes per subtask."""
    monkeypatch.setenv(CACHE, str(tmp_path_factory.getbasetemp() / "mmra_worlds"))

    def load(name):
        return load_benchmark(f"scenes/mmra_{name}", ["world.num_samples=22"])

    return load


def test_a_file_of_predictions_is_scored_by_row_numbers(layout, tmp_path):
    spec = spec_of(expected_n=44)
    records = open_dataset(placed(spec, str(layout)).data)
    rows = [{"id": one.id, "answer": one.messages[-1].content[0]} for one in records]
    rows[3]["answer"] = "?"
    path = tmp_path / "said.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result, samples = score_predictions(path, spec, data=str(layout))
    assert result.metrics[0].value == pytest.approx(43 / 44)
    assert {metric.name: metric.value for metric in result.metrics}["unparsed"] == 1 / 44
    assert result.protocol.ranking_key.coverage == "full"
    assert samples[3].score == 0
    assert score_samples(samples, spec).metrics == list(result.metrics)


def test_the_file_is_found_and_pins_the_data(layout):
    for given in (layout, layout / "mmra"):
        found = placed(spec_of(), str(given))
        assert found.data.path == str(layout / "mmra/data/train-*.parquet")
        assert found.dataset_revision.startswith("sha256-")
    found = placed(spec_of(), "hub:m-a-p/MMRA@1a2b")
    assert (found.data.path, found.dataset_revision) == ("hub:m-a-p/MMRA", "1a2b")


def test_missing_data_say_where_to_get_them(tmp_path):
    with pytest.raises(EvaluationError, match=r"looked for .*train-\*\.parquet.*m-a-p/MMRA"):
        placed(spec_of(), str(tmp_path))


def test_both_spellings_of_the_choice_type_score_alike(tmp_path):
    for number in (1, 2):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    row = {
        "Task": "LayOut", "question": "question 2?", "image1": "1.png", "image2": "2.png",
        "options": "{'A': 'a', 'B': 'b', 'C': 'c'}", "answer": "B",
    }  # fmt: skip
    path = tmp_path / "rows.jsonl"
    kinds = ("Choice QA", "Chooice QA")
    path.write_text("".join(f"{json.dumps(row | {'QA_type': kind})}\n" for kind in kinds))
    records = list(open_dataset(Mmra(type="mmra", path=str(path))))
    found = run(spec_of(), ORACLE, records)
    assert [sample.score for sample in found.samples] == [1, 1]
    assert Counter(sample.extra["kind"] for sample in found.samples) == {"choice": 2}


# hosts


@pytest.fixture(scope="module")
def qwen():
    return build(ImageTextToText(type="image_text_to_text", config="tiny_qwen2_5_vl"))


@pytest.mark.parametrize("name", ["images_question", "question_only", "generate"])
@pytest.mark.parametrize("family", ["tiny_llava", "tiny_qwen2_5_vl"])
def test_hosts_that_see_get_numbers(host, qwen, small, family, name):
    backbone = qwen if family == "tiny_qwen2_5_vl" else host(family)
    result, samples = evaluate(backbone, small(name), progress=False)
    assert result.status == "scored"
    assert [metric.name for metric in result.metrics][:2] == ["accuracy", "macro_accuracy"]
    assert {metric.n for metric in result.metrics if "_" not in metric.name} == {22}
    assert set(result.groups) == set(SUBTASKS)
    assert score_samples(samples, small(name)).metrics == list(result.metrics)


def test_images_and_their_order_change_the_values_of_a_host(lively, small):
    def found(name, change=lambda records: records):
        spec = placed(small(name))
        records = change(list(open_dataset(spec.data)))
        model = capabilities_of(lively("tiny_llava"))
        return [sample.extra["values"] for sample in predict(model, records, spec).samples]

    def swapped(records):
        return [replace(record, images=record.images[::-1]) for record in records]

    seen, blind = found("images_question"), found("question_only")
    assert seen != blind
    assert seen != found("images_question", swapped)
    assert blind == found("question_only", swapped)


def test_hosts_that_read_text_only_take_the_question_only(host, small):
    llama = host("tiny_llama")
    assert evaluate(llama, small("question_only"), progress=False).result.status == "scored"
    for name in ("images_question", "generate"):
        result = evaluate(llama, small(name), progress=False).result
        assert (result.status, result.reason) == ("not_applicable", "the host reads text only")


@pytest.mark.parametrize("name", ["images_question", "question_only", "generate"])
def test_hosts_that_embed_are_not_asked(host, small, name):
    result = evaluate(host("tiny_clip"), small(name), progress=False).result
    assert result.status == "not_applicable"
    assert "no capability" in str(result.reason)
