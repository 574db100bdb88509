"""ARO and SugarCrepe: option orders, ties, averages and their exceptions, on all kinds of hosts."""

import json
import random

import pytest
import torch
from jaxtyping import config
from PIL import Image

from vlft.data import open_dataset
from vlft.data.records import ImageRef, Pair
from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import evaluate, measure, predict, score_samples, scorer_of
from vlft.evaluation.places import placed, written
from vlft.evaluation.predictions import score_predictions
from vlft.evaluation.requests import EmbedImage, EmbedText, Score
from vlft.results import ModelIdentity
from vlft.types import Embeds, Likelihood, Scores

VG = ("aro/vg_relation", "aro/vg_attribution")
ORDER = ("aro/coco_order", "aro/flickr30k_order")
SETS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
PAIRS = tuple(f"pairs/sugarcrepe_{name}" for name in SETS)
SIZES = {
    "aro/vg_relation": 23937,
    "aro/vg_attribution": 28748,
    "aro/coco_order": 25010,
    "aro/flickr30k_order": 5000,
    **dict(zip(PAIRS, (692, 2062, 788, 1652, 1406, 666, 245), strict=True)),
}


WORLDS = ("aro_vg_relation", "aro_vg_attribution", "aro_coco_order", "aro_flickr30k_order")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """Worlds and draws are written once for all tests, and not into the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        config.update("jaxtyping_disable", True)  # shapes are checked in the tests of parts
        for name in WORLDS:
            written(load_benchmark(f"scenes/{name}").world)
        config.update("jaxtyping_disable", False)
        yield


def spec_of(name, **changes):
    return load_benchmark(name).model_copy(update=changes)


def settings_with(name, **changes):
    spec = load_benchmark(name)
    return spec.model_copy(update={"settings": {**spec.settings, **changes}})


def picture(number):
    return ImageRef(draw=lambda: Image.new("RGB", (8, 8), (number % 256, number // 256, 0)))


def pair(number, group="under", wrong=1):
    """Case ``number``, of a relation and a pair of attributes of one name."""
    negatives = [f"wrong {number} {place}" for place in range(wrong)]
    found = {"negative": negatives[0]} if wrong == 1 else {"negatives": negatives}
    meta = found | {"relation_name": group, "attribute_pair": group}
    return Pair(str(number), picture(number), f"right {number}", meta)


def cases(name, number=40, group="under"):
    return [pair(n, group, wrong=4 if name in ORDER else 1) for n in range(number)]


def run(spec, model, records, batch=7):
    return score_samples(predict(model, records, spec, batch_size=batch).samples, spec)


def from_scores(spec, records, scores):
    make = scorer_of(spec).from_scores
    samples = [make(record, values, spec) for record, values in zip(records, scores, strict=True)]
    return score_samples(samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


class Sees:
    """Embeds so that a text's similarity to any image is what a function says of the text."""

    def __init__(self, similarity):
        self.similarity, self.texts = similarity, []

    def embed_images(self, images):
        return torch.tensor([[1.0, 0.0] for _ in images])

    def embed_texts(self, texts):
        self.texts += texts
        return torch.tensor([[self.similarity(text), 0.0] for text in texts])


class Reads:
    """Gives a text the log-likelihood that a function says, of the text and whether it sees."""

    def __init__(self, total, tokens=lambda text: 4):
        self.total, self.tokens, self.asked = total, tokens, []

    def score(self, prompts, continuations):
        self.asked += zip(prompts, continuations, strict=True)
        return [
            tuple(
                Likelihood(float(self.total(text, bool(prompt.images))), self.tokens(text))
                for text in texts
            )
            for prompt, texts in zip(prompts, continuations, strict=True)
        ]


def is_right(text, seeing=True):
    return float(text.startswith("right"))


# what is declared


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_the_published_data(name):
    assert spec_of(name).expected_n == SIZES[name]


def test_the_excluded_relations_are_those_of_the_authors(shared_data):
    listed = spec_of("aro/vg_relation").settings["macro_exclude"]
    published = json.loads((shared_data / "aro" / "symmetric_relations.json").read_text())
    assert len(listed) == len(set(listed)) == 157
    assert set(listed) == set(published)


def test_a_setting_that_does_not_exist_names_the_near_one():
    spec = settings_with("aro/vg_attribution", macro_min_case=3)
    with pytest.raises(EvaluationError, match=r"settings: .*Did you mean 'macro_min_cases'\?"):
        run(spec, Sees(is_right), cases("aro/vg_attribution"))


# oracles, constants, chance


