"""Hooks gather what enters linear layers, of any shape, without padding, and leave nothing."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from vlft.adapters.corda.covariance import gather, groups, normalized
from vlft.errors import AdapterError


class Named(nn.Module):
    """Calls its layer with a keyword."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden):
        return self.layer(input=hidden)


def moment(rows):
    return rows.double().mT @ rows.double()


def close(covariance, expected, **tolerance):
    torch.testing.assert_close(covariance.total, expected.float(), **tolerance)


def run(model, *inputs, paths=("0",), **options):
    with torch.no_grad(), gather(model, list(paths), **options) as found:
        for one in inputs:
            model(one)
    return found.covariances


@pytest.mark.parametrize(
    "shape",
    [(5,), (1, 5), (4, 5), (2, 3, 4), (4, 2, 2, 3)],
    ids=["tokens", "one sample", "batch", "image", "tiles or windows"],
)
@pytest.mark.parametrize("layer", [nn.Linear(6, 3), Conv1D(3, 6)], ids=["Linear", "Conv1D"])
def test_every_shape_is_tokens_by_width(draw, shape, layer):
    inputs = draw(*shape, 6, dtype=torch.float32)
    found = run(nn.Sequential(layer), inputs, normalizer="none")["0"]
    close(found, moment(inputs.reshape(-1, 6)))
    assert (found.tokens, found.calls) == (inputs.numel() // 6, 1)


def test_keyword_inputs_are_seen(draw):
    inputs = draw(2, 5, 6, dtype=torch.float32)
    found = run(Named(nn.Linear(6, 3)), inputs, paths=["layer"], normalizer="none")
    close(found["layer"], moment(inputs.reshape(-1, 6)))


def test_batches_do_not_matter_without_a_normalizer(draw):
    """C7."""
    inputs = draw(4, 5, 6, dtype=torch.float32)
    model = nn.Sequential(nn.Linear(6, 3))
    whole = run(model, inputs, normalizer="none")["0"]
    apart = run(model, *inputs, normalizer="none")["0"]
    torch.testing.assert_close(whole.total, apart.total)
    torch.testing.assert_close(whole.mean(), apart.mean())
    assert (whole.tokens, whole.calls, apart.tokens, apart.calls) == (20, 1, 20, 4)


def test_normalizers(draw):
    rows = draw(5, 6)
    rows[0, 0], rows[1, 1] = 2.5, -10.0  # the largest signed value, the largest magnitude
    for normalizer, divisor in (("corda", 2.5), ("absmax", 10.0), ("none", 1.0)):
        found = normalized(rows, normalizer, dtype=torch.float64)
        torch.testing.assert_close(found, rows / divisor)


def test_the_mean_is_over_calls_only_where_calls_are_normalized(draw):
    inputs = draw(2, 5, 6, dtype=torch.float32)
    model = nn.Sequential(nn.Linear(6, 3))
    for normalizer, count in (("corda", 2), ("absmax", 10), ("none", 10)):
        found = run(model, *inputs, normalizer=normalizer)["0"]
        torch.testing.assert_close(found.mean(), found.total / count)


@pytest.mark.parametrize("normalizer", ["corda", "absmax", "none"])
def test_inputs_without_a_largest_value(normalizer):
    zeros = torch.zeros(3, 4)
    assert not normalized(zeros, normalizer, dtype=torch.float32).any()
    below = torch.tensor([[0.0, -2.0]])  # as after an activation that is never positive
    found = normalized(below, normalizer, dtype=torch.float32)
    assert found[0, 1] == (-2.0 if normalizer == "none" else -1.0)
    empty = run(nn.Sequential(nn.Linear(4, 2)), torch.zeros(0, 4), normalizer=normalizer)
    assert empty == {}


def test_sums_are_exact_enough_on_a_low_precision_model(draw):
    """Products and sums of bfloat16 inputs are float32, also under autocast."""
    inputs = draw(1, 50, 6, dtype=torch.bfloat16) + 3
    model = nn.Sequential(nn.Linear(6, 3)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = run(model, *[inputs] * 40, normalizer="none")["0"]
    close(found, 40 * moment(inputs[0]), rtol=1e-5, atol=0)


class Precisions(TorchDispatchMode):
    """Notes the precision that each product may be computed in."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.addmm_.default:
            backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
            self.found.append([one.fp32_precision for one in backends])
        return result


def test_float32_products_are_float32_where_others_may_be_less(draw):
    """As TF32 is, which training may have switched on."""
    backend = torch.backends.cuda.matmul
    before, backend.fp32_precision = backend.fp32_precision, "tf32"
    try:
        with Precisions() as precisions:
            run(nn.Sequential(nn.Linear(64, 3)), draw(300, 64, dtype=torch.float32))
        assert precisions.found == [["ieee", "ieee"]]
        assert backend.fp32_precision == "tf32"
    finally:
        backend.fp32_precision = before


def test_sums_in_double_precision_elsewhere(draw):
    inputs = draw(5, 6, dtype=torch.float32)
    found = run(
        nn.Sequential(nn.Linear(6, 3)), inputs, dtype=torch.float64, device=torch.device("cpu")
    )
    assert found["0"].total.dtype == torch.float64


@pytest.mark.parametrize("width", [511, 512, 1100])
def test_wide_layers_and_many_tokens(draw, width):
    """Sums are made in panels, and short calls wait for others."""
    inputs = [draw(count, width, dtype=torch.float32) for count in (700, 20, 300, 200)]
    found = run(nn.Sequential(nn.Linear(width, 1)), *inputs, normalizer="none")["0"]
    close(found, moment(torch.cat(inputs)), rtol=1e-4, atol=1e-3)
    assert (found.tokens, found.calls) == (1220, 4)


@pytest.mark.parametrize("form", ["batch", "flat", "flat with an axis"])
@pytest.mark.parametrize("normalizer", ["corda", "none"])
def test_padding_does_not_count(draw, form, normalizer):
    inputs = draw(2, 4, 6, dtype=torch.float32)
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    kept = inputs[mask.bool()]
    inputs[~mask.bool()] = 1e6  # not even as the largest value
    shapes = {"batch": (2, 4, 6), "flat": (8, 6), "flat with an axis": (1, 8, 6)}
    model = nn.Sequential(nn.Linear(6, 3))
    with torch.no_grad(), gather(model, ["0"], normalizer=normalizer) as found, found.mask(mask):
        model(inputs.reshape(shapes[form]))
    expected = run(model, kept, normalizer=normalizer)["0"]
    torch.testing.assert_close(found.covariances["0"].total, expected.total)
    assert found.covariances["0"].tokens == 6


def test_a_mask_is_for_its_batch_only(draw):
    """Not for inputs of another shape, nor for layers outside of the given prefixes."""
    mask = torch.tensor([[True, True, False]])
    model = nn.ModuleDict({"tower": nn.Linear(6, 3), "text": nn.Linear(6, 3)})
    with torch.no_grad(), gather(model, ["tower", "text"], normalizer="none") as found:
        with found.mask(mask, within=("text",)):
            model["tower"](draw(1, 3, 6, dtype=torch.float32))  # of the mask's shape by chance
            model["text"](draw(1, 3, 6, dtype=torch.float32))
            model["text"](draw(3, 1, 6, dtype=torch.float32))  # one axis of as many tokens
            model["text"](draw(1, 5, 6, dtype=torch.float32))
        model["text"](draw(1, 3, 6, dtype=torch.float32))
    tokens = {path: one.tokens for path, one in found.covariances.items()}
    assert tokens == {"tower": 3, "text": 2 + 2 + 5 + 3}


def test_a_call_of_padding_alone_counts_as_none(draw):
    model = nn.Sequential(nn.Linear(6, 3))
    with torch.no_grad(), gather(model, ["0"]) as found, found.mask(torch.zeros(1, 3)):
        model(draw(1, 3, 6, dtype=torch.float32))
    assert found.unseen == ("0",)


def test_layers_that_no_input_reaches_are_named(draw):
    """C11: no division by zero; who prepares an adapter warns and starts them plainly."""
    model = nn.ModuleDict({"used": nn.Linear(6, 3), "idle": nn.Linear(6, 3)})
    with torch.no_grad(), gather(model, ["used", "idle"]) as found:
        model["used"](draw(2, 6, dtype=torch.float32))
    assert found.unseen == ("idle",)
    assert list(found.covariances) == ["used"]
    assert groups(found.covariances) == (("used",),)


def test_nothing_is_left_on_the_model(draw):
    """C10: hooks of others fire while and after; ours are gone, also after an error."""
    model = nn.Sequential(nn.Linear(6, 3))
    fired = []
    model[0].register_forward_pre_hook(lambda *_: fired.append("before"))
    model[0].register_forward_hook(lambda *_: fired.append("after"))
    attributes = set(vars(model[0]))
    hooks = len(model[0]._forward_pre_hooks)
    inputs = draw(2, 6, dtype=torch.float32)
    run(model, inputs)
    with pytest.raises(KeyError), gather(model, ["0"]):
        raise KeyError
    assert set(vars(model[0])) == attributes
    assert len(model[0]._forward_pre_hooks) == hooks
    model(inputs)
    assert fired == ["before", "after"] * 2


def test_inputs_are_those_that_earlier_hooks_leave(draw):
    model = nn.Sequential(nn.Linear(6, 3))
    model[0].register_forward_pre_hook(lambda _, args: (2 * args[0],))
    inputs = draw(2, 6, dtype=torch.float32)
    found = run(model, inputs, normalizer="none")["0"]
    close(found, 4 * moment(inputs))


def test_what_cannot_be_decomposed_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Embedding(4, 2))
    for path, name in (("0", "Conv2d"), ("1", "Embedding")):
        with pytest.raises(AdapterError, match=name), gather(model, [path]):
            pass
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_named(bad):
    inputs = torch.tensor([[1.0, bad]])
    with pytest.raises(AdapterError, match="0 saw NaN"):
        run(nn.Sequential(nn.Linear(2, 2)), inputs)
