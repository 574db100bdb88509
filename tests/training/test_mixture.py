"""Training on a mixture: every set is seen by its weight, and a resumed run is the same run."""

import json

import pytest
from torch.utils.data import DataLoader

from vlft.data import open_dataset
from vlft.data.mixture import MixedSamples
from vlft.errors import DataError, RecipeError, RecordError
from vlft.recipe import load_recipe
from vlft.recipe.data import DataSection, Mixture

SCENES = "{type: scenes, questions: [color], num_samples: 12, seed: 5}"
CAPTIONS = "{type: scenes, task: captioning, num_samples: 20, seed: 7}"
MIXTURE = (
    f"data.train={{type: mixture, datasets: [{SCENES}, {CAPTIONS}], weights: [3, 1], "
    "num_samples: 32}"
)
SAVING = ("training.max_steps=12", "training.save_strategy=steps", "training.save_steps=5")
SAME = {
    "mixed": (),
    "homogeneous": ("data.train.homogeneous_batches=true",),
    "with a worker": ("training.dataloader_num_workers=1",),
}
TABLE = [
    pytest.param(overrides, id=name, marks=[] if name == "mixed" else pytest.mark.slow)
    for name, overrides in SAME.items()
]


def curve(run_dir):
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.mark.parametrize("overrides", TABLE)
def test_resumed_equals_uninterrupted(train, overrides, tmp_path):
    """Steps of 4 samples, 8 to an epoch: the checkpoint lies in the second one, at step 10."""
    options = (MIXTURE, *SAVING, *overrides)
    whole = train(*options, run_dir=tmp_path / "whole")
    cut = train(*options, run_dir=tmp_path / "cut")
    for path in cut.glob("checkpoint-12"):  # what is left by a kill after the save at step 10
        (path / "trainer_state.json").unlink()
    train(*options, run_dir=cut, resume=True)
    assert [step for step, _ in curve(cut)] == list(range(1, 13))
    for found, expected in zip(curve(cut), curve(whole), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def section(tmp_path, *, bad=False):
    """Two files of four records; of the second one, the third has no answer."""
    members = []
    for name in ("a", "b"):
        turns = [
            [{"role": "user", "content": f"{name}{i}?"}, {"role": "assistant", "content": "yes"}]
            for i in range(4)
        ]
        if bad and name == "b":
            turns[2][1]["content"] = ""
        lines = [json.dumps({"id": f"{name}{i}", "messages": turns[i]}) for i in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        members.append({"type": "messages", "path": str(tmp_path / f"{name}.jsonl")})
    return Mixture(type="mixture", datasets=members)


@pytest.fixture
def open_mixed(host):
    from vlft.data.pipeline import open_samples

    def make(mixture, run_dir=None, **policies):
        data = DataSection(**policies)
        return open_samples(host("tiny_llama"), data, mixture, run_dir)

    return make


def test_samples_keep_the_names_of_their_sets(open_mixed, tmp_path):
    samples = open_mixed(section(tmp_path))
    assert isinstance(samples, MixedSamples)
    batch = samples.__getitems__([5, 0, 7, 1])
    assert [sample.record_id for sample in batch] == ["b1", "a0", "b3", "a1"]
    assert [sample.dataset.rpartition("/")[2] for sample in batch] == [
        "b.jsonl",
        "a.jsonl",
        "b.jsonl",
        "a.jsonl",
    ]
    assert [samples[5].record_id, samples[0].record_id] == ["b1", "a0"]
    with pytest.raises(IndexError):
        samples[8]


def test_a_bad_record_is_an_error_of_its_set(open_mixed, tmp_path):
    mixture = section(tmp_path, bad=True)
    with pytest.raises(RecordError, match=r"b.jsonl, record b2: .*found an empty answer") as error:
        open_mixed(mixture).__getitems__([0, 6])
    assert error.value.dataset == str(tmp_path / "b.jsonl")
    samples = open_mixed(mixture, tmp_path, on_bad_record="skip")
    assert samples.mix.sizes == (4, 3)
    listing = (tmp_path / "skipped_records.jsonl").read_text()
    assert json.loads(listing)["record_id"] == "b2"


def test_a_column_named_dataset_does_not_hide_the_set(tmp_path):
    turns = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "yes"}]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": turns, "dataset": "elsewhere"}))
    mixture = Mixture(type="mixture", datasets=[{"type": "messages", "path": str(path)}])
    assert open_dataset(mixture)[0].meta["dataset"] == str(path)


