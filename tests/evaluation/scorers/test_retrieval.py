import random

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize, one_hot

from vlft.data import open_dataset
from vlft.data.records import Conversation, ImageRef, Pair
from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import evaluate, predict, score_samples
from vlft.evaluation.places import placed
from vlft.evaluation.scorers import retrieval
from vlft.evaluation.scorers.retrieval import score
from vlft.results import Sample

WIDTH = 64


class Codes:
    """Embeds an image by its red channel and a text by the number that it is."""

    def __init__(self, embed):
        self.embed = embed
        self.texts_seen = []

    def embed_images(self, images):
        return self.embed(torch.tensor([image.getpixel((0, 0))[0] for image in images]))

    def embed_texts(self, texts):
        self.texts_seen += texts
        return self.embed(torch.tensor([int(text) for text in texts]))


def oracle(numbers):
    return one_hot(numbers, WIDTH).float()


def constant(numbers):
    return one_hot(numbers * 0, WIDTH).float()


class Noisy:
    """Embeds images and texts of one number near each other, and independently of the batch."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(WIDTH, 8, generator=generator)
        self.noise = torch.randn(WIDTH, 8, generator=generator)

    def embed_images(self, images):
        return normalize(self.table[[image.getpixel((0, 0))[0] for image in images]], dim=-1)

    def embed_texts(self, texts):
        numbers = [int(text) for text in texts]
        return normalize(self.table[numbers] + self.noise[numbers], dim=-1)


def pair(number, text=None):
    image = ImageRef(draw=lambda: Image.new("RGB", (8, 8), (number, 0, 0)))
    return Pair(f"r{number}", image, str(number) if text is None else text)


def measure(model, records, spec, batch_size=5):
    return score(predict(model, records, spec, batch_size=batch_size).samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


def test_an_oracle_finds_everything(pairs):
    scored = measure(Codes(oracle), [pair(i) for i in range(20)], pairs)
    assert set(values(scored).values()) == {1.0}
    assert len(values(scored)) == 6
    assert all(sample.prediction == sample.answer for sample in scored.samples)


@pytest.mark.parametrize(("tie_rule", "value"), [("for_model", 1.0), ("against_model", 0.0)])
def test_a_collapsed_model_gets_what_the_tie_rule_says(pairs, tie_rule, value):
    spec = pairs.model_copy(update={"tie_rule": tie_rule})
    scored = measure(Codes(constant), [pair(i) for i in range(20)], spec)
    assert set(values(scored).values()) == {value}


def test_chance_is_k_out_of_n(pairs):
    scored = measure(Codes(oracle), [pair(i) for i in range(20)], pairs)
    chances = [metric.chance for metric in scored.metrics]
    assert chances == pytest.approx([0.05, 0.25, 0.5] * 2)
    assert measure(Codes(oracle), [pair(i) for i in range(4)], pairs).metrics[2].chance == 1.0


def test_the_order_and_the_batches_of_records_change_nothing(pairs):
    records = [pair(i) for i in range(40)]
    shuffled = random.Random(0).sample(records, 40)
    one = measure(Noisy(), records, pairs)
    other = measure(Noisy(), shuffled, pairs, batch_size=7)
    assert values(one) == values(other)
    assert 0 < values(one)["image_to_text_recall@5"] < 1
    by_id = {sample.id: sample for sample in other.samples}
    assert all(sample == by_id[sample.id] for sample in one.samples)


def test_records_with_one_text_share_it(pairs):
    """Images 0 and 1 have one text: it is embedded once, and both images are right for it."""
    model = Codes(oracle)
    scored = measure(model, [pair(0, "0"), pair(1, "0"), pair(2, "2")], pairs, batch_size=2)
    assert sorted(model.texts_seen) == ["0", "2"]
    facts = {sample.id: (sample.extra, sample.score) for sample in scored.samples}
    assert facts["r1/text_to_image"] == ({"rank": 1, "right": 2, "candidates": 3}, 1.0)
    # the oracle sees that image 1 is not "0": all texts are equally far
    assert facts["r1/image_to_text"] == ({"rank": 2, "right": 1, "candidates": 2}, 0.0)


# several texts per image


def several(number, *texts):
    return Pair(f"r{number}", pair(number).image, texts[0], {"answers": [*texts]})


class Table:
    """Embeds images by their red channel and texts by name, from given vectors."""

    def __init__(self, images, texts):
        self.images, self.texts = images, texts

    def embed_images(self, images):
        return torch.tensor([self.images[image.getpixel((0, 0))[0]] for image in images])

    def embed_texts(self, texts):
        return torch.tensor([self.texts[text] for text in texts])


# Cosines with image 0: a 1, b .8, c .6, d 0; with image 1: a 0, b .6, c .8, d 1.
VECTORS = Table(
    [[1.0, 0], [0, 1.0]], {"a": [1.0, 0], "b": [0.8, 0.6], "c": [0.6, 0.8], "d": [0, 1.0]}
)


def facts_of(scored):
    return {sample.id: sample.extra["rank"] for sample in scored.samples}


def test_any_text_of_an_image_is_right_for_it_and_each_one_looks_for_it(pairs):
    """Image 0 owns a and c, image 1 owns b and d."""
    scored = measure(VECTORS, [several(0, "c", "a"), several(1, "b", "d")], pairs)
    assert facts_of(scored) == {
        "r0/image_to_text": 1,  # a is its nearest text
        "r0/text_to_image/0": 2,  # c is nearer to image 1
        "r0/text_to_image/1": 1,
        "r1/image_to_text": 1,
        "r1/text_to_image/0": 2,
        "r1/text_to_image/1": 1,
    }
    found = values(scored)
    assert (found["image_to_text_recall@1"], found["text_to_image_recall@1"]) == (1.0, 0.5)
    counts = {metric.name: metric.n for metric in scored.metrics}
    assert (counts["image_to_text_recall@1"], counts["text_to_image_recall@1"]) == (2, 4)


def test_an_image_whose_nearest_text_is_of_another_has_the_rank_of_its_best_one(pairs):
    """Image 0 owns c and d only: a and b of image 1 are nearer."""
    scored = measure(VECTORS, [several(0, "d", "c"), several(1, "a", "b")], pairs)
    assert facts_of(scored)["r0/image_to_text"] == 3
    nearest = next(sample for sample in scored.samples if sample.id == "r0/image_to_text")
    assert (nearest.prediction, nearest.answer) == ("a", "d")


def test_chance_of_several_texts_is_that_of_drawing_one_of_them(pairs):
    scored = measure(VECTORS, [several(0, "a", "b", "c"), several(1, "d")], pairs)
    chances = {metric.name: metric.chance for metric in scored.metrics}
    assert chances["image_to_text_recall@1"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert chances["text_to_image_recall@1"] == pytest.approx(1 / 2)


def test_equal_texts_shared_or_apart(pairs):
    """Both images own b. Apart there are four candidates, and b of image 0 looks for image 0."""
    records = [several(0, "d", "b"), several(1, "b", "c")]
    shared = measure(VECTORS, records, pairs)
    assert facts_of(shared)["r0/text_to_image/1"] == facts_of(shared)["r1/text_to_image/0"] == 1
    apart = pairs.model_copy(update={"settings": {"equal_texts": "apart"}})
    scored = measure(VECTORS, records, apart)
    assert facts_of(scored) == {
        "r0/image_to_text": 1,  # b; its copy at image 1 is no wrong answer
        "r0/text_to_image/0": 2,
        "r0/text_to_image/1": 1,
        "r1/image_to_text": 2,  # behind d
        "r1/text_to_image/0": 2,  # b is nearer to image 0
        "r1/text_to_image/1": 1,
    }
    extras = {sample.id: sample.extra for sample in scored.samples}
    # d, and two times b
    assert (extras["r0/image_to_text"]["right"], extras["r0/image_to_text"]["candidates"]) == (3, 4)
    assert extras["r0/text_to_image/1"]["right"] == 1
    extras = {sample.id: sample.extra for sample in shared.samples}
    assert (extras["r0/image_to_text"]["right"], extras["r0/image_to_text"]["candidates"]) == (2, 3)
    assert extras["r0/text_to_image/1"]["right"] == 2


def test_apart_each_copy_of_a_wrong_text_stands_before(pairs):
    """a of image 1 and a of image 2 are both nearer to image 0 than its own b."""
    table = Table([*VECTORS.images, [0, 1.0]], VECTORS.texts)
    records = [several(0, "b"), several(1, "a", "d"), several(2, "a", "c")]
    apart = pairs.model_copy(update={"settings": {"equal_texts": "apart"}})
    assert facts_of(measure(table, records, apart))["r0/image_to_text"] == 3
    assert facts_of(measure(table, records, pairs))["r0/image_to_text"] == 2


@pytest.mark.parametrize("equal_texts", ["shared", "apart"])
@pytest.mark.parametrize(("tie_rule", "value"), [("for_model", 1.0), ("against_model", 0.0)])
def test_a_collapsed_model_with_several_texts(pairs, equal_texts, tie_rule, value):
    settings = {"equal_texts": equal_texts}
    spec = pairs.model_copy(update={"tie_rule": tie_rule, "settings": settings})
    records = [several(i, str(3 * i), str(3 * i + 1), "60") for i in range(16)]
    found = values(measure(Codes(constant), [*records[:15], several(15, "61")], spec))
    assert found["image_to_text_recall@10"] == value
    if equal_texts == "apart":
        assert set(found.values()) == {value}


def test_the_order_of_records_and_texts_changes_nothing(pairs):
    apart = pairs.model_copy(update={"settings": {"equal_texts": "apart"}})
    texts = [[str(i), str(i + 20), str(i % 7)] for i in range(20)]
    one = measure(Noisy(), [several(i, *texts[i]) for i in range(20)], apart)
    order = random.Random(0).sample(range(20), 20)
    other = measure(Noisy(), [several(i, *texts[i][::-1]) for i in order], apart, batch_size=7)
    assert values(one) == values(other)
    assert 0 < values(one)["image_to_text_recall@5"] < 1


def test_many_similarities_are_computed_in_parts(pairs, monkeypatch):
    records = [several(i, str(i), str(i + 20)) for i in range(20)]
    whole = measure(Noisy(), records, pairs)
    monkeypatch.setattr(retrieval, "SIMILARITIES_AT_ONCE", 130)
    assert measure(Noisy(), records, pairs) == whole


def test_a_sample_counts_in_the_direction_of_the_main_metric(pairs):
    records = [several(i, str(i), str(i + 20)) for i in range(20)]
    for name in ("image_to_text_recall@1", "text_to_image_recall@5"):
        scored = measure(Noisy(), records, pairs.model_copy(update={"metric": name}))
        total = sum(sample.score * sample.weight for sample in scored.samples)
        assert total == pytest.approx(values(scored)[name])


def test_another_number_of_texts_is_told(pairs):
    settings = {"expected_texts": 5}
    spec = pairs.model_copy(update={"settings": settings, "expected_n": 2})
    records = [several(0, "a", "b"), several(1, "c", "d")]
    notes = ("the data have 4 texts, and the benchmark declares 5",)
    assert measure(VECTORS, records, spec).notes == notes
    assert measure(VECTORS, records, spec.model_copy(update={"expected_n": 3})).notes == ()
    assert measure(VECTORS, records, spec.model_copy(update={"settings": {}})).notes == ()


def test_recall_counts_ranks(pairs):
    samples = [
        Sample(
            id=f"r{number}/{direction}",
            group=direction,
            prediction="x",
            answer="y",
            extra={"rank": rank, "right": 1, "candidates": 100},
        )
        for direction in ("image_to_text", "text_to_image")
        for number, rank in enumerate([1, 2, 5, 6, 10, 11])
    ]
    found = values(score(samples, pairs))
    assert [found[f"image_to_text_recall@{k}"] for k in (1, 5, 10)] == [1 / 6, 3 / 6, 5 / 6]


def test_similarities_that_are_no_numbers_are_refused(pairs):
    model = Codes(lambda numbers: oracle(numbers) * float("nan"))
    with pytest.raises(EvaluationError, match="record r0: its embedding is NaN or infinite"):
        measure(model, [pair(0), pair(1)], pairs)


def test_conversations_are_refused(pairs):
    with pytest.raises(EvaluationError, match="record r0: retrieval needs image-text pairs"):
        measure(Codes(oracle), [Conversation("r0", ())], pairs)


def test_a_tie_rule_is_needed(pairs):
    with pytest.raises(EvaluationError, match="needs `tie_rule`"):
        measure(Codes(oracle), [pair(0)], pairs.model_copy(update={"tie_rule": None}))


def test_a_sample_without_a_rank_is_named(pairs):
    bad = Sample(id="r0/image_to_text", group="image_to_text", prediction="x", answer="y")
    with pytest.raises(EvaluationError, match="sample r0/image_to_text: expected whole numbers"):
        score([bad], pairs)


# hosts


@pytest.fixture
def cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path_factory.getbasetemp() / "retrieval"))


WORLDS = ("retrieval_coco_test", "retrieval_flickr30k_test")


@pytest.mark.parametrize("name", WORLDS)
def test_tiny_clip_gets_numbers(lively, cache, name):
    spec = load_benchmark(f"scenes/{name}", ["world.num_samples=20"])
    result, samples = evaluate(lively("tiny_clip"), spec, progress=False)
    counts = {metric.name: metric.n for metric in result.metrics}
    assert counts["image_to_text_recall@1"] == 20
    assert counts["text_to_image_recall@10"] == len(samples) - 20 > 80
    assert score_samples(samples, spec).metrics == list(result.metrics)


@pytest.mark.parametrize("host_name", ["tiny_llava", "tiny_llama"])
def test_hosts_that_do_not_embed_are_not_asked(host, cache, host_name):
    result, _ = evaluate(
        host(host_name), load_benchmark("scenes/retrieval_coco_test"), progress=False
    )
    assert result.status == "not_applicable"


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_have_the_size_that_they_declare(cache, name):
    spec = load_benchmark(f"scenes/{name}")
    records = open_dataset(placed(spec).data)
    assert len(records) == spec.expected_n
    texts = sum(len(record.meta["answers"]) for record in records)
    assert texts == spec.settings["expected_texts"]
