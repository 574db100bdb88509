"""ScienceQA: an oracle gets one, a constant its share, and every way in agrees with the others."""

import json
import random
import re
import shutil

import pytest
from jaxtyping import config
from PIL import Image

from vlft.backbones import build
from vlft.data import open_dataset
from vlft.data.readers.scienceqa import ScienceQADataset
from vlft.disk import CACHE
from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import benchmark_names, load_benchmark
from vlft.evaluation.driver import evaluate, predict, score_samples
from vlft.evaluation.places import placed
from vlft.evaluation.predictions import score_predictions
from vlft.evaluation.scienceqa.breakdown import official_scores
from vlft.recipe.backbone import ImageTextToText
from vlft.recipe.data import ScienceQA
from vlft.recipe.data.benchmarks import GeneratedFiles
from vlft.types import Likelihood

VARIANTS = ("test", "test_official", "test_lmms_eval", "test_text_only", "test_caption")
"""Benchmarks that generate."""

EXAMPLES = ("6493", "16241")
"""Training problems that the official benchmark shows."""


def problem(number, split="test"):
    """A problem that its question names: of four in a row one has image and hint, one neither."""
    choices = [f"option {number} {letter}" for letter in "vwxyz"[: 2 + number % 4]]
    return {
        "question": f"Question {number} please?",
        "choices": choices,
        "answer": number * 7 % len(choices),
        "hint": f"Hint {number}." if number % 4 < 2 else "",
        "image": "image.png" if number % 2 else None,
        "task": "closed choice",
        "grade": f"grade{1 + number % 12}",
        "subject": ("natural science", "social science", "language science")[number % 3],
        "topic": ("biology", "geography", "verbs")[number % 3],
        "category": f"category {number % 2}",
        "skill": "skill",
        "lecture": f"Lecture {number}.",
        "solution": f"Solution {number}.",
        "split": split,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen test problems and two training problems in the official layout."""
    path = tmp_path_factory.mktemp("scienceqa")
    problems = {str(100 + number): problem(number) for number in range(16)}
    problems |= {key: problem(50 + place, "train") for place, key in enumerate(EXAMPLES)}
    captions = {}
    for key, fields in problems.items():
        if fields["image"]:
            image = path / "images" / fields["split"] / key / fields["image"]
            image.parent.mkdir(parents=True)
            Image.new("RGB", (8, 8), (int(key) % 255, 0, 0)).save(image)
            captions[key] = f"caption of {key}"
    tests = [key for key, fields in problems.items() if fields["split"] == "test"]
    splits = {"train": list(EXAMPLES), "test": tests, "minitest": tests[:2]}
    for name, content in [
        ("problems", problems), ("pid_splits", splits), ("captions", {"captions": captions})
    ]:  # fmt: skip
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def declared(name, **changes):
    changes = {"expected_n": 16, **changes}
    return load_benchmark(f"scienceqa/{name}").model_copy(update=changes)


@pytest.fixture
def small(folder):
    """Give a declared benchmark on the sixteen problems."""

    def load(name, **changes):
        return placed(declared(name, **changes), str(folder))

    return load


def records_of(spec):
    records = open_dataset(spec.data)
    return [records[index] for index in range(len(records))]


def run(spec, model, records=None, batch=4):
    records = records_of(spec) if records is None else records
    return score_samples(predict(model, records, spec, batch_size=batch).samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


def told(prompt):
    return prompt.messages[-1].content[-1]


def asked_about(prompt):
    """Return the problem that a prompt asks about: of several blocks the last one."""
    (*_, number) = re.findall(r"Question (\d+) please\?", told(prompt))
    return problem(int(number))


def right(prompt):
    return "ABCDE"[asked_about(prompt)["answer"]]


# asking


@pytest.mark.parametrize("name", VARIANTS)
def test_an_oracle_gets_one(answers, small, name):
    said = "The answer is {}." if name == "test_official" else "{}"
    found = run(small(name), answers(lambda prompt: said.format(right(prompt))))
    assert values(found) == {"accuracy": 1.0, "unparsed": 0.0}
    assert {metric.value for (metric,) in found.groups.values()} == {1.0}
    assert set(found.groups) >= {
        f"bin/{name}" for name in ("NAT", "LAN", "TXT", "IMG", "NO", "Avg")
    }
    assert any(name.startswith("topic/") for name in found.groups)
    assert found.metrics[1].direction == "lower"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_constant_letter_gets_its_share(answers, small, name):
    spec = small(name)
    said = "The answer is A." if name == "test_official" else "A"
    share = [problem(number)["answer"] == 0 for number in range(16)]
    found = run(spec, answers(lambda prompt: said))
    assert values(found)["accuracy"] == sum(share) / 16
    sizes = [len(record.meta["choices"]) for record in records_of(spec)]
    assert found.metrics[0].chance == pytest.approx(sum(1 / size for size in sizes) / 16)


def test_images_are_shown_dropped_or_told(answers, small):
    shown = {}
    for name in ("test", "test_text_only", "test_caption", "test_official"):
        model = answers(lambda prompt: "A")
        run(small(name), model)
        shown[name] = model.asked
    assert sum(len(prompt.images) for prompt in shown["test"]) == 8
    assert all(prompt.messages[0].content[0] == 0 for prompt in shown["test"] if prompt.images)
    for name in ("test_text_only", "test_caption", "test_official"):
        assert not any(prompt.images for prompt in shown[name])
    captions = [r.meta["caption"] for r in records_of(small("test_caption")) if r.images]
    assert len(captions) == 8
    for caption in captions:
        assert any(caption in told(prompt) for prompt in shown["test_caption"])
        assert not any(caption in told(prompt) for prompt in shown["test_text_only"])


def test_columns_count_an_image_that_is_not_shown(answers, small):
    found = {name: run(small(name), answers(lambda p: "A")) for name in ("test", "test_text_only")}
    assert found["test"].groups == found["test_text_only"].groups
    assert found["test_text_only"].groups["bin/IMG"][0].n == 8


def test_examples_stand_before_the_question(answers, small):
    spec = small("test_official")
    model = answers(lambda prompt: "")
    run(spec, model)
    first, second, last = told(model.asked[0]).split("\n\n")
    assert first.count("BECAUSE:") == second.count("BECAUSE:") == 1
    assert last.endswith("\nAnswer:")
    assert {told(prompt).split("\n\n")[0] for prompt in model.asked} == {first}


def test_captions_stand_for_images_in_examples_too(answers, small):
    captioned = small("test_caption")
    data = captioned.data.model_copy(update={"shots": EXAMPLES})
    spec = captioned.model_copy(update={"data": data, "prompt_format": "CQM-A"})
    model = answers(lambda prompt: "")
    run(spec, model)
    for prompt in model.asked:
        first, second, last = told(prompt).split("\n\n")
        assert "caption" not in first
        assert "caption of 16241" in second
        assert ("caption" in last) == (asked_about(prompt)["image"] is not None)


def test_all_23_formats_may_be_asked(answers, small):
    from vlft.evaluation.scienceqa.prompts import OFFICIAL

    spec = small("test_official")
    records = records_of(spec)
    texts = set()
    for name in OFFICIAL:
        model = answers(lambda prompt: "")
        run(spec.model_copy(update={"prompt_format": name}), model, records[:1])
        texts.add(told(model.asked[0]))
    assert len(texts) == 23


class Prefers:
    """Scores a letter by a function of the prompt and the letter."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def score(self, prompts, continuations):
        self.asked += continuations
        return [
            tuple(Likelihood(float(self.value(prompt, text)), 1) for text in texts)
            for prompt, texts in zip(prompts, continuations, strict=True)
        ]


def test_the_likeliest_letter_is_the_answer(small):
    spec = small("test_letter_logprob")
    oracle = Prefers(lambda prompt, letter: -1.0 if letter == right(prompt) else -2.0)
    found = run(spec, oracle)
    assert values(found) == {"accuracy": 1.0, "unparsed": 0.0}
    sizes = sorted(len(record.meta["choices"]) for record in records_of(spec))
    asked = {tuple("ABCDE"[:size]) for size in sizes}
    assert set(oracle.asked) == asked
    flat = run(spec, Prefers(lambda prompt, letter: 0.0))
    assert {sample.prediction for sample in flat.samples} == {"A"}
    assert flat.notes[-1].startswith("16 questions have several options of the highest score")
    assert found.notes == ()
    assert flat.samples[0].extra["scores"] == [0.0] * len(flat.samples[0].extra["choices"])


def test_a_likelihood_that_is_no_number_is_refused(small):
    model = Prefers(lambda prompt, letter: float("nan"))
    with pytest.raises(
        EvaluationError, match=r"record \d+: the scores are \[nan.* NaN or infinite"
    ):
        run(small("test_letter_logprob"), model)


def test_order_and_batches_change_nothing(answers, small):
    for name in VARIANTS:
        spec = small(name)
        model = answers(
            lambda prompt: ["A", "B. x", "The answer is B.", "?"][len(told(prompt)) % 4]
        )
        records = records_of(spec)
        shuffled = random.Random(0).sample(records, len(records))
        one, other = run(spec, model, records), run(spec, model, shuffled, batch=3)
        assert one.metrics == other.metrics
        assert one.groups == other.groups
        by_id = {sample.id: sample for sample in other.samples}
        assert [by_id[sample.id] for sample in one.samples] == one.samples


# reading


def test_what_official_cannot_read_is_drawn_recorded_and_the_same_again(answers, small):
    spec = small("test_official")
    found = run(spec, answers(lambda prompt: "I do not know"))
    again = run(spec, answers(lambda prompt: "I do not know"), batch=7)
    assert found.samples == again.samples
    assert values(found)["unparsed"] == 1.0
    assert found.notes == (
        "16 outputs could not be read, and an option was drawn for each (`drawn`)",
    )
    for sample in found.samples:
        extra = sample.extra
        assert (extra["parsed"], extra["fallback"]) == (None, True)
        assert 0 <= extra["drawn"] < len(extra["choices"])
        assert sample.score == (extra["drawn"] == problem(int(sample.id) - 100)["answer"])
    drawn = [sample.extra["drawn"] for sample in found.samples]
    assert len(set(drawn)) > 1
    other = small("test_official", settings={**spec.settings, "seed": 1})
    seeded = run(other, answers(lambda prompt: "I do not know"))
    assert [sample.extra["drawn"] for sample in seeded.samples] != drawn


def test_the_fallback_may_be_wrong_instead(answers, small):
    spec = small("test_official")
    spec = spec.model_copy(update={"settings": {**spec.settings, "fallback": "wrong"}})
    found = run(spec, answers(lambda prompt: "I do not know"))
    assert values(found) == {"accuracy": 0.0, "unparsed": 1.0}
    assert found.notes == ()
    assert found.samples[0].extra["fallback"] is False
    assert "drawn" not in found.samples[0].extra


def test_what_was_read_is_recorded_and_not_drawn(answers, small):
    found = run(small("test_official"), answers(lambda prompt: "The answer is B."))
    assert all(sample.extra["parsed"] == 1 for sample in found.samples)
    assert not any(sample.extra["fallback"] for sample in found.samples)


def test_an_official_output_ends_at_its_first_line(answers, small):
    said = "The answer is B.\nThe answer is C."
    spec = small("test_official")
    assert run(spec, answers(lambda p: said)).samples[0].extra["parsed"] == 1
    whole = spec.model_copy(update={"settings": {**spec.settings, "first_line": False}})
    found = run(whole, answers(lambda p: said)).samples[0]
    assert found.extra["parsed"] is None
    assert found.prediction == said


def test_a_letter_beyond_the_options_is_unread(answers, small):
    spec = small("test")
    found = run(spec, answers(lambda prompt: "E"))
    for sample in found.samples:
        beyond = len(sample.extra["choices"]) < 5
        assert (sample.extra["parsed"] is None) == beyond


def test_a_text_that_a_model_says_is_for_the_policy_alone(answers, small):
    spec = small("test")

    def say(prompt):
        found = asked_about(prompt)
        return found["choices"][found["answer"]]

    assert values(run(spec, answers(say))) == {"accuracy": 0.0, "unparsed": 1.0}


def test_written_samples_are_scored_again_to_the_same_numbers(answers, small):
    for name in VARIANTS:
        spec = small(name)
        found = run(spec, answers(lambda prompt: "B" if len(told(prompt)) % 2 else "?"))
        again = score_samples(found.samples, spec)
        assert (again.metrics, again.groups, again.samples) == (
            found.metrics,
            found.groups,
            found.samples,
        )


# the sample of real problems


@pytest.fixture
def real(shared_data):
    path = str(shared_data / "scienceqa" / "problems_sample.json")
    return ScienceQADataset(ScienceQA(type="scienceqa", path=path, split="test"))


def test_the_six_real_records_are_read_and_asked(real, answers):
    spec = load_benchmark("scienceqa/test_text_only")
    records = [real[index] for index in range(len(real))]
    model = answers(lambda prompt: "B")
    found = run(spec, model, records)
    assert len(found.samples) == 6
    assert sorted(len(sample.extra["choices"]) for sample in found.samples) == [2, 2, 2, 3, 4, 5]
    assert values(found)["accuracy"] == 5 / 6
    assert {name: found.groups[f"bin/{name}"][0].n for name in ("TXT", "IMG", "NO", "Avg")} == {
        "TXT": 3,
        "IMG": 3,
        "NO": 2,
        "Avg": 6,
    }
    by_id = {sample.id: sample for sample in found.samples}
    texts = [told(prompt) for prompt in model.asked]
    assert any("D. 1:3\nE. 3:1" in text for text in texts)
    assert any("text?\nSing, O goddess" in text for text in texts)
    assert by_id["26"].score == 0.0
    scores = official_scores(found.groups)
    assert (scores["NAT"], scores["SOC"], scores["LAN"]) == ("66.67", "100.00", "100.00")
    assert (scores["Avg"], scores["chemistry"]) == ("83.33", "-1")


def test_what_a_prompt_shows_must_be_there(real, answers):
    spec = load_benchmark("scienceqa/test_text_only")
    for form, field in (("QCML-A", "lecture"), ("QCEM-A", "solution")):
        asked = spec.model_copy(update={"prompt_format": form})
        with pytest.raises(EvaluationError, match=f"prompt_format {form} shows the {field}"):
            run(asked, answers(lambda prompt: "A"), [real[0]])


# what is declared wrongly


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"prompt_format": "QCM-AEL"}, UnknownNameError, r"unknown prompt_format .* 'QCM-A"),
        ({"extraction": "officially"}, UnknownNameError, r"Did you mean 'official'\?"),
        ({"extraction": "letter-logprob"}, EvaluationError, r"needs scorer scienceqa_likelihood"),
        ({"settings": {"contexts": "text"}}, EvaluationError, r"Did you mean 'context'\?"),
        ({"settings": {"context": "words"}}, EvaluationError, r"settings\.context = 'words'"),
        ({"settings": {"context": "caption"}}, EvaluationError, r"needs `data\.captions`"),
        ({"settings": {"sizes": {"ALL": 3}}}, EvaluationError, r"settings\.sizes\.ALL"),
        ({"max_new_tokens": None}, EvaluationError, r"needs `max_new_tokens`"),
    ],
)
def test_what_is_declared_wrongly_is_told_before_anything_is_asked(
    answers, small, changes, kind, message
):
    model = answers(lambda prompt: "A")
    with pytest.raises(kind, match=message):
        run(small("test", **changes), model)
    assert model.asked == []


