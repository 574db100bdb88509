"""Captions of COCO's kind: predictions made elsewhere, and hosts on the generated world."""

import json
from pathlib import Path

import pytest

from vlft.data import open_dataset
from vlft.data.records import Pair
from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.captions import java
from vlft.evaluation.driver import evaluate, predict, score_samples
from vlft.evaluation.places import placed
from vlft.evaluation.predictions import score_predictions
from vlft.types import Message

NAMES = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "words")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path_factory.getbasetemp() / "captions"))


def declared(name="captions_coco_karpathy_test"):
    return load_benchmark(f"scenes/{name}", ["world.num_samples=12"])


def world(name="captions_coco_karpathy_test", **changes):
    return placed(declared(name).model_copy(update=changes))


@pytest.fixture
def spec():
    return world()


@pytest.fixture
def records(spec):
    return list(open_dataset(spec.data))


def values(result):
    return {metric.name: metric.value for metric in result.metrics}


def asked(model, records, spec):
    return score_samples(predict(model, records, spec, batch_size=5).samples, spec)


def score_file(tmp_path, content, **options):
    path = tmp_path / "said.json"
    path.write_text(json.dumps(content))
    return score_predictions(path, declared(), **options)


def said(records, say=lambda record: record.text):
    return [{"image_id": int(record.id), "caption": say(record)} for record in records]


# what is asked


def test_the_prompt_is_that_of_lmms_eval(answers, records, spec):
    model = answers(lambda prompt: "a red circle")
    asked(model, records, spec)
    assert model.asked[0].messages == (Message("user", (0, "Describe the image briefly.")),)
    flickr = world("captions_flickr30k_test")
    asked(model, list(open_dataset(flickr.data)), flickr)
    question = "Provide a one-sentence caption for the provided image."
    assert model.asked[-1].messages == (Message("user", (0, question)),)


# predictions made elsewhere


def test_an_oracle_gets_one_and_what_it_says_stands_beside(tmp_path, records):
    result, samples = score_file(tmp_path, said(records))
    found = values(result)
    assert tuple(found) == NAMES
    assert [found[name] for name in ("bleu_1", "bleu_4", "rouge_l")] == pytest.approx([1, 1, 1])
    assert 0 < found["cider"] < 10
    key = result.protocol.ranking_key
    assert (key.extraction, key.coverage) == ("ptb-like", "full")
    assert result.notes == (
        "cider is CIDEr-D, from 0 to 10, with the document frequencies of the 12 images that were "
        "measured",
    )
    assert samples[0].extra["answers"] == records[0].meta["answers"]
    # CIDEr is the mean of the samples' own scores
    assert found["cider"] == pytest.approx(sum(sample.score for sample in samples) / 12)


def test_karpathys_own_file_gives_the_same_numbers(tmp_path, records, spec):
    path = tmp_path / "said.json"
    path.write_text(json.dumps(said(records, lambda record: record.meta["answers"][-1])))
    real = load_benchmark("captions/coco_karpathy_test")
    folder = Path(spec.data.path).parent
    one, other = (
        score_predictions(path, real, data=str(folder / name))
        for name in ("coco_karpathy_test.json", "dataset_coco.json")
    )
    assert one.samples == other.samples
    assert one.result.metrics == other.result.metrics
    assert "the data have 12 records, and the benchmark declares 5000" in one.result.notes[0]


def test_one_caption_for_all_images_gets_little(tmp_path, records):
    constant = values(score_file(tmp_path, said(records, lambda record: "a red circle.")).result)
    oracle = values(score_file(tmp_path, said(records)).result)
    assert all(constant[name] < oracle[name] for name in NAMES)


def test_the_order_of_predictions_and_the_form_of_ids_change_nothing(tmp_path, records):
    rows = said(records, lambda record: record.meta["answers"][1])
    one = score_file(tmp_path, rows)
    texts = [{"image_id": str(row["image_id"]), "caption": row["caption"]} for row in rows[::-1]]
    other = score_file(tmp_path, texts)
    assert one.samples == other.samples
    assert one.result.metrics == other.result.metrics


def test_an_empty_caption_scores_nothing_and_is_told(tmp_path, records):
    rows = said(records, lambda record: "" if record.id in "01" else record.text)
    result, samples = score_file(tmp_path, rows)
    assert [sample.score for sample in samples[:2]] == [0, 0]
    assert "2 captions have no words and score 0" in result.notes