@pytest.mark.parametrize("kind", [Sees, Reads])
@pytest.mark.parametrize("name", [*VG, *ORDER, *PAIRS])
def test_an_oracle_gets_one_on_every_average_and_its_opposite_none(name, kind):
    records = cases(name)
    for model, value in ((kind(is_right), 1.0), (kind(lambda *of: -is_right(*of)), 0.0)):
        found = values(run(spec_of(name), model, records))
        averages = {key: number for key, number in found.items() if key.find("accuracy") >= 0}
        assert set(averages.values()) == {value}
        groups = 3 if name in VG else 1
        assert len(averages) == groups * (4 if kind is Reads else 1)


@pytest.mark.parametrize(
    ("name", "value"), [*((name, 0.0) for name in (*VG, *PAIRS)), *((name, 1.0) for name in ORDER)]
)
def test_a_constant_gets_what_the_official_arg_max_gives(name, value):
    records, spec = cases(name), spec_of(name)
    found = run(spec, Sees(lambda text: 0.5), records)
    assert values(found)[spec.metric] == value
    assert values(found)["accuracy"] == value
    whom = "for" if value else "against"
    assert (
        f"in 40 of 40 cases the best wrong caption ties with the right one, which counts {whom} t"
        in (found.notes[0])
    )
    chosen = {"a right caption" if s.prediction == s.answer else "wrong" for s in found.samples}
    assert chosen == {"a right caption" if value else "wrong"}


@pytest.mark.parametrize("name", [*VG, *ORDER, PAIRS[0]])
def test_guessing_gets_chance(name):
    draw = random.Random(3)
    records, spec = cases(name, 400), spec_of(name)
    options = 5 if name in ORDER else 2
    found = from_scores(spec, records, [[draw.random() for _ in range(options)] for _ in records])
    for metric in found.metrics[:-1]:
        assert metric.chance == pytest.approx(1 / options)
        assert metric.interval.low < metric.chance < metric.interval.high


# official orders


def test_scores_come_in_the_official_order_of_each_set():
    wrong_first, right_first = [[0.2, 0.9]] * 40, [[0.9, 0.2]] * 40
    for name in VG:
        records = cases(name)
        assert values(from_scores(spec_of(name), records, wrong_first))["accuracy"] == 1
        assert values(from_scores(spec_of(name), records, right_first))["accuracy"] == 0
    for name in PAIRS:
        records = cases(name)
        assert values(from_scores(spec_of(name), records, wrong_first))["accuracy"] == 0
        assert values(from_scores(spec_of(name), records, right_first))["accuracy"] == 1
    for name in ORDER:
        records = cases(name)
        for place, value in ((0, 1), (1, 0), (4, 0)):
            scores = [float(place == other) for other in range(5)]
            found = from_scores(spec_of(name), records, [scores] * 40)
            assert values(found)["accuracy"] == value
            assert found.samples[0].extra["captions"].index(found.samples[0].prediction) == place


@pytest.mark.parametrize("name", [*VG, *ORDER, *PAIRS])
def test_a_sample_shows_the_options_in_the_official_order(name):
    record = cases(name, 1)[0]
    sample = run(spec_of(name, group_by=None, metric="accuracy"), Sees(is_right), [record]).samples[
        0
    ]
    negatives = record.meta.get("negatives") or [record.meta["negative"]]
    shown = [*negatives, record.text] if name in VG else [record.text, *negatives]
    assert sample.extra["captions"] == shown
    assert shown[sample.extra["right"]] == record.text
    assert sample.extra["values"][sample.extra["right"]] == 1.0


