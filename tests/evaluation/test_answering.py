"""Requests are asked once, in batches that depend on them alone, and answers outlive a kill."""

import json
import random
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from vlft.data.records import ImageRef
from vlft.errors import RunDirectoryError
from vlft.evaluation import log as log_module
from vlft.evaluation.answering import ask_all, in_batches
from vlft.evaluation.log import decoded, encoded, open_log
from vlft.evaluation.processes import Processes
from vlft.evaluation.requests import Asked, EmbedImage, EmbedText, Generate, Picture, Score
from vlft.types import Likelihood, Message


@dataclass
class Counting:
    """Embeds a text by its length, and remembers every batch."""

    batches: list = field(default_factory=list)
    fail_after: int | None = None

    def embed_texts(self, texts):
        if self.fail_after is not None and len(self.batches) == self.fail_after:
            raise KeyboardInterrupt
        self.batches.append(list(texts))
        # as in a real model, the batch leaves a trace in the last bits
        noise = 1e-7 * len("".join(texts))
        return torch.tensor([[float(len(text)) + noise, 1.0] for text in texts])

    def embed_images(self, images):
        return torch.stack([torch.tensor([float(image.size[0]), 0.0]) for image in images])


# 50 texts: six batches of eight (four times as many texts as images) and one of two
TEXTS = [EmbedText("x" * (1 + number % 17) + str(number)) for number in range(50)]


def shown(number, record="r", box=None):
    ref = ImageRef(draw=lambda: Image.new("RGB", (number, number)), box=box)
    return Picture(ref, "mine", record, 0, max_pixels=10**6)


def values(answers, requests=TEXTS):
    return np.stack([answers[request] for request in requests])


# requests


def test_equal_requests_have_one_key_and_others_have_others(tmp_path):
    def asked(text, *pictures):
        return Asked((Message("user", (*range(len(pictures)), text)),), pictures)

    file = ImageRef(path=tmp_path / "a.png", root=tmp_path)
    one, same = (Picture(file, "mine", record, 0, 10) for record in ("r1", "r2"))
    data = Picture(ImageRef(data=b"1"), "mine", "r1", 0, 10)
    part = ImageRef(path=tmp_path / "a.png", root=tmp_path, box=(0.0, 0.0, 1.0, 1.0))
    box = Picture(part, "mine", "r1", 0, 10)
    assert EmbedImage(one).key == EmbedImage(same).key
    different = [
        EmbedImage(one), EmbedImage(box), EmbedImage(data), EmbedImage(shown(1)),
        EmbedImage(shown(1, "other")), EmbedText("a"), EmbedText("b"),
        Generate(asked("a"), 4), Generate(asked("a"), 5), Generate(asked("a", one), 4),
        Score(asked("a"), ("x",)), Score(asked("a"), ("x", "y")), Score(asked("ax"), ()),
    ]  # fmt: skip
    assert len({request.key for request in different}) == len(different)


def test_keys_are_the_same_in_every_process():
    assert EmbedText("a").key == "7006b8a1361dffdbe31f14b25994496d"


