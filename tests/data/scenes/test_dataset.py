"""The data set gives canonical records that depend on the index alone."""

import pickle
from hashlib import blake2b

import pytest

from vlft.data.records import Conversation, Pair, Records
from vlft.data.scenes.dataset import SceneDataset
from vlft.data.scenes.question_draws import question_types
from vlft.data.scenes.truth import holds
from vlft.data.scenes.vocabulary import vocabulary, words_of
from vlft.errors import DataError
from vlft.recipe.data.scenes import Scenes


def dataset(**settings):
    return SceneDataset(Scenes(type="scenes", **settings))


def scene_of(image):
    return image.draw.scene


@pytest.mark.parametrize("task", ["question_answering", "captioning", "pairs", "mixture"])
def test_a_sample_depends_on_its_number_alone(task):
    whole = dataset(task=task, num_samples=40)
    tail = dataset(task=task, num_samples=20, offset=20)
    assert isinstance(whole, Records)
    assert (len(whole), len(tail)) == (40, 20)
    assert [tail[index] for index in range(20)] == [whole[index] for index in range(20, 40)]
    assert len({whole[index].id for index in range(40)}) == 40


def test_texts_have_their_golden_hash():
    # A change here changes every sample that anyone has trained or been measured on.
    records = dataset(task="mixture", options=True)
    texts = [message.content[-1] for index in range(200) for message in records[index].messages]
    assert (
        blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()
        == "346242645b97639089f9fa602e682512"
    )


@pytest.mark.parametrize("task", ["question_answering", "captioning", "pairs"])
def test_a_sample_survives_the_way_to_a_worker(task):
    sample = dataset(task=task)[3]
    copy = pickle.loads(pickle.dumps(sample))  # noqa: S301 - our own bytes
    image = copy.image if isinstance(copy, Pair) else copy.images[0]
    assert image.draw().size == (48, 48)


def test_questions_are_answered_by_one_word_and_text_only_ones_have_no_image():
    records = dataset(num_samples=400)
    seen = set()
    for index in range(len(records)):
        sample = records[index]
        prompt, answer = sample.messages
        assert (prompt.role, answer.role) == ("user", "assistant")
        assert answer.content == (sample.meta["answer"],)
        assert answer.content[0] in sample.meta["options"]
        assert " " not in answer.content[0]
        assert len(sample.images) == int(sample.meta["needs_image"])
        assert prompt.content[:-1] == tuple(range(len(sample.images)))
        seen.add(sample.meta["question_type"])
    assert seen == set(question_types(records.world))


def test_only_the_asked_types_are_drawn_and_equally_often():
    records = dataset(questions=["color", "relation"], num_samples=400)
    types = [records[index].meta["question_type"] for index in range(400)]
    assert 160 < types.count("color") < 240
    assert set(types) == {"color", "relation"}


def test_options_stand_behind_the_question_when_asked_for():
    records = dataset(options=True, questions=["shape"])
    sample = records[0]
    shown = sample.messages[0].content[-1].split(" choose from ")[1]
    assert shown == ", ".join(sample.meta["options"]) + "."
    assert len(sample.meta["options"]) == 4
    assert sample.meta["answer"] in sample.meta["options"]


@pytest.mark.parametrize("task", ["captioning", "pairs"])
def test_captions_are_true_of_their_image(task):
    records = dataset(task=task, num_samples=50, max_objects=3)
    for index in range(50):
        sample = records[index]
        if isinstance(sample, Conversation):
            image, caption = sample.images[0], sample.messages[1].content[0]
        else:
            image, caption = sample.image, sample.text
            assert len(scene_of(image).objects) == 3
        assert holds(scene_of(image), caption)


def test_captions_of_pairs_are_nearly_unique():
    records = dataset(task="pairs", num_samples=1000)
    assert len({records[index].text for index in range(1000)}) > 990


def test_half_of_a_mixture_are_captions():
    records = dataset(task="mixture", num_samples=400)
    tasks = [records[index].meta["task"] for index in range(400)]
    assert 160 < tasks.count("captioning") < 240


def test_prompts_stay_in_the_vocabulary():
    records = dataset(task="mixture", options=True, num_samples=300)
    words = {
        word
        for index in range(300)
        for message in records[index].messages
        for word in words_of(message.content[-1])
    }
    assert words <= set(vocabulary())


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_outside_the_set_is_an_index_error(index):
    with pytest.raises(IndexError):
        dataset(num_samples=10)[index]


def test_a_type_that_needs_two_objects_is_refused_before_any_sample():
    with pytest.raises(DataError, match="questions: 'count' needs two objects"):
        dataset(questions=["color", "count"], max_objects=1)