def test_a_chosen_index_counts_like_scores():
    spec = spec_of("aro/coco_order")
    make = scorer_of(spec).from_choice
    samples = [make(record, number % 5, spec) for number, record in enumerate(cases(spec.name, 10))]
    assert values(score_samples(samples, spec))["accuracy"] == 0.2
    with pytest.raises(EvaluationError, match="record 0: found choice 5, expected an index from 0"):
        make(cases(spec.name, 1)[0], 5, spec)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1], "found 1 scores, expected 2"),
        ([0.1, 0.2, 0.3], "found 3 scores, expected 2"),
        ([0.1, float("nan")], "NaN or infinite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    with pytest.raises(EvaluationError, match=f"record 0: .*{message}"):
        from_scores(spec_of("aro/vg_relation"), cases("aro/vg_relation", 1), [scores])


# averages


def skewed(name):
    """Thirty cases of one group, all right, and ten of another, all wrong."""
    records = [pair(n, "under" if n < 30 else "behind") for n in range(40)]
    return records, [[0.0, 1.0] if n < 30 else [1.0, 0.0] for n in range(40)]


def test_macro_and_micro_differ_where_groups_are_of_unequal_size():
    records, scores = skewed("aro/vg_relation")
    found = values(from_scores(spec_of("aro/vg_relation"), records, scores))
    assert found["accuracy"] == 0.75
    assert found["macro_accuracy"] == found["macro_accuracy_all"] == 0.5


def test_the_floor_of_25_cases_holds_for_attributes_only():
    records, scores = skewed("")
    for name, macro in (("aro/vg_attribution", 1.0), ("aro/vg_relation", 0.5)):
        found = from_scores(spec_of(name), records, scores)
        assert values(found)["macro_accuracy"] == macro
        assert values(found)["macro_accuracy_all"] == 0.5
        sizes = {metric.name: metric.n for metric in found.metrics}
        assert sizes["macro_accuracy"] == (30 if macro == 1 else 40)
        assert sizes["macro_accuracy_all"] == sizes["accuracy"] == 40
        assert list(found.groups) == ["behind", "under"]
        assert found.groups["behind"][0].n == 10
    exactly = [pair(n, "a_b" if n < 25 else "b_a") for n in range(49)]
    kept = from_scores(spec_of("aro/vg_attribution"), exactly, [[0.0, 1.0]] * 49)
    assert next(m.n for m in kept.metrics if m.name == "macro_accuracy") == 25


def test_the_list_of_relations_holds_for_relations_only():
    records = [pair(n, "near" if n < 30 else "under") for n in range(60)]
    scores = [[0.0, 1.0] if n < 30 else [1.0, 0.0] for n in range(60)]
    relation = from_scores(spec_of("aro/vg_relation"), records, scores)
    attribution = from_scores(spec_of("aro/vg_attribution"), records, scores)
    assert values(relation)["macro_accuracy"] == 0
    assert values(relation)["macro_accuracy_all"] == 0.5
    assert values(attribution)["macro_accuracy"] == 0.5
    assert relation.notes == (
        "macro_accuracy is the mean over 1 groups; 1 are left out by their names and 0 by their "
        "sizes",
    )


@pytest.mark.parametrize(
    ("name", "group"), [("aro/vg_relation", "near"), ("aro/vg_attribution", "a_b")]
)
def test_without_a_group_for_the_paper_s_average_the_others_stand_and_it_is_said(name, group):
    found = run(spec_of(name), Sees(is_right), cases(name, 20, group))
    assert "macro_accuracy" not in values(found)
    assert (values(found)["accuracy"], values(found)["macro_accuracy_all"]) == (1.0, 1.0)
    assert any("no group is left for the macro average" in note for note in found.notes)
    assert all(sample.weight is None for sample in found.samples)


def test_samples_say_what_they_count_in_the_paper_s_average():
    names = ["on"] * 3 + ["near"] * 5 + ["under"]
    records = [pair(number, name, wrong=1) for number, name in enumerate(names)]
    found = run(spec_of("aro/vg_relation"), Sees(is_right), records)
    weights = [sample.weight for sample in found.samples]
    assert weights == pytest.approx([1 / 6] * 3 + [0] * 5 + [1 / 2])


def test_a_case_without_its_group_is_named():
    record = Pair("0", picture(0), "right", {"negative": "wrong"})
    with pytest.raises(EvaluationError, match="record 0: no 'relation_name' in its meta"):
        run(spec_of("aro/vg_relation"), Sees(is_right), [record])


# equal options


def test_shuffles_that_equal_the_caption_are_free_points_and_counted():
    equal = Pair("x", picture(1), "a a a", {"negatives": ["a a a", "b", "a a a", "c"]})
    spec = spec_of("aro/coco_order")
    found = run(spec, Sees(lambda text: float(text == "a a a")), [*cases(spec.name, 3), equal])
    metrics = {metric.name: metric for metric in found.metrics}
    assert metrics["identical_options"].value == 0.25
    assert metrics["identical_options"].direction == "lower"
    assert found.samples[3].score == 1
    assert metrics["accuracy"].chance == pytest.approx((3 / 5 + 1 / 3) / 4)
    assert "in 1 of 4 cases a wrong caption equals the right one" in found.notes


@pytest.mark.parametrize("kind", [Sees, Reads])
def test_equal_captions_are_asked_once_and_have_one_value(kind):
    noise = iter(range(1000))
    equal = Pair("x", picture(1), "right", {"negatives": ["right", "wrong", "right", "wrong"]})
    model = kind(lambda *of: next(noise) * 1e-9)
    (sample,) = run(spec_of("aro/coco_order"), model, [equal]).samples
    for key in ("values", *(["values_no_image"] if kind is Reads else [])):
        first, second, third, fourth, fifth = sample.extra[key]
        assert first == second == fourth
        assert third == fifth != first


def test_equal_captions_of_visual_genome_count_against_the_model():
    records = [pair(n) for n in range(3)]
    records.append(Pair("x", picture(9), "same", {"negative": "same", "relation_name": "under"}))
    found = run(spec_of("aro/vg_relation"), Sees(is_right), records)
    assert values(found)["accuracy"] == 0.75
    assert next(m for m in found.metrics if m.name == "accuracy").chance == 0.375


# generative hosts


def test_likelihoods_are_summed_divided_and_compared_with_a_blind_model():
    # Seeing, the sum prefers the short wrong caption and the mean the right one; blind, sums tie.
    def total(text, seeing):
        return (-6.0 if text.startswith("right") else -5.0) if seeing else -4.0

    model = Reads(total, lambda text: 6 if text.startswith("right") else 2)
    found = run(spec_of("aro/vg_relation"), model, cases("aro/vg_relation", 12))
    assert values(found) == {
        "macro_accuracy": 0.0,
        "accuracy": 0.0,
        "macro_accuracy_all": 0.0,
        "accuracy_per_token": 1.0,
        "macro_accuracy_per_token": 1.0,
        "macro_accuracy_all_per_token": 1.0,
        "accuracy_no_image": 0.0,
        "macro_accuracy_no_image": 0.0,
        "macro_accuracy_all_no_image": 0.0,
        "accuracy_per_token_no_image": 1.0,
        "macro_accuracy_per_token_no_image": 1.0,
        "macro_accuracy_all_per_token_no_image": 1.0,
        "identical_options": 0.0,
    }
    assert found.samples[0].extra["values"] == [-5.0, -6.0]
    assert found.samples[0].extra["values_per_token"] == [-2.5, -1.0]
    assert found.samples[0].extra["values_no_image"] == [-4.0, -4.0]
    assert found.samples[0].extra["values_per_token_no_image"] == [-2.0, -4.0 / 6]
    assert [metric.name for metric in found.groups["under"]] == [
        "accuracy",
        "accuracy_per_token",
        "accuracy_no_image",
        "accuracy_per_token_no_image",
    ]


def test_the_control_asks_the_same_question_without_the_image_once_per_caption():
    texts = ["left of", "right of"]
    records = [
        Pair(str(n), picture(n), texts[n % 2], {"negative": texts[1 - n % 2], "relation_name": "x"})
        for n in range(6)
    ]
    model = Reads(is_right)
    run(spec_of("aro/vg_relation"), model, records)
    blind = [(prompt, said) for prompt, said in model.asked if not prompt.images]
    assert sorted(said for _, said in blind) == [("left of",), ("right of",)]
    assert len(model.asked) == 6 + 2
    seeing = next(prompt for prompt, _ in model.asked if prompt.images)
    assert seeing.messages[0].content[1:] == blind[0][0].messages[0].content


def test_the_control_may_be_left_out():
    model = Reads(is_right)
    found = run(settings_with(PAIRS[0], no_image=False), model, cases(PAIRS[0], 5))
    assert values(found) == {
        "accuracy": 1.0,
        "accuracy_per_token": 1.0,
        "identical_options": 0.0,
    }
    assert all(prompt.images for prompt, _ in model.asked)


# records and samples in any order


@pytest.mark.parametrize("name", [*VG, *ORDER, PAIRS[0]])
@pytest.mark.parametrize("kind", [Sees, Reads])
def test_the_order_of_records_changes_nothing(name, kind):
    def noise(text, seeing=True):
        return random.Random(f"{text}{seeing}").random()

    records = cases(name, 60)
    shuffled = random.Random(1).sample(records, len(records))
    one, other = (run(spec_of(name), kind(noise), some) for some in (records, shuffled))
    assert one.metrics == other.metrics
    assert one.groups == other.groups
    assert one.samples == sorted(other.samples, key=lambda sample: int(sample.id))


@pytest.mark.parametrize("kind", [Sees, Reads])
def test_written_samples_give_the_metrics_again(kind):
    def noise(text, seeing=True):
        return random.Random(f"{text}{seeing}").random()

    spec = spec_of("aro/vg_attribution")
    scored = run(spec, kind(noise), cases(spec.name, 50))
    texts = [sample.model_dump_json() for sample in scored.samples]
    again = score_samples(
        [type(scored.samples[0]).model_validate_json(text) for text in texts], spec
    )
    assert again == scored


def test_samples_of_another_scorer_are_named():
    spec = spec_of("aro/vg_relation")
    (sample,) = run(spec, Sees(is_right), cases(spec.name, 1)).samples
    extra = {"values": [0.0, 1.0]}
    with pytest.raises(EvaluationError, match="sample 0: expected `captions`, their `values`, and"):
        score_samples([sample.model_copy(update={"extra": extra})], spec)


@pytest.mark.parametrize(("via", "kinds"), [(Embeds, {EmbedImage, EmbedText}), (Scores, {Score})])
def test_one_image_and_its_options_are_asked(via, kinds):
    spec = spec_of("aro/coco_order")
    requests = list(scorer_of(spec).ask(cases(spec.name, 2), spec, via))
    assert {type(request) for request in requests} == kinds
    assert len({request.key for request in requests}) == (2 * 6)


# the generated world in the official layouts


@pytest.mark.parametrize("host_name", ["tiny_clip", "tiny_llava"])
@pytest.mark.parametrize("name", [*WORLDS, *(f"pairs_sugarcrepe_{one}" for one in SETS)])
def test_hosts_get_numbers_on_the_generated_world(lively, host_name, name):
    # So few cases have no pair of attributes 25 times.
    changes = {"macro_min_cases": 2} if name == "aro_vg_attribution" else {}
    spec = settings_with(f"scenes/{name}", **changes)
    result, samples = evaluate(lively(host_name), spec, limit=24, progress=False, batch_size=16)
    assert result.metrics[0].name == spec.metric
    assert result.status == "scored"
    assert len(samples) == 24
    assert len({metric.name for metric in result.metrics}) == len(result.metrics)
    blind = [metric for metric in result.metrics if metric.name == "accuracy_no_image"]
    assert len(blind) == (host_name == "tiny_llava")
    shuffles = [note for note in result.notes if note.startswith("the shuffles: sha256-")]
    assert len(shuffles) == ("order" in name)


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_have_the_size_that_they_declare(name):
    spec = load_benchmark(f"scenes/{name}")
    assert len(open_dataset(placed(spec).data)) == spec.expected_n


def test_some_pairs_of_attributes_of_the_world_count():
    spec = placed(load_benchmark("scenes/aro_vg_attribution"))
    dataset = open_dataset(spec.data)
    records = [dataset[index] for index in range(len(dataset))]
    found = from_scores(spec, records, [[0.0, 1.0]] * len(records))
    assert found.metrics[0].n >= 150
    assert (
        "macro_accuracy is the mean over 6 groups; 0 are left out by their names" in found.notes[0]
    )


def test_predictions_of_others_are_scored_in_the_official_order(tmp_path):
    spec = load_benchmark("scenes/aro_vg_relation")
    rows = [{"id": str(n), "scores": [0.0, 1.0] if n % 4 else [1.0, 0.0]} for n in range(512)]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, _ = score_predictions(path, spec)
    assert {m.name: m.value for m in result.metrics}["accuracy"] == 0.75


def test_the_revision_holds_what_shuffles_are_drawn_from(tmp_path):
    lines = {"caption": "A dog", "tokens": ["A", "dog"], "tags": ["DT", "NN"]}
    (tmp_path / "set.json").write_text(json.dumps([{"image": "a.png", "caption": ["A dog"]}]))
    revisions = []
    for tags, seed in (("NN", 1), ("NN", 2), ("NNP", 1), ("NN", 1)):
        line = json.dumps(lines | {"tags": ["DT", tags]})
        (tmp_path / "set.tags.jsonl").write_text(line)
        spec = load_benchmark("aro/coco_order", [f"data.seed={seed}"])
        revisions.append(placed(spec, str(tmp_path / "set.json")).dataset_revision)
    assert revisions[0] == revisions[3]
    assert len(set(revisions)) == 3


def test_a_set_of_another_size_is_marked():
    spec = spec_of(PAIRS[6])

    class Rows(list):
        name = "rows"

    identity = ModelIdentity(name="x")
    result, _ = measure(
        Sees(is_right),
        spec.model_copy(update={"revision": "fixed"}),
        Rows(cases(spec.name, 3)),
        identity=identity,
        recorded={},
        progress=False,
    )
    assert result.protocol.ranking_key.coverage == "limited"
    assert "the data have 3 records, and the benchmark declares 245" in result.notes[0]
