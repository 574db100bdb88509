"""Calls of one model in several threads at once are those of one thread after the other."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.adapters.dehvf.conftest import section_of, shake
from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.recipe.backbone import ImageTextToText

WAIT = 60  # seconds
SETTINGS = {"do_sample": False, "max_new_tokens": 5, "eos_token_id": None, "pad_token_id": 0}


def asked_of(inputs, row, image):
    length = int(inputs["attention_mask"][row].sum())
    texts = {name: inputs[name][row : row + 1, :length] for name in ("input_ids", "attention_mask")}
    return {**texts, "pixel_values": inputs["pixel_values"][image : image + 1]}


def together(model, call, arguments):
    """Call from one thread each; no thread enters a block of either tower before the other does."""
    barrier = threading.Barrier(len(arguments))

    def meet(module, args):
        barrier.wait(WAIT)

    host = model.get_base_model()
    config = model.peft_config["default"]
    places = [*config.vision_blocks, *(path.rpartition(".")[0] for path in config.language_mlps)]
    handles = [host.get_submodule(path).register_forward_pre_hook(meet) for path in places]
    try:
        with ThreadPoolExecutor(len(arguments)) as pool:
            return list(pool.map(call, arguments))
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("query", ["layer_id", "hidden"])
def test_generations_in_two_threads_read_their_own_images(adapted, inputs, query):
    backbone = adapted(query=query)

    def answer(asked):
        return backbone.model.generate(**asked, **SETTINGS)

    prompts = [asked_of(inputs, 0, 0), asked_of(inputs, 2, 1)]
    serial = [answer(asked) for asked in prompts]
    crossed = answer({**prompts[0], "pixel_values": prompts[1]["pixel_values"]})
    assert not torch.equal(serial[0], crossed)  # the images decide
    for found, expected in zip(together(backbone.model, answer, prompts), serial, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_in_two_threads_are_those_of_one(adapted, inputs, checkpointing):
    backbone = adapted(memory_dropout=0)
    if checkpointing:
        backbone.model.train()
        backbone.model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    trained = [p for p in backbone.model.parameters() if p.requires_grad]

    def gradients(asked):
        loss = backbone.model(**asked).logits.square().mean()
        return torch.autograd.grad(loss, trained, allow_unused=True)

    prompts = [asked_of(inputs, 0, 0), asked_of(inputs, 2, 1)]
    serial = [gradients(asked) for asked in prompts]
    for found, expected in zip(together(backbone.model, gradients, prompts), serial, strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_layers_that_are_run_again_in_another_thread_give_the_same_gradients(adapted, inputs):
    """On a GPU, autograd runs checkpointed layers again in a thread of its own."""
    backbone = adapted(query="hidden", memory_dropout=0)
    trained = [p for p in backbone.model.parameters() if p.requires_grad]

    def loss_of(pixels):
        shown = {**inputs, "pixel_values": pixels}
        return backbone.model(**shown).logits.square().mean()

    def gradients(loss):
        return torch.autograd.grad(loss, trained)

    plain = gradients(loss_of(inputs["pixel_values"]))
    backbone.model.train()
    backbone.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    loss = loss_of(inputs["pixel_values"])
    loss_of(-inputs["pixel_values"])  # another pass before the backward
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(gradients, loss).result()
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_copy_and_a_pickle_of_a_model_that_was_called_answer_alike(inputs):
    torch.manual_seed(0)
    bare = build(ImageTextToText(type="image_text_to_text", config="tiny_llava"))
    model = shake(apply_adapter(bare, section_of("tiny_llava"), {})).model.eval()
    asked = asked_of(inputs, 2, 1)
    expected = model.generate(**asked, **SETTINGS)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301  our own
        assert torch.equal(twin.generate(**asked, **SETTINGS), expected)