def test_examples_need_a_format_that_shows_them(answers, small):
    with pytest.raises(EvaluationError, match=r"prompt_format llava shows no examples"):
        run(small("test_official", prompt_format="llava"), answers(lambda prompt: "A"))


def test_an_example_that_is_not_there_is_named_when_it_is_to_be_shown(answers, small, score):
    spec = small("test_official")
    data = spec.data.model_copy(update={"shots": ("1", EXAMPLES[0])})
    with pytest.raises(EvaluationError, match=r"`data\.shots` names '1', and there is no such"):
        run(spec.model_copy(update={"data": data}), answers(lambda prompt: "A"))
    content = official_file(spec)
    assert accuracy(score(content, name="test_official", changes={"data": data})) == 0.75


def test_likelihoods_have_one_extraction(small):
    spec = small("test_letter_logprob", extraction="llava")
    with pytest.raises(EvaluationError, match=r"extraction 'llava' reads texts"):
        run(spec, Prefers(lambda prompt, letter: 0.0))


def test_records_of_other_data_are_named(answers):
    spec = load_benchmark("scienceqa/test")
    other = records_of(load_benchmark("scenes/question_answering", ["data.num_samples=1"]))
    with pytest.raises(EvaluationError, match=r"expected a problem of ScienceQA"):
        run(spec, answers(lambda prompt: "A"), other)


