"""Layers with common inputs share one sum, and results never depend on it."""

import numpy as np
import pytest
import torch
from torch import nn

from vlft.adapters.corda.covariance import gather, groups


class Attention(nn.Module):
    """Query, key and value of one input, and what they are called with on demand."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(6, 2)
        self.o = nn.Linear(6, 6)
        self.views = False
        self.written = False
        self.keys = True

    def forward(self, hidden):
        passed = [hidden.flatten(0, 1) if self.views else hidden for _ in range(3)]
        found = self.q(passed[0])
        if self.written:
            hidden.mul_(2)
        if self.keys:
            self.k(passed[1]), self.v(passed[2])
        return self.o(found)


PATHS = ["q", "k", "v", "o"]


def moment(inputs):
    rows = inputs.double().flatten(0, -2)
    return rows.mT @ rows


def close(covariance, expected):
    torch.testing.assert_close(covariance.total, expected.float())


@pytest.mark.parametrize("views", [False, True], ids=["one tensor", "views of it"])
def test_query_key_and_value_share(draw, views):
    model = Attention()
    model.views = views
    inputs = [draw(2, 3, 6, dtype=torch.float32) for _ in range(3)]
    with torch.no_grad(), gather(model, PATHS, normalizer="none") as found:
        for one in inputs:
            model(one)
    covariances = found.covariances
    assert groups(covariances) == (("q", "k", "v"), ("o",))
    assert covariances["q"] is covariances["v"]
    expected = sum(moment(one) for one in inputs)
    close(covariances["q"], expected)
    assert (covariances["q"].tokens, covariances["q"].calls) == (18, 3)


@pytest.mark.parametrize("order", [(True, True, False), (False, True, True), (True, False, True)])
def test_layers_that_part_keep_their_own(draw, order):
    model = Attention()
    inputs = [draw(2, 3, 6, dtype=torch.float32) for _ in order]
    with torch.no_grad(), gather(model, PATHS, normalizer="none") as found:
        for one, model.keys in zip(inputs, order, strict=True):
            model(one)
    covariances = found.covariances
    assert groups(covariances)[:2] == (("q",), ("k", "v"))
    whole = sum(moment(one) for one in inputs)
    some = sum(moment(one) for one, keys in zip(inputs, order, strict=True) if keys)
    close(covariances["q"], whole)
    close(covariances["k"], some)
    assert (covariances["q"].calls, covariances["k"].calls) == (3, 2)


def test_an_input_that_is_written_to_is_another(draw):
    model = Attention()
    model.written = True
    inputs = draw(2, 3, 6, dtype=torch.float32)
    with torch.no_grad(), gather(model, PATHS, normalizer="none") as found:
        model(inputs.clone())
    assert groups(found.covariances)[:2] == (("q",), ("k", "v"))
    close(found.covariances["k"], 4 * moment(inputs))


def test_memory_that_is_used_again_is_another_input(draw):
    """A freed input's memory goes to the next tensor of that size."""
    model = nn.ModuleDict({"a": nn.Linear(64, 3), "b": nn.Linear(64, 3)})
    places, expected = set(), {"a": 0, "b": 0}
    with torch.no_grad(), gather(model, ["a", "b"], normalizer="none") as found:
        for _ in range(20):
            for path in ("a", "b"):
                inputs = draw(1000, 64, dtype=torch.float32)
                places.add(inputs.data_ptr())
                expected[path] = expected[path] + moment(inputs)
                model[path](inputs)
                del inputs
    assert len(places) < 40  # it does happen here
    for path, total in expected.items():
        torch.testing.assert_close(
            found.covariances[path].total, total.float(), rtol=1e-5, atol=1e-3
        )


def test_memory_written_to_from_outside_is_another_input():
    """A second tensor over one buffer does not know of writes to the first."""
    model = nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)})
    buffer = np.ones((4, 6), dtype=np.float32)
    with torch.no_grad(), gather(model, ["a", "b"], normalizer="none") as found:
        model["a"](torch.from_numpy(buffer))
        buffer *= 2
        model["b"](torch.from_numpy(buffer))
    assert found.covariances["b"].total[0, 0] == 4 * found.covariances["a"].total[0, 0]


def test_a_layer_that_is_called_twice_counts_twice(draw):
    model = nn.Sequential(nn.Linear(6, 3))
    inputs = draw(4, 6, dtype=torch.float32)
    with torch.no_grad(), gather(model, ["0"], normalizer="none") as found:
        model(inputs), model(inputs)
    close(found.covariances["0"], 2 * moment(inputs))
    assert found.covariances["0"].calls == 2


def test_inference_tensors_are_not_shared_but_right(draw):
    """They have no version, so that a write between two layers could not be seen."""
    model = Attention()
    inputs = draw(2, 3, 6, dtype=torch.float32)
    with gather(model, PATHS, normalizer="none") as found:
        with torch.inference_mode():
            model(inputs.clone())
        with torch.no_grad():
            model(inputs)
    assert groups(found.covariances)[0] == ("q",)
    assert not found.covariances["q"].total.is_inference()
    close(found.covariances["v"], 2 * moment(inputs))


def test_one_input_with_and_without_a_mask_is_two(draw):
    model = nn.ModuleDict({"tower": nn.Linear(6, 3), "text": nn.Linear(6, 3)})
    inputs = draw(1, 3, 6, dtype=torch.float32)
    mask = torch.tensor([[True, False, True]])
    with torch.no_grad(), gather(model, ["tower", "text"], normalizer="none") as found:
        masked = found.mask(mask, within=("text",))
        with masked:
            model["tower"](inputs), model["text"](inputs)
    close(found.covariances["tower"], moment(inputs))
    close(found.covariances["text"], moment(inputs[mask]))


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_clip", "tiny_llama"])
def test_sharing_in_real_hosts(host, batches, name):
    """Sums equal those of hooks that share nothing, in every tower."""
    model = host(name).model.eval()
    paths = [
        path
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and path != "lm_head"
    ]
    plain = dict.fromkeys(paths, 0.0)

    def watch(path):
        def add(layer, args):
            plain[path] = plain[path] + moment(args[0].detach())

        return add

    handles = [model.get_submodule(p).register_forward_pre_hook(watch(p)) for p in paths]
    names = ("input_ids", "attention_mask", "pixel_values")
    batch = {key: value for key, value in batches[name].items() if key in names}
    with torch.no_grad(), gather(model, paths, normalizer="none") as found:
        model(**batch)
    for handle in handles:
        handle.remove()
    covariances = found.covariances
    assert set(covariances) | set(found.unseen) == set(paths)
    for path, covariance in covariances.items():
        torch.testing.assert_close(
            covariance.total.double(), plain[path], rtol=1e-4, atol=1e-4, msg=path
        )
    shared = [one for one in groups(covariances) if len(one) > 1]
    ends = {tuple(sorted(path.rsplit(".", 1)[-1] for path in one)) for one in shared}
    assert ("k_proj", "q_proj", "v_proj") in ends
    assert (("gate_proj", "up_proj") in ends) == (name != "tiny_clip")
