"""MMEB: oracles get 1, ties follow the rule, order means nothing, reports stand without data."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import Table, parquet

from vlft.backbones import build
from vlft.data import images, open_dataset
from vlft.data.records import ImageRef, Item, Pair, Ranking, images_of
from vlft.data.scenes.layouts import write_layout
from vlft.disk import CACHE
from vlft.errors import DataError, EvaluationError, RecordError
from vlft.evaluation.answering import in_batches
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.capabilities import capabilities_of
from vlft.evaluation.check import check_data
from vlft.evaluation.driver import evaluate, measure, predict, score_samples
from vlft.evaluation.places import placed
from vlft.evaluation.predictions import score_predictions
from vlft.evaluation.requests import EmbedImage, EmbedPrompt, EmbedText
from vlft.evaluation.scorers.mmeb import ask, from_scores
from vlft.recipe.backbone import ImageTextToText
from vlft.results import ModelIdentity
from vlft.results.mmeb_report import read_report, report_of
from vlft.types import Embeds, EmbedsPrompts, Message, Prompt

MARK = "<|image_1|>"


def spec_of(**changes):
    return load_benchmark("mmeb/image").model_copy(update=changes)


def run(model, records, spec=None, batch=3):
    spec = spec or spec_of()
    return score_samples(predict(model, records, spec, batch_size=batch).samples, spec)


def values(scored):
    return {metric.name: metric.value for metric in scored.metrics}


def at(angle):
    """Return a unit vector."""
    return [float(np.cos(angle)), float(np.sin(angle)), 0.0]


def ranking(number, texts, dataset="VOC2007", query=None, pool=None):
    """Ask which of some texts is right; the query is a text as well."""
    pool = pool or tuple(map(Item, dict.fromkeys(texts)))
    places = [[item.text for item in pool].index(text) for text in texts]
    return Ranking(
        f"{dataset}/{number}",
        Item(query or f"query {number}"),
        pool,
        np.array(places, dtype=np.int32),
        {"dataset": dataset},
    )


def rankings(rows, dataset="VOC2007", queries=None):
    """Ask several times, with one pool."""
    rows = list(rows)
    pool = tuple(map(Item, dict.fromkeys(text for texts in rows for text in texts)))
    return [
        ranking(number, texts, dataset, queries and queries[number], pool)
        for number, texts in enumerate(rows)
    ]


class Reads:
    """Embeds texts and images by functions to vectors."""

    def __init__(self, text, image=None):
        self.text, self.image = text, image
        self.texts, self.images = [], 0

    def embed_texts(self, texts):
        self.texts += texts
        return torch.tensor([self.text(text) for text in texts], dtype=torch.float32)

    def embed_images(self, images):
        self.images += len(images)
        return torch.tensor([self.image(one.getpixel((0, 0))) for one in images])


class Prompts:
    """Embeds prompts, and remembers them."""

    def __init__(self, vector):
        self.vector, self.asked, self.templates = vector, [], set()

    def embed_prompts(self, prompts, *, chat_template=True):
        self.asked += prompts
        self.templates.add(chat_template)
        return torch.tensor([self.vector(prompt) for prompt in prompts])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_layout("mmeb", tmp_path_factory.mktemp("mmeb"), num_samples=8, seed=1)


@pytest.fixture
def scenes(world):
    """The generated data sets of eight queries each, and the benchmark that reads them."""
    spec = load_benchmark("scenes/mmeb", ["expected_n=48"])
    data = spec.data.model_copy(update={"path": str(world), "image_root": str(world / "images")})
    return spec.model_copy(update={"data": data}), open_dataset(data)


# who gets what


def test_an_oracle_gets_one_and_a_constant_what_the_tie_rule_says():
    records = rankings([f"right {n}", "wrong", "false"] for n in range(4))
    oracle = Reads(lambda text: at(int(text[-1])) if text[-1].isdigit() else at(-1))
    found = run(oracle, records)
    assert values(found)["hit@1"] == 1
    assert found.notes == ()
    constant = Reads(lambda text: at(0))
    found = run(constant, records)
    assert values(found)["hit@1"] == 1
    assert found.notes == (
        "in 4 of 4 queries a wrong candidate scores exactly what the right one scores; such ties "
        "count for the model, and decide whether 4 of them are hits",
    )
    against = run(constant, records, spec_of(tie_rule="against_model"))
    assert values(against)["hit@1"] == 0
    assert "count against the model" in against.notes[0]


def test_an_identical_query_and_target_scores_one():
    draw = np.random.default_rng(0)
    vectors = {}

    def drawn(text):
        vector = vectors.setdefault(text, draw.standard_normal(5))
        return list(vector / np.linalg.norm(vector))

    texts = [f"text {n}" for n in range(9)]
    rows = [[text, *(one for one in texts if one != text)] for text in texts]
    records = rankings(rows, queries=texts)
    assert values(run(Reads(drawn), records))["hit@1"] == 1


def test_the_order_of_candidates_and_records_and_batches_changes_nothing():
    draw = np.random.default_rng(1)
    vectors = {}

    def drawn(text):
        vector = vectors.setdefault(text, draw.standard_normal(7))
        return list(vector / np.linalg.norm(vector))

    records = rankings([f"text {(n * k) % 41}" for k in range(1, 8)] for n in range(1, 30))
    whole = run(Reads(drawn), records)
    shuffle = random.Random(2)
    moved = []
    for record in records:
        first, *others = record.candidates.tolist()
        places = [first, *shuffle.sample(others, len(others))]
        moved.append(replace(record, candidates=np.array(places, dtype=np.int32)))
    again = run(Reads(drawn), moved, batch=11)
    assert again == whole
    assert 0 < values(whole)["hit@1"] < 1
    assert values(run(Reads(drawn), shuffle.sample(records, len(records)))) == values(whole)


def test_numbers_by_hand():
    # the right one has rank 1, 2 and 3
    near = {"query 0": 0.0, "query 1": 1.0, "query 2": 2.0}
    records = rankings([["zero", "one", "two"]] * 2)
    records.append(ranking(2, ["zero", "one", "two"], "RefCOCO-Matching"))
    where = {"zero": 0.0, "one": 1.1, "two": 2.1}
    found = run(Reads(lambda text: at((near | where)[text])), records)
    assert [sample.score for sample in found.samples] == [1, 0, 0]
    assert [sample.weight for sample in found.samples] == [0.25, 0.25, 0.5]
    assert values(found) == {
        "hit@1": 0.25,
        "hit@1_by_meta_task": 0.25,
        "hit@1_IND": 0.5,
        "hit@1_by_meta_task_IND": 0.5,
        "hit@1_OOD": 0.0,
        "hit@1_by_meta_task_OOD": 0.0,
    }
    voc = {metric.name: metric for metric in found.groups["VOC2007"]}
    assert len(voc) == 24
    assert voc["mrr@5"].value == pytest.approx((1 + 1 / 2) / 2)
    assert voc["ndcg_linear@5"].value == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert (voc["hit@1"].chance, voc["hit@1"].n) == (pytest.approx(1 / 3), 2)
    matching = {metric.name: metric.value for metric in found.groups["RefCOCO-Matching"]}
    assert matching["mrr@10"] == pytest.approx(1 / 3)
    assert list(found.groups) == ["CLS", "VG", "IND", "OOD", "VOC2007", "RefCOCO-Matching"]
    first, second, third = found.samples
    assert (first.prediction, first.answer, first.group) == ("zero", "zero", "VOC2007")
    assert second.extra == {"candidates": 3, "ahead": 1, "ties": 0}
    assert third.extra == {"candidates": 3, "ahead": 2, "ties": 0}


def test_the_metric_is_the_sum_of_scores_and_weights(scenes):
    spec, records = scenes
    draw = np.random.default_rng(3)
    model = Reads(
        lambda text: list(draw.standard_normal(3)), lambda pixel: list(draw.standard_normal(3))
    )
    found = run(model, list(records), spec)
    total = sum(sample.score * sample.weight for sample in found.samples)
    assert total == pytest.approx(values(found)["hit@1"])


def test_a_candidate_that_is_listed_twice_counts_once():
    record = ranking(0, ["right", "wrong"])
    twice = replace(record, candidates=np.array([0, 1, 0, 1], dtype=np.int32))
    model = Reads(lambda text: at(0) if text == "query 0" else at(len(text) / 10))
    one, other = run(model, [record]), run(model, [twice])
    assert one == other
    assert from_scores(twice, [1.0, 2.0, 9.0, 9.0], spec_of()).extra == {
        "candidates": 2, "ahead": 1, "ties": 0
    }  # fmt: skip


# what is asked


def test_every_different_query_and_candidate_is_asked_once(scenes):
    spec, records = scenes
    model = Reads(lambda text: at(len(text)), lambda pixel: at(sum(pixel)))
    run(model, list(records), spec)
    assert len(set(model.texts)) == len(model.texts)
    assert not any(MARK in text for text in model.texts)
    refs = {
        str(item.image.path)
        for record in records
        for item in (record.query, *(record.pool[place] for place in record.candidates))
        if item.image is not None
    }
    assert model.images == len(refs)


def test_equal_paths_are_one_candidate_where_the_path_tells_them(tmp_path):
    def row(dataset):
        refs = [ImageRef(path=Path(name), root=tmp_path) for name in ("a.png", "a.png", "b.png")]
        texts = ('"dog"', '"cat"', '"cat"')
        pool = tuple(Item(text, ref) for text, ref in zip(texts, refs, strict=True))
        places = np.arange(3, dtype=np.int32)
        return Ranking(f"{dataset}/0", Item("which?"), pool, places, {"dataset": dataset})

    spec = spec_of()
    asked = {name: list(ask([row(name)], spec, EmbedsPrompts))[1:] for name in ("WebQA", "RefCOCO")}
    assert {name: len(requests) for name, requests in asked.items()} == {"WebQA": 2, "RefCOCO": 3}


def test_image_and_text_of_a_dual_encoder_are_added_at_unit_length(tmp_path):
    Image.new("RGB", (4, 4), (90, 0, 0)).save(tmp_path / "q.png")
    image = ImageRef(path=Path("q.png"), root=tmp_path)
    record = replace(
        ranking(0, ["between", "image", "text"]), query=Item(f"{MARK}\nboth \n", image)
    )
    angles = {"both": 0.0, "between": np.pi / 4, "image": np.pi / 2, "text": 0.0}
    model = Reads(lambda text: at(angles[text]), lambda pixel: at(np.radians(pixel[0])))
    (sample,) = run(model, [record]).samples
    assert (sample.prediction, sample.score) == ("between", 1)
    kinds = [type(request) for request in ask([record], spec_of(), Embeds)]
    assert kinds == [EmbedImage, EmbedText, *[EmbedText] * 3]


def test_an_image_alone_is_not_fused(tmp_path):
    image = ImageRef(path=Path("q.png"), root=tmp_path)
    record = replace(ranking(0, ["a"]), query=Item(MARK, image))
    assert [type(one) for one in ask([record], spec_of(), Embeds)] == [EmbedImage, EmbedText]


def test_generative_hosts_read_text_and_image_in_one_prompt(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "q.png")
    image = ImageRef(path=Path("q.png"), root=tmp_path)
    record = replace(ranking(0, ["yes", ""]), query=Item(f"see {MARK}\nis it? \n", image))
    model = Prompts(lambda prompt: at(len(prompt.images)))
    run(model, [record])
    assert model.templates == {False}
    contents = {prompt.messages[0].content for prompt in model.asked}
    # an empty candidate is one blank, since a host needs a token
    assert contents == {("see ", 0, "\nis it? \n"), ("yes",), (" ",)}
    again = Prompts(lambda prompt: at(0))
    run(again, [record], spec_of(prompt_format="official_chat"))
    assert again.templates == {True}


def test_prompt_formats_have_other_requests_and_batches(scenes):
    spec, records = scenes
    bare = list(ask(list(records), spec, EmbedsPrompts))
    chat = list(
        ask(
            list(records), spec.model_copy(update={"prompt_format": "official_chat"}), EmbedsPrompts
        )
    )
    assert all(isinstance(one, EmbedPrompt) for one in bare)
    assert not {one.key for one in bare} & {one.key for one in chat}
    for batch in in_batches([*bare, *chat], 8):
        assert len({request.chat_template for request in batch}) == 1


def test_a_dual_encoder_has_no_chat_template():
    with pytest.raises(EvaluationError, match=r"has no chat template; use prompt_format=official"):
        run(Reads(lambda text: at(0)), [ranking(0, ["a"])], spec_of(prompt_format="official_chat"))


# what is refused


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_no_numbers_are_refused(bad):
    records = [ranking(0, ["right", "wrong"])]
    model = Reads(lambda text: [bad, 0.0] if text == "wrong" else [1.0, 0.0])
    with pytest.raises(EvaluationError, match=r"VOC2007, candidate 'wrong': its embedding is NaN"):
        run(model, records)
    model = Reads(lambda text: [bad, 0.0] if text == "query 0" else [1.0, 0.0])
    with pytest.raises(EvaluationError, match=r"mmeb/image, record VOC2007/0: its embedding is"):
        run(model, records)


def test_an_image_that_cancels_its_text_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "q.png")
    image = ImageRef(path=Path("q.png"), root=tmp_path)
    record = replace(ranking(0, ["a"]), query=Item("against", image))
    model = Reads(lambda text: [1.0, 0.0], lambda pixel: [-1.0, 0.0])
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        run(model, [record])


def test_a_missing_image_names_data_set_and_row(scenes, world):
    spec, records = scenes
    model = Prompts(lambda prompt: at(0))
    (victim,) = world.glob("images/Scenes-t2i/000003.png")
    content = victim.read_bytes()
    victim.unlink()
    try:
        with pytest.raises(RecordError, match=r"record Scenes-t2i/\d: image not found: 'Scenes-t"):
            run(model, list(records), spec)
    finally:
        victim.write_bytes(content)


def test_checked_data_open_every_file_once(scenes, world, monkeypatch):
    spec, records = scenes
    own = spec.model_copy(update={"world": None, "download": "elsewhere", "revision": "content"})
    opened = []
    looked_up = images._file
    monkeypatch.setattr(images, "_file", lambda *where: opened.append(where) or looked_up(*where))
    found = check_data(own, str(world))
    assert (found.n, found.problems) == (48, ())
    different = {ref for record in records for ref in images_of(record)}
    assert len(opened) == len(different) < sum(len(images_of(record)) for record in records)


def test_records_of_other_kinds_and_unknown_data_sets_are_named(tmp_path):
    pair = Pair("p", ImageRef(path=Path("a.png"), root=tmp_path), "text")
    with pytest.raises(EvaluationError, match=r"record p: expected a query with candidates; use"):
        run(Reads(lambda text: at(0)), [pair])
    with pytest.raises(EvaluationError, match=r"unknown data set 'NIGHT'. Did you mean 'NIGHTS'"):
        run(Reads(lambda text: at(0)), [ranking(0, ["a"], "NIGHT")])


def test_settings_and_tie_rule_are_checked():
    records = [ranking(0, ["a"])]
    spec = spec_of(settings={"datasets": {"VOC2007": {"task": "CLS", "domain": "IND"}}})
    with pytest.raises(EvaluationError, match=r"settings.datasets.VOC2007.shape"):
        run(Reads(lambda text: at(0)), records, spec)
    with pytest.raises(EvaluationError, match="scorer mmeb needs `tie_rule`"):
        run(Reads(lambda text: at(0)), records, spec_of(tie_rule=None))


def test_samples_of_another_scorer_are_named():
    spec = spec_of()
    (sample,) = run(Reads(lambda text: at(0)), [ranking(0, ["a"])]).samples
    with pytest.raises(EvaluationError, match=r"sample VOC2007/0: expected candidates, ahead, ti"):
        score_samples([sample.model_copy(update={"extra": {}})], spec)
    with pytest.raises(EvaluationError, match=r"unknown data set 'VOC'. Did you mean 'VOC2007'"):
        score_samples([sample.model_copy(update={"group": "VOC"})], spec)
    with pytest.raises(EvaluationError, match="no samples to score"):
        score_samples([], spec)


# predictions made elsewhere


def test_scores_count_in_the_order_of_the_row(tmp_path, scenes, world):
    spec, records = scenes
    rows = [
        {"id": record.id, "scores": [1.0, *[0.0] * (len(record.candidates) - 1)]}
        for record in records
    ]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = spec.model_copy(update={"world": None, "download": "elsewhere"})
    own = own.model_copy(
        update={"data": spec.data.model_copy(update={"path": "mmeb", "image_root": "mmeb/images"})}
    )
    found = score_predictions(path, own.model_copy(update={"revision": "content"}), data=str(world))
    assert found.result.metrics[0].value == 1
    assert found.result.protocol.ranking_key.coverage == "full"
    assert found.result.notes == ()


def test_scores_equal_what_the_model_gives():
    record = ranking(0, ["right", "wrong", "false"])
    angles = {"query 0": 0.0, "right": 0.5, "wrong": 0.2, "false": 0.5}
    (sample,) = predict(Reads(lambda text: at(angles[text])), [record], spec_of()).samples
    assert from_scores(record, [0.5, 0.8, 0.5], spec_of()) == sample
    assert sample.extra == {"candidates": 3, "ahead": 1, "ties": 1}


@pytest.mark.parametrize(
    ("scores", "message"),
    [([1.0], "found 1 scores, expected 2"), ([1.0, float("nan")], "NaN or infinite")],
)
def test_scores_that_do_not_fit_are_named(scores, message):
    with pytest.raises(EvaluationError, match=rf"record VOC2007/0: .*{message}"):
        from_scores(ranking(0, ["a", "b"]), scores, spec_of())


def test_the_public_report_is_read_without_data(shared_data):
    path = shared_data / "mmeb" / "report_layout_sample.json"
    found = score_predictions(path, load_benchmark("mmeb/image"))
    assert found.samples == []
    result = found.result
    assert result.model.name == "VLM2Vec-V2.0-Qwen2VL-2B"
    assert result.metrics[0].name == "hit@1"
    assert (result.metrics[0].value, result.metrics[0].n) == (0.808, 1000)
    assert result.protocol.ranking_key.coverage == "limited"
    assert result.notes[0].startswith("the report lacks 35 data sets: N24News, ")
    assert {metric.name: metric.value for metric in result.groups["ImageNet-1K"]} == {
        name: value
        for name, value in json.loads(path.read_text())["metrics"]["image"]["ImageNet-1K"].items()
        if not name.startswith("num_")
    }


def test_a_full_report_is_full_and_comes_back(tmp_path):
    entry = {"hit@1": 0.25, "hit@5": 0.5, "num_pred": 1000, "num_data": 1000}
    names = load_benchmark("mmeb/image").data.datasets
    content = {"metadata": {}, "metrics": {"image": dict.fromkeys(names, entry)}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    result = score_predictions(path, load_benchmark("mmeb/image")).result
    assert result.protocol.ranking_key.coverage == "full"
    assert (result.metrics[0].value, result.metrics[0].n) == (0.25, 36000)
    assert result.notes == ()
    again = read_report(content)
    assert report_of(result).metrics["image"] == again.metrics["image"]


def test_a_report_on_a_part_of_the_queries_is_limited(tmp_path):
    entry = {"hit@1": 0.25, "num_pred": 1000, "num_data": 1000}
    names = load_benchmark("mmeb/image").data.datasets
    image = dict.fromkeys(names, entry) | {"NIGHTS": entry | {"num_pred": 10}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"metrics": {"image": image}}))
    result = score_predictions(path, load_benchmark("mmeb/image")).result
    assert result.protocol.ranking_key.coverage == "limited"
    assert result.notes == ("1 data sets were not measured on their 1,000 queries: NIGHTS",)
    assert result.groups["NIGHTS"][0].n == 10


# benchmarks


def test_a_part_of_the_data_sets_is_limited(tmp_path):
    write_layout("mmeb", tmp_path / "mmeb", num_samples=4)
    spec = placed(
        load_benchmark("scenes/mmeb", ["data.datasets=[Scenes-CLS,Scenes-VG]"]).model_copy(
            update={"world": None, "download": "elsewhere", "revision": "content"}
        ),
        str(tmp_path),
    )
    model = Reads(lambda text: at(len(text)), lambda pixel: at(sum(pixel)))
    records = open_dataset(spec.data)
    result = measure(
        model, spec, records, identity=ModelIdentity(name="m"), recorded={}, progress=False
    ).result
    assert result.protocol.ranking_key.coverage == "limited"
    assert result.notes[0].startswith("the data have 8 records, and the benchmark declares 516")
    assert {"Scenes-CLS", "Scenes-VG"} < set(result.groups)
    assert "Scenes-VQA" not in result.groups


def test_real_data_sets_that_are_missing_are_named_with_where_to_get_them(tmp_path):
    spec = load_benchmark("mmeb/image")
    with pytest.raises(EvaluationError, match=r"looked for .*/mmeb .*hf download TIGER-Lab/MMEB-e"):
        placed(spec, str(tmp_path / "gone"))
    (tmp_path / "mmeb" / "images").mkdir(parents=True)
    (tmp_path / "mmeb" / "NIGHTS").mkdir()
    row = {"qry_text": "q", "qry_img_path": "", "tgt_text": ["a"], "tgt_img_path": [""]}
    parquet.write_table(Table.from_pylist([row]), tmp_path / "mmeb" / "NIGHTS" / "test.parquet")
    with pytest.raises(DataError, match=r"35 of 36 data sets are missing: ImageNet-1K, N24News"):
        open_dataset(placed(spec, str(tmp_path)).data)
    one = load_benchmark("mmeb/image", ["data.datasets=[NIGHTS]"])
    assert len(open_dataset(placed(one, str(tmp_path)).data)) == 1


@pytest.fixture
def few(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    return load_benchmark("scenes/mmeb", ["world.num_samples=6"])


def test_tiny_hosts_get_numbers(lively, few):
    torch.manual_seed(0)
    qwen = build(ImageTextToText(type="image_text_to_text", config="tiny_qwen2_5_vl"))
    for backbone in (lively("tiny_clip"), lively("tiny_llava"), qwen):
        result, samples = evaluate(backbone, few, progress=False)
        assert (result.status, len(samples), result.metrics[0].n) == ("scored", 36, 36)
        assert result.protocol.ranking_key.prompt_format == "official"
        assert result.protocol.ranking_key.decoding == "cosine"  # all hosts rank together
        assert len({sample.prediction for sample in samples}) > 6
        assert score_samples(samples, few).metrics == list(result.metrics)


@pytest.mark.parametrize("config", ["tiny_llava", "tiny_qwen2_5_vl", "tiny_smolvlm"])
def test_the_state_of_the_last_token_is_the_one_after_the_last_norm(config):
    torch.manual_seed(0)
    backbone = build(ImageTextToText(type="image_text_to_text", config=config))
    asked = Prompt((Message("user", ("find the red circle",)),))
    found = capabilities_of(backbone).embed_prompts([asked], chat_template=False)
    inputs = backbone.processor(text=["find the red circle"], return_tensors="pt")
    with torch.no_grad():
        states = backbone.model.eval().model(**inputs).last_hidden_state
    expected = torch.nn.functional.normalize(states[:, -1], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_chat_template_changes_a_generative_hosts_answers(lively, few):
    host = lively("tiny_llava")
    chat = few.model_copy(update={"prompt_format": "official_chat"})
    (one, samples), (other, others) = (evaluate(host, spec, progress=False) for spec in (few, chat))
    keys = [result.protocol.ranking_key for result in (one, other)]
    assert [key.prompt_format for key in keys] == ["official", "official_chat"]
    assert [sample.prediction for sample in samples] != [sample.prediction for sample in others]


def test_text_only_hosts_are_not_measured(lively, few):
    result, _ = evaluate(lively("tiny_llama"), few, progress=False)
    assert (result.status, result.reason) == ("not_applicable", "the host reads text only")