def test_other_sizes_than_the_declared_ones_are_noted(answers, small):
    sizes = {"IMG": 8, "NO": 4, "TXT": None, "Avg": 16}
    spec = small("test", settings={"sizes": sizes})
    assert run(spec, answers(lambda prompt: "A")).notes == ()
    spec = small("test", settings={"sizes": {**sizes, "IMG": 9}, "topics": 26})
    (note,) = run(spec, answers(lambda prompt: "A")).notes
    assert "IMG has 8 questions, not 9" in note
    assert "3 topics, not 26" in note


def test_groups_of_ones_own_come_beside_the_columns(answers, small):
    found = run(small("test", group_by="category"), answers(lambda prompt: "A"))
    own = [name for name in found.groups if name.startswith("category/")]
    assert sum(found.groups[name][0].n for name in own) == 16


# predictions made elsewhere


@pytest.fixture
def score(folder, tmp_path):
    def write(content, *, name="test", suffix="json", **options):
        path = tmp_path / f"said.{suffix}"
        rows = "\n".join(json.dumps(row) for row in content)
        path.write_text(rows if suffix == "jsonl" else json.dumps(content))
        changes = options.pop("changes", {})
        data = None if "data" in changes else str(folder)
        return score_predictions(path, declared(name, **changes), data=data, **options)

    return write