BAD = {
    "one missing": (lambda rows: rows[1:], "1 of 12 records have no prediction (0)"),
    "a stranger": (
        lambda rows: [*rows, {"image_id": 99, "caption": "a"}],
        "1 prediction has no record (99",
    ),
    "two for one image": (lambda rows: [*rows, rows[0]], "2 predictions have the id '0'"),
    "no caption": (
        lambda rows: [{"image_id": 0, "caption": None}, *rows[1:]],
        "row 1 (id 0): expected one of `answer`",
    ),
    "no id": (lambda rows: [{"caption": "a"}, *rows[1:]], "row 1: found no `id`"),
    "an id that is no whole number": (
        lambda rows: [rows[0] | {"image_id": 0.0}, *rows[1:]],
        "is 0.0, expected a text or a whole number",
    ),
    "scores": (
        lambda rows: [{"image_id": 0, "scores": [1.0, 2.0]}, *rows[1:]],
        "found `scores`, expected `answer`",
    ),
    "COCO's annotations": (lambda rows: {"annotations": rows}, "found dict, expected rows such as"),
}


@pytest.mark.parametrize(("change", "phrase"), BAD.values(), ids=BAD)
def test_files_that_do_not_fit_are_refused(tmp_path, records, change, phrase):
    with pytest.raises(EvaluationError) as error:
        score_file(tmp_path, change(said(records)))
    assert phrase in str(error.value)


def test_a_part_is_marked(tmp_path, records):
    result = score_file(tmp_path, said(records)[2:], partial=True).result
    assert result.protocol.ranking_key.coverage == "limited"


# tokenizer and metrics by name


def test_another_tokenizer_is_another_protocol(tmp_path, records, monkeypatch):
    monkeypatch.setattr(java, "find_spec", lambda package: None)
    with pytest.raises(EvaluationError, match=r"ptb-java needs the package pycocoevalcap \(pip"):
        score_file(tmp_path, said(records), policy="ptb-java")
    with pytest.raises(UnknownNameError, match="Did you mean 'ptb-like'"):
        score_file(tmp_path, said(records), policy="ptb_like")


def test_metrics_are_chosen_by_name(answers, records):
    model = answers(lambda prompt: "a red circle")
    spec = world(settings={"metrics": ["exact_match", "rouge_l"]}, metric="rouge_l")
    scored = asked(model, records, spec)
    assert [metric.name for metric in scored.metrics] == ["rouge_l", "exact_match"]
    with pytest.raises(EvaluationError, match=r"settings.metrics.1 = 'blue'"):
        asked(model, records, world(settings={"metrics": ["rouge_l", "blue"]}))
    with pytest.raises(EvaluationError, match="unknown metric 'cider'"):
        asked(model, records, world(settings={"metrics": ["rouge_l"]}))


@pytest.mark.parametrize("metric", ["cider", "bleu_2", "rouge_l", "words"])
def test_groups_and_samples_carry_the_main_metric(answers, records, metric):
    spec = world(metric=metric, group_by="kind")
    grouped = [
        Pair(one.id, one.image, one.text, {**one.meta, "kind": "ab"[number % 2]})
        for number, one in enumerate(records)
    ]
    scored = asked(answers(lambda prompt: "a red circle is in row 1."), grouped, spec)
    assert set(scored.groups) == {"a", "b"}
    assert {(m.name, m.n) for (m,) in scored.groups.values()} == {(metric, 6)}
    if not metric.startswith("bleu"):
        mean = sum(m.value for (m,) in scored.groups.values()) / 2
        assert scored.metrics[0].value == pytest.approx(mean)


def test_a_sample_without_references_is_named(answers, records, spec):
    samples = predict(answers(lambda prompt: "a"), records, spec).samples
    samples[3] = samples[3].model_copy(update={"extra": {}})
    with pytest.raises(EvaluationError, match="sample 3: expected a list of right captions"):
        score_samples(samples, spec)


def test_samples_are_scored_again_without_a_model(answers, records, spec):
    scored = asked(answers(lambda prompt: "a red circle"), records, spec)
    assert score_samples(scored.samples, spec) == scored


# hosts


@pytest.mark.parametrize("name", ["captions_coco_karpathy_test", "captions_flickr30k_test"])
def test_tiny_llava_gets_numbers(lively, name):
    spec = declared(name).model_copy(update={"max_new_tokens": 8})
    result, samples = evaluate(lively("tiny_llava"), spec, progress=False)
    assert result.status == "scored"
    assert tuple(values(result)) == NAMES
    assert len(samples) == 12
    assert len({str(sample.prediction) for sample in samples}) > 1


@pytest.mark.parametrize(
    ("host_name", "reason"),
    [("tiny_clip", "no capability Generates"), ("tiny_llama", "the host reads text only")],
)
def test_other_hosts_are_not_asked(host, host_name, reason):
    result, samples = evaluate(
        host(host_name), load_benchmark("scenes/captions_coco_karpathy_test"), progress=False
    )
    assert (result.status, samples) == ("not_applicable", [])
    assert reason in str(result.reason)


@pytest.mark.parametrize("name", ["captions_coco_karpathy_test", "captions_flickr30k_test"])
def test_worlds_have_the_size_that_they_declare(name):
    spec = load_benchmark(f"scenes/{name}")
    assert len(open_dataset(placed(spec).data)) == spec.expected_n
