"""Features from disk: each image is prepared and seen by the tower once, whatever starts again."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
import torch
from PIL import Image
from torch import nn

from vlft.adapters import apply_adapter
from vlft.data import feature_store, fill_features, images, pipeline
from vlft.data.cached_samples import CachedSamples, cached
from vlft.data.feature_store import FeatureStore
from vlft.data.fill_features import ALONE, Processes
from vlft.data.known_images import KnownImages
from vlft.data.vision_features import vision_features
from vlft.errors import DataError
from vlft.recipe.adapter import DehvfAdapter, LoraAdapter
from vlft.recipe.data import DataSection, Messages, Mixture

CPU = torch.device("cpu")
SECOND = Processes(1, 2)
DEHVF = DehvfAdapter(type="dehvf", groups=2, r=4, num_learned=4, max_images=2)
LORA = LoraAdapter(type="lora", sites=("language.attention",))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vision_features"


@pytest.fixture
def section(write_jsonl, write_image):
    """Six records: images of several sizes, one of them in two records, two at once, none."""
    for number, size in enumerate([(60, 48), (48, 48), (200, 90)]):
        write_image(f"{number}.png", size=size, color=(40 * number, 10, 200))
    shown = [["0.png"], ["1.png"], [], ["0.png", "2.png"], ["1.png"], ["0.png"]]
    rows = [
        {
            "messages": [
                {"role": "user", "content": "<image>" * len(names) + f"what is {number}?"},
                {"role": "assistant", "content": "a red circle and a blue square"},
            ],
            "images": names,
        }
        for number, names in enumerate(shown)
    ]
    return Messages(type="messages", path=str(write_jsonl(rows)))


@pytest.fixture(params=[DEHVF, LORA], ids=["dehvf", "lora"])
def backbone(request, host):
    return apply_adapter(host("tiny_llava"), request.param, {})


@pytest.fixture
def open_cached(backbone, section):
    """Open the records with features from disk; gives what was said, too."""

    def make(*, processes=ALONE, **options):
        samples = pipeline.open_samples(backbone, DataSection(**options), section, None)
        said = []
        found = cached(
            samples, vision_features(backbone, CPU), say=said.append, processes=processes
        )
        return found, said

    return make


@pytest.fixture
def work(backbone, monkeypatch):
    """Count images that are decoded, prepared, and seen by the tower."""
    counts = dict.fromkeys(("decoded", "prepared", "seen"), 0)

    def counted(name, original, of):
        def call(*args, **kwargs):
            counts[name] += of(*args, **kwargs)
            return original(*args, **kwargs)

        return call

    processor = type(backbone.processor.image_processor)
    monkeypatch.setattr(
        processor, "preprocess", counted("prepared", processor.preprocess, lambda *a, **k: 1)
    )
    monkeypatch.setattr(
        images, "_upright_rgb", counted("decoded", images._upright_rgb, lambda *a: 1)
    )
    compute = fill_features._Waiting.flush
    monkeypatch.setattr(
        fill_features._Waiting,
        "flush",
        counted("seen", compute, lambda self: len(self._waiting)),
    )
    return counts


def equal(one, other):
    assert (one.dataset, one.record_id, one.image_sizes) == (
        other.dataset, other.record_id, other.image_sizes
    )  # fmt: skip
    for name in ("input_ids", "labels"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    for name in ("token_inputs", "image_inputs"):
        assert getattr(one, name).keys() == getattr(other, name).keys()
        for key, tensor in getattr(one, name).items():
            assert torch.equal(tensor, getattr(other, name)[key])


@pytest.mark.parametrize("max_length", [None, 40])
def test_the_second_start_prepares_no_image_and_gives_equal_samples(
    cache, open_cached, work, max_length
):
    first, said = open_cached(max_length=max_length)
    assert "vision features: 3 images, at most 3 to compute, of " in said[0]
    assert work["seen"] == 3
    assert work["decoded"] >= 3
    work.update(dict.fromkeys(work, 0))
    second, said = open_cached(max_length=max_length)
    assert said == [f"vision features: 3 images, all in {second.folder}"]
    assert (work["decoded"], work["seen"]) == (0, 0)
    assert work["prepared"] <= 12  # gray ones, which tell how the processor splits a batch
    others, _ = open_cached(processes=SECOND, max_length=max_length)
    assert len(first) == len(second) == len(others) == 6
    for index in range(6):
        equal(first[index], second[index])
        equal(first[index], others[index])


def test_a_changed_file_is_another_image_and_a_renamed_one_is_the_same(
    cache, open_cached, work, tmp_path
):
    before, _ = open_cached()
    work["seen"] = 0
    Image.new("RGB", (60, 48), (1, 2, 3)).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "2.png").read_bytes())
    after, said = open_cached()
    assert "3 images, at most 1 to compute" in said[0]
    assert work["seen"] == 1

    def rows(samples, index):
        return samples[index].image_inputs["visual_features"]

    assert not torch.equal(rows(before, 0), rows(after, 0))
    assert torch.equal(rows(after, 1)[0], rows(before, 3)[1])


def test_another_preparation_is_looked_at_again(cache, backbone, open_cached, work, monkeypatch):
    open_cached()
    work["seen"] = 0
    monkeypatch.setattr(backbone.processor.image_processor, "do_normalize", False)
    _, said = open_cached()
    assert "at most 3 to compute" in said[0]
    assert work["seen"] == 3
    work["seen"] = 0
    monkeypatch.setattr("vlft.data.known_images.version", lambda name: "another")
    _, said = open_cached()
    assert "at most 3 to compute" in said[0]
    assert work["seen"] == 0  # it is prepared again, and turns out to be the same


def test_only_what_is_missing_needs_room(cache, open_cached, write_image, monkeypatch):
    _, said = open_cached()
    row = int(said[0].split("of ")[1].split(" bytes")[0].replace(",", ""))
    free = feature_store.MARGIN + 1
    monkeypatch.setattr(feature_store, "free_bytes", lambda folder: free)
    open_cached()  # all are there
    write_image("0.png", color=(9, 9, 9))
    with pytest.raises(DataError, match=r"1 images? takes? 0\.0 GB in"):
        open_cached()
    free += row
    open_cached()


def test_the_filling_shows_how_far_it_is_and_others_are_silent(cache, open_cached, capsys):
    open_cached()
    shown = capsys.readouterr().err
    assert "vision features" in shown
    assert "6/6" in shown
    open_cached(processes=SECOND)
    assert capsys.readouterr().err == ""


def test_a_process_that_does_not_find_the_features_says_which_and_where(cache, open_cached):
    with pytest.raises(
        DataError,
        match=r"record line \d: the features of image 1 are not in .*vision_features.* VLFT_CACHE",
    ):
        open_cached(processes=SECOND)


def test_processes_share_the_work_and_end_with_the_same_samples(
    cache, host, write_image, write_jsonl
):
    """Each image is computed by one of them, also where several records show it."""
    for number in range(8):
        write_image(f"{number}.png", color=(20 * number, 10, 200))
    turns = [{"role": "user", "content": "<image>what?"}, {"role": "assistant", "content": "red"}]
    rows = [{"messages": turns, "images": [f"{number % 8}.png"]} for number in range(24)]
    shared = Messages(type="messages", path=str(write_jsonl(rows, "shared.jsonl")))
    barrier = Barrier(2)
    said, computed = [], [0, 0]

    def run(number):
        backbone = apply_adapter(host("tiny_llava"), LORA, {})
        features = vision_features(backbone, CPU)
        read = features.read

        def counted(images):
            computed[number] += len(images)
            return read(images)

        object.__setattr__(features, "read", counted)
        samples = pipeline.open_samples(backbone, DataSection(), shared, None)
        processes = Processes(number, 2, barrier.wait)
        return cached(samples, features, say=said.append, processes=processes)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    assert computed[0] + computed[1] == 8
    assert min(computed) > 0
    assert len(said) == 1
    assert len(one) == len(other) == 24
    for index in range(24):
        equal(one[index], other[index])


def test_features_that_are_deleted_while_a_run_reads_them_are_told(cache, open_cached):
    samples, _ = open_cached()
    (samples.folder / "rows.bin").unlink()
    with pytest.raises(DataError, match="are gone or cut off while a run reads them: start it"):
        samples[0]


def test_a_mixture_fills_one_store(cache, backbone, section, work):
    mixture = Mixture(type="mixture", datasets=[section, section.model_copy(update={"limit": 2})])
    samples = pipeline.open_samples(backbone, DataSection(), mixture, None)
    said = []
    found = cached(samples, vision_features(backbone, CPU), say=said.append)
    assert len(found) == 8
    assert work["seen"] == 3
    assert "2 images, all in" in said[1]


def test_sizes_that_follow_from_the_sample_are_not_remembered(
    cache, open_cached, work, monkeypatch
):
    for _ in range(2):
        _, said = open_cached(max_length=200, overlong="shrink_image")
        assert "at most 3 to compute" in said[0]
        monkeypatch.setattr(feature_store, "free_bytes", lambda folder: 0)  # none is needed again
    assert work["seen"] == 3


def test_features_are_those_of_evaluation_mode_and_modes_come_back(cache, host, section):
    def tower_of(model):
        tower = model.get_base_model().model.vision_tower
        for block in tower.encoder.layers:
            block.mlp.fc2 = nn.Sequential(block.mlp.fc2, nn.Dropout(0.5))
        return tower

    found = []
    for training in (False, True):
        backbone = apply_adapter(host("tiny_llava"), DEHVF, {})
        tower = tower_of(backbone.model)
        backbone.model.train(training)
        tower.encoder.layers[0].eval()  # a mode of its own
        samples = pipeline.open_samples(backbone, DataSection(), section, None)
        features = vision_features(backbone, CPU)
        frozen = replace(features.frozen, kind={"training": training})
        features = replace(features, frozen=frozen)
        made = CachedSamples(samples, features, say=lambda text: None)
        found.append(made[3].image_inputs["visual_features"])
        assert [block.training for block in tower.encoder.layers] == [False, training]
    assert torch.equal(*found)


def test_what_is_remembered_survives_a_kill_and_two_writers(tmp_path):
    one, two = (FeatureStore(tmp_path, (1,)) for _ in range(2))
    for store, name in ((one, "a"), (two, "b")):
        store.append({name: torch.ones(1, 1)})
        store.remember({f"file-{name}": feature_store.Seen(name, 4, 3)})
    again = FeatureStore(tmp_path, (1,))
    assert again.seen("file-a") == feature_store.Seen("a", 4, 3)
    assert again.seen("file-b") == feature_store.Seen("b", 4, 3)
    assert again.seen("file-c") is None
    path = tmp_path / "sources"
    path.write_text(path.read_text()[:-2])  # cut off
    cut = FeatureStore(tmp_path, (1,))
    assert (cut.seen("file-a") is not None, cut.seen("file-b")) == (True, None)
    cut.remember({"file-c": feature_store.Seen("a", 1, 1)})
    assert path.read_text() == "file-a a 4 3\nfile-c a 1 1\n"
    (tmp_path / "index").write_text("")  # the rows are lost: nothing is known
    assert not FeatureStore(tmp_path, (1,)).has_sources


def test_drawn_and_stored_images_are_known_by_their_content(conversation, host, tmp_path):
    encode = pipeline.encoder(host("tiny_llava"), DataSection())
    known = KnownImages(encode, FeatureStore(tmp_path, (1,)), None)
    one = known.sources(conversation("a", "b", num_images=2), dataset="d")
    other = known.sources(conversation("x", "y", num_images=1, size=(50, 50)), dataset="d")
    assert one[0] == one[1]  # two draws of one picture
    assert one[0] != other[0]
    assert json.loads(json.dumps(one)) == one