def test_batches_depend_on_the_requests_alone():
    shuffled = random.Random(0).sample(TEXTS * 2, 100)
    one, other = in_batches(TEXTS, 2), in_batches(shuffled, 2)
    assert one == other
    assert [len(batch) for batch in one] == [8] * 6 + [2]
    lengths = [request.length for batch in one for request in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_kinds_and_prompts_with_and_without_images_are_asked_apart():
    def generate(pictures, tokens):
        return Generate(Asked((Message("user", ("a",)),), pictures), tokens)

    requests = [EmbedText("a"), EmbedImage(shown(1)), generate((), 4), generate((shown(1),), 4)]
    assert len(in_batches([*requests, generate((), 8)], 8)) == 5


# asking


def test_each_different_request_is_asked_once():
    model = Counting()
    answers = ask_all(model, TEXTS * 3, batch_size=2)
    asked = [text for batch in model.batches for text in batch]
    assert len(asked) == len(set(asked)) == 50
    assert values(answers)[:, 0].astype(int).tolist() == [len(request.text) for request in TEXTS]


def test_images_are_decoded_while_earlier_batches_are_asked():
    requests = [EmbedImage(shown(number, f"r{number}")) for number in range(1, 40)]
    answers = ask_all(Counting(), requests, batch_size=4)
    assert [answers[request][0] for request in requests] == list(range(1, 40))


def test_a_part_of_an_image_is_cut_out():
    request = EmbedImage(shown(10, box=(2.0, 2.0, 9.0, 9.0)))
    assert ask_all(Counting(), [request], batch_size=1)[request][0] == 7


# the log


def run(folder, model, batch_size=2, facts=None, processes=None, requests=TEXTS):
    def log(requests):
        given = {**(facts or {"model": "one"}), "requests": requests}
        return open_log(folder, "mine", given, processes or Processes())

    return ask_all(model, requests, batch_size=batch_size, log=log)


def lines(folder):
    return sorted(folder.rglob("rank*.jsonl"))


def test_a_measurement_that_was_stopped_anywhere_goes_on_and_asks_nothing_twice(tmp_path):
    whole = values(ask_all(Counting(), TEXTS, batch_size=2))
    for stop in range(7):
        folder, first, second = tmp_path / str(stop), Counting(fail_after=stop), Counting()
        with pytest.raises(KeyboardInterrupt):
            run(folder, first)
        assert np.array_equal(values(run(folder, second)), whole)
        asked = [text for batch in first.batches + second.batches for text in batch]
        assert sorted(asked) == sorted(request.text for request in TEXTS)


def test_a_half_written_line_is_asked_again(tmp_path):
    whole = run(tmp_path, Counting())
    (path,) = lines(tmp_path)
    data = path.read_bytes()
    for cut in (len(data) - 1, len(data) - 30, data.index(b"\n") + 2, 5, 0):
        path.write_bytes(data[:cut])
        model = Counting()
        assert np.array_equal(values(run(tmp_path, model)), values(whole))
        assert len(model.batches) == max(1, 7 - data[:cut].count(b"\n")) - (cut == len(data) - 1)
        assert np.array_equal(values(run(tmp_path, Counting(fail_after=0))), values(whole))


@pytest.mark.parametrize(
    "line", ["{}", "[]", "nonsense", '{"seconds": 1, "answers": {"a": 3}}', '{"seconds": "x"}']
)
def test_a_damaged_line_is_left_out_and_named(tmp_path, line, capsys):
    run(tmp_path, Counting())
    (path,) = lines(tmp_path)
    _, *rest = path.read_text().splitlines()
    path.write_text("\n".join([line, *rest]) + "\n")
    shutil.copy(path, path.with_name("rank0 copy.jsonl"))  # not read
    model = Counting()
    assert capsys.readouterr().err == ""
    run(tmp_path, model)
    assert len(model.batches) == 1
    said = capsys.readouterr().err
    assert f"vlft: {path.parent}: left out what cannot be read" in said
    assert "(rank0.jsonl, line 1)" in said


@pytest.mark.parametrize("content", ["", '{"began": "2026-01', "[]", '{"began": 3}'])
def test_a_damaged_head_is_written_anew_and_no_answer_is_lost(tmp_path, content):
    run(tmp_path, Counting())
    about = next(tmp_path.rglob("about.json"))
    about.write_text(content)
    model = Counting()
    run(tmp_path, model)
    assert model.batches == []
    assert json.loads(about.read_text())["model"] == "one"


def test_other_requests_have_another_log(tmp_path):
    """Their batches differ, and with them the last bits of the same text's answer."""
    run(tmp_path, Counting())
    part = TEXTS[::2]
    whole = values(ask_all(Counting(), part, batch_size=2), part)
    assert np.array_equal(values(run(tmp_path, Counting(), requests=part), part), whole)
    run(tmp_path, Counting(fail_after=0), requests=part[::-1])
    assert len(lines(tmp_path)) == 2


def test_another_model_has_another_log(tmp_path):
    run(tmp_path, Counting())
    model = Counting()
    run(tmp_path, model, facts={"model": "other"})
    assert len(model.batches) == 7
    assert len(lines(tmp_path)) == 2


def test_a_log_of_another_version_is_not_read(tmp_path, monkeypatch):
    run(tmp_path, Counting())
    monkeypatch.setattr(log_module, "VERSION", log_module.VERSION + 1)
    model = Counting()
    run(tmp_path, model)
    assert len(model.batches) == 7


def test_the_time_of_earlier_parts_is_counted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Counting(fail_after=3))
    (path,) = lines(tmp_path)
    text = [json.loads(line) | {"seconds": 100.0} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in text))
    assert 300 <= run(tmp_path, Counting()).seconds < 301
    assert 300 <= run(tmp_path, Counting(fail_after=0)).seconds < 301


def test_the_beginning_is_remembered(tmp_path):
    began = open_log(tmp_path, "mine", {"model": "one"}).began
    about = next(tmp_path.rglob("about.json"))
    about.write_text(about.read_text().replace(began, "2020-01-01T00:00:00+00:00"))
    assert open_log(tmp_path, "mine", {"model": "one"}).began == "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        'said "x"\n\u2028',
        (Likelihood(-0.1 - 0.2, 3), Likelihood(float("-inf"), 1)),
        np.array([0.1, -2.5e-38, np.pi], dtype="<f4"),
    ],
)
def test_answers_are_kept_to_the_last_bit(answer):
    found = decoded(json.loads(json.dumps(encoded(answer))))
    assert type(found) is type(answer)
    assert np.array_equal(found, answer) if isinstance(answer, np.ndarray) else found == answer


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Counting(fail_after=2))

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module, "_ends_line", full)
    with pytest.raises(RunDirectoryError, match=r"no room on the disk .* Answers so far are kept"):
        run(tmp_path, Counting())
    monkeypatch.undo()
    model = Counting()
    run(tmp_path, model)
    assert len(model.batches) == 5


# processes


@dataclass(frozen=True)
class Together(Processes):
    """Processes that take turns in this one: what each gathers is what all would give."""

    others: tuple = ()

    def gather(self, value):
        return [value] * self.size


def test_every_batch_belongs_to_one_process(tmp_path):
    parts = []
    for rank in range(3):
        model = Counting()
        ask_all(model, TEXTS, batch_size=2, processes=Together(rank, 3))
        parts += model.batches
    assert sorted(map(tuple, parts)) == sorted(
        tuple(request.text for request in batch) for batch in in_batches(TEXTS, 2)
    )