def test_read_as_records_a_mixture_is_its_sets_in_order(tmp_path):
    data = open_dataset(section(tmp_path))
    assert [data[i].id for i in range(len(data))] == [f"{n}{i}" for n in "ab" for i in range(4)]
    assert data[6].meta["dataset"] == str(tmp_path / "b.jsonl")
    skipping = open_dataset(section(tmp_path, bad=True), on_bad_record="skip")
    assert len(skipping) == 7
    assert [error.record_id for error in skipping.skipped] == ["b2"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_draw_nothing_themselves(open_mixed, tmp_path, num_workers):
    from vlft.data.collate import ConversationCollator
    from vlft.training.sampler import MixtureSampler

    samples = open_mixed(section(tmp_path))
    collate = ConversationCollator(samples.members[0].encode.processor)
    order = MixtureSampler(samples.mix, num_samples=8, seed=0, chunk=2)
    loader = DataLoader(
        samples, batch_size=2, sampler=order, num_workers=num_workers, collate_fn=collate
    )
    names = [samples[index].record_id for index in order]
    for _ in range(2):
        assert [name for batch in loader for name in batch["record_ids"]] == names


def test_the_audit_looks_at_every_set(host, open_mixed, tmp_path):
    from vlft.data.pipeline import audit_samples

    samples = open_mixed(section(tmp_path))
    reports = audit_samples(host("tiny_llama"), samples, count=4)
    assert [report.record_id for report in reports] == ["a0", "a1", "b0", "b1"]


def test_an_epoch_shorter_than_a_batch_is_refused(open_mixed, tmp_path):
    from vlft.data.pipeline import require_one_batch

    mixture = section(tmp_path).model_copy(update={"num_samples": 6})
    require_one_batch(open_mixed(mixture), global_batch_size=6)
    with pytest.raises(DataError, match=r"a.jsonl \+ .*b.jsonl has 6 samples, fewer than one"):
        require_one_batch(open_mixed(mixture), global_batch_size=8)


VALIDATION = f"data.validation={{type: mixture, datasets: [{SCENES}], weights: [1]}}"
REFUSED = {
    f"data.train={{type: mixture, datasets: [{SCENES}], weights: [1, 2]}}": (
        "data.train.weights = [1, 2]: found 2 weights for 1 data sets: give one for each"
    ),
    f"data.train={{type: mixture, datasets: [{SCENES}], weights: [0]}}": "expected numbers above 0",
    "data.train={type: mixture, datasets: []}": "datasets = []: expected at least one data set",
    "data.train={type: mixture, datasets: [{type: message, path: a}]}": (
        "data.train.datasets.0.type = message: unknown type. Did you mean 'messages'?"
    ),
    f"data.train={{type: mixture, datasets: [{{type: mixture, datasets: [{SCENES}]}}]}}": (
        "data.train.datasets.0.type = mixture: unknown type."
    ),
    "data.train={type: mixture, datasets: [{type: pairs, path: a}], weights: [1]}": (
        "data.train.datasets.0.type = pairs: a generative host trains on conversations"
    ),
    VALIDATION: "validation reads every data set once",
    "data.validation={type: scenes, questions: [color], num_samples: 4, seed: 5}": (
        "data.validation.offset"
    ),
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_mixture_that_does_not_fit_is_refused(override, tiny_recipe):
    with pytest.raises(RecipeError) as error:
        load_recipe(tiny_recipe["generative"], [MIXTURE, override])
    assert REFUSED[override] in str(error.value)


def test_validation_reads_every_set_once(train, tmp_path):
    validation = (
        "data.validation={type: mixture, datasets: [{type: scenes, num_samples: 5, seed: 8}, "
        "{type: scenes, num_samples: 6, seed: 9}]}"
    )
    options = (MIXTURE, validation, "training.eval_strategy=epoch", "training.max_steps=8")
    run_dir = train(*options, run_dir=tmp_path / "run")
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    assert [line for line in lines if "eval_loss" in line]