def accuracy(done):
    return done.result.metrics[0].value


def official_file(spec):
    """Right on three of four problems, with texts that agree where they can be read."""
    results, outputs = {}, {}
    for number, record in enumerate(records_of(spec)):
        size, right = len(record.meta["choices"]), record.meta["answer"]
        chosen = (right + 1) % size if number % 4 == 3 else right
        results[record.id] = chosen
        outputs[record.id] = f"The answer is {'ABCDE'[chosen]}. BECAUSE: so."
    return {"acc": 75.0, "correct": 12, "count": 16, "results": results, "outputs": outputs}


def test_indices_outputs_and_rows_agree(score, small):
    content = official_file(small("test"))
    rows = [{"id": key, "answer": text} for key, text in content["outputs"].items()]
    letters = [{"id": key, "answer": "abcde"[at]} for key, at in content["results"].items()]
    indices = [{"id": key, "answer": at} for key, at in content["results"].items()]
    records = {record.id: record for record in records_of(small("test"))}
    options = [
        {"id": key, "answer": records[key].meta["choices"][at]}
        for key, at in content["results"].items()
    ]
    scores = [
        {"id": key, "scores": [float(at == n) for n in range(len(records[key].meta["choices"]))]}
        for key, at in content["results"].items()
    ]
    done = [
        score(content),
        score(content, policy="results"),
        score(content, policy="outputs"),
        score(content, policy="official"),
        score(content, policy="llava"),
        *(score(one, suffix="jsonl") for one in (rows, letters, indices, options, scores)),
    ]
    assert {accuracy(one) for one in done} == {0.75}
    assert len({str(one.result.groups) for one in done}) == 1
    assert {str([sample.score for sample in one.samples]) for one in done} == {
        str([sample.score for sample in done[0].samples])
    }


