"""Runs with DEHVF: what is asked of a finished one."""

import pytest
from PIL import Image

import vlft
from vlft.cli.merge import run as merge
from vlft.errors import AdapterError
from vlft.evaluation.capabilities import capabilities_of
from vlft.types import Message, Prompt

DEHVF = "adapter={type: dehvf, groups: 2, r: 4, num_learned: 4}"


@pytest.fixture(scope="module")
def finished(train):
    return train(DEHVF)


@pytest.mark.parametrize(
    "backbone",
    [(), ("backbone={type: image_text_to_text, config: tiny_smolvlm}", "adapter.r=2")],
    ids=["its host", "another host"],
)
def test_nothing_starts_from_it_and_the_message_says_what_does(finished, train, tmp_path, backbone):
    with pytest.raises(AdapterError) as error:
        train(f"init_from={finished}", *backbone, run_dir=tmp_path / "second")
    message = str(error.value)
    assert message.startswith(f"init_from: {finished}: what dehvf adds depends on the image")
    assert message.endswith("or start a new run from its backbone, without init_from")


def test_it_is_not_merged_and_no_weights_are_loaded_to_find_out(finished, tmp_path, monkeypatch):
    monkeypatch.delattr("vlft.hub.load")
    with pytest.raises(AdapterError, match="what dehvf adds depends on the image, so no weights"):
        merge(str(finished), str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_it_loads_and_answers_as_the_message_promises(finished):
    able = capabilities_of(vlft.load(finished))
    prompt = Prompt((Message("user", (0, "what color?")),), (Image.new("RGB", (48, 48)),))
    assert len(able.generate([prompt], max_new_tokens=2)) == 1
