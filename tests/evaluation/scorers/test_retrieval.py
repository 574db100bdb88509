import random

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize, one_hot

from vlft.data.records import Conversation, ImageRef, Pair
from vlft.errors import EvaluationError
from vlft.evaluation.driver import predict
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
    with pytest.raises(EvaluationError, match="NaN or infinite"):
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