def test_recorded_indices_win_over_what_the_texts_say(score, small):
    content = official_file(small("test"))
    content["outputs"] = dict.fromkeys(content["outputs"], "")
    assert accuracy(score(content)) == 0.75
    drawn = score(content, policy="official")
    assert drawn.result.protocol.ranking_key.extraction == "official"
    assert all(sample.extra["fallback"] for sample in drawn.samples)
    assert accuracy(score(content, policy="llava")) == 0.0


def test_an_unread_output_of_llava_is_wrong_and_counted(score, small):
    content = official_file(small("test"))
    content["results"] = dict.fromkeys(content["results"], -1)
    done = score(content)
    assert [metric.value for metric in done.result.metrics] == [0.0, 1.0]
    assert done.samples[0].prediction is None
    content["results"] = dict.fromkeys(content["results"], 7)
    with pytest.raises(EvaluationError, match=r"record \d+: found option 7, expected 0 to \d, or"):
        score(content)


def test_answers_of_ones_own_may_be_written_out_and_outputs_may_not(score, small):
    rows = [
        {"id": record.id, "answer": record.meta["choices"][record.meta["answer"]]}
        for record in records_of(small("test"))
    ]
    done = score(rows, suffix="jsonl")
    assert accuracy(done) == 1.0
    assert "16 answers are letters or texts of options" in done.result.notes[-1]
    assert accuracy(score(rows, suffix="jsonl", policy="llava")) == 0.0
    said = [{"question_id": row["id"], "text": row["answer"]} for row in rows]
    assert accuracy(score(said, suffix="jsonl")) == 0.0


def test_an_unknown_policy_names_the_nearest(score, small):
    with pytest.raises(UnknownNameError, match=r"'lava'\. Did you mean 'llava'\?"):
        score(official_file(small("test")), policy="lava")


def test_scores_are_read_by_no_policy_of_texts(score, small):
    rows = [
        {"id": record.id, "scores": [1.0] * len(record.meta["choices"])}
        for record in records_of(small("test"))
    ]
    done = score(rows, suffix="jsonl", policy="letter-logprob")
    assert done.result.protocol.ranking_key.extraction == "letter-logprob"
    with pytest.raises(EvaluationError, match=r"leave it out, or name letter-logprob"):
        score(rows, suffix="jsonl", policy="official")
    both = [row | {"answer": "A"} for row in rows]
    for policy in (None, "official", "llava"):
        with pytest.raises(EvaluationError, match=r"expected one of `answer` .*, `scores`"):
            score(both, suffix="jsonl", policy=policy)


def test_how_answers_were_found_stands_in_the_ranking_key(score, small):
    first, second, third = [record.id for record in records_of(small("test"))][:3]
    size = len(records_of(small("test"))[1].meta["choices"])
    text, choice = {"id": first, "answer": "A"}, {"id": third, "choice": 0}
    scores = {"id": second, "scores": [1.0] * size}

    def key(*rows):
        done = score(list(rows), suffix="jsonl", partial=True)
        return done.result.protocol.ranking_key.extraction

    assert key(text) == "llava"
    assert key(scores) == "highest score"
    assert key(choice) == "index as recorded"
    assert key(choice, text) == "llava and index as recorded"


def test_ids_that_do_not_fit_are_errors_unless_partial(score, small):
    content = official_file(small("test"))
    (gone, index) = next(iter(content["results"].items()))
    del content["results"][gone]
    content["results"]["99999"] = index
    with pytest.raises(EvaluationError, match=r"1 prediction has no record .* 1 of 16 records"):
        score(content)
    done = score(content, partial=True)
    assert done.result.metrics[0].n == 15
    assert done.result.protocol.ranking_key.coverage == "limited"


@pytest.fixture
def unchecked():
    """Switch the type checks off: with them, thousands of records take half a minute."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def test_the_official_run_has_the_published_digits(unchecked, tmp_path):
    """The arithmetic of final_test_QCM-ALE_2_seed_3.json: 3188 of 4241."""
    problems = {
        str(number): {
            "question": "?",
            "choices": ["a", "b"],
            "answer": 0,
            "hint": "",
            "image": None,
            "grade": "grade1",
            "subject": "natural science",
            "topic": "physics",
            "split": "test",
        }
        for number in range(4241)
    }
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    file = tmp_path / "official.json"
    file.write_text(
        json.dumps({"results": {key: int(int(key) >= 3188) for key in problems}, "outputs": {}})
    )
    spec = load_benchmark("scienceqa/test")
    done = score_predictions(file, spec, data=str(tmp_path))
    assert accuracy(done) * 100 == 75.17095024758311
    assert official_scores(done.result.groups)["Avg"] == "75.17"
    assert done.result.protocol.ranking_key.coverage == "full"
    assert "SOC has 0 questions, not 889" in done.result.notes[0]


def test_the_folder_and_its_problems_are_the_same_data(folder):
    spec = declared("test")
    there = str(folder / "problems.json")
    assert placed(spec, str(folder)).dataset_revision == placed(spec, there).dataset_revision


def test_captions_count_in_the_revision_only_where_they_are_shown(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    names = ("test", "test_caption")
    before = [placed(declared(name), str(copy)).dataset_revision for name in names]
    assert before == [placed(declared(name), str(folder)).dataset_revision for name in names]
    (copy / "captions.json").write_text('{"captions": {}}')
    after = [placed(declared(name), str(copy)).dataset_revision for name in names]
    assert after[0] == before[0]
    assert after[1] != before[1]


# hosts


@pytest.fixture(scope="module")
def qwen():
    return build(ImageTextToText(type="image_text_to_text", config="tiny_qwen2_5_vl"))


ON_SCENES = sorted(name for name in benchmark_names() if name.startswith("scenes/scienceqa"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Generated files of a few problems: sixteen in the test split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, str(tmp_path_factory.mktemp("cache")))
        yield GeneratedFiles(layout="scienceqa", num_samples=80, seed=1060)


@pytest.mark.parametrize("name", ON_SCENES)
@pytest.mark.parametrize("family", ["tiny_llava", "tiny_qwen2_5_vl", "tiny_llama", "tiny_clip"])
def test_hosts_get_numbers_where_they_can(host, qwen, world, family, name):
    backbone = qwen if family == "tiny_qwen2_5_vl" else host(family)
    spec = load_benchmark(name)
    spec = spec.model_copy(update={"world": world, "expected_n": None})
    if spec.max_new_tokens is not None:
        spec = spec.model_copy(update={"max_new_tokens": min(spec.max_new_tokens, 16)})
    done = evaluate(backbone, spec, limit=6, progress=False)
    if family == "tiny_clip" or (family == "tiny_llama" and spec.needs_images):
        assert done.result.status == "not_applicable"
        return
    assert done.result.status == "scored"
    assert done.result.metrics[0].name == "accuracy"
    assert len(done.samples) == done.result.metrics[0].n == (2 if "minitest" in name else 6)


def test_every_declared_split_has_its_twin_on_scenes():
    real = {name.partition("/")[2] for name in benchmark_names() if name.startswith("scienceqa/")}
    assert {name.removeprefix("scenes/scienceqa_") for name in ON_SCENES} == real
    for name in real:
        one, twin = load_benchmark(f"scienceqa/{name}"), load_benchmark(f"scenes/scienceqa_{name}")
        for field in ("prompt_format", "extraction", "max_new_tokens", "scorer", "needs_images"):
            assert getattr(one, field) == getattr(twin, field)
        assert twin.world.seed == 1060
        # one in five is for testing, and of these one in ten is in the small set
        of_split = -(-twin.world.num_samples // 5)
        assert twin.expected_n == (-(-of_split // 10) if name == "minitest" else of_split)
