"""The decomposition: what it promises of weights, ranks, scales and precision."""

import pytest
import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaModel
from transformers.pytorch_utils import Conv1D

from vlft.adapters.corda.covariance import gather, groups
from vlft.adapters.corda.decompose import Wanted, damp, decompose, decomposed
from vlft.adapters.mutation import scaling, weight_of
from vlft.errors import AdapterError

MODES = ("ipm", "kpm")
SHAPES = {"square": (32, 32), "wide": (24, 40), "tall": (48, 28)}
SCALES = {
    "r": scaling(8, 8.0),
    "4 r": scaling(8, 32.0),
    "rslora": scaling(8, 16.0, use_rslora=True),
}

both_modes = pytest.mark.parametrize("mode", MODES)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def covariance_of(tokens):
    return tokens.mT @ tokens / len(tokens)


def product(factors):
    return factors.scale * factors.b.double() @ factors.a.double()


@both_modes
@every_shape
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("balance", [False, True])
def test_residual_and_factors_are_the_weight(draw, decaying, shape, mode, scale, balance):
    """C1."""
    weight = draw(*shape, dtype=torch.float32) / shape[1] ** 0.5
    ready = damp(covariance_of(decaying(200, shape[1])).float())
    factors = decompose(weight, ready, Wanted(8, mode, scale=scale), balance=balance)
    assert (factors.a.dtype, factors.b.dtype) == (torch.float32, torch.float32)
    whole = factors.residual(weight) + scale * factors.b @ factors.a
    assert (whole - weight).abs().max() <= 1e-6
    plain = decompose(weight, ready, Wanted(8, mode))
    torch.testing.assert_close(product(factors), product(plain), rtol=0, atol=1e-6)


@both_modes
@every_shape
@pytest.mark.parametrize("r", [1, 8, 24])
def test_norms_under_the_covariance(draw, decaying, shape, mode, r):
    """C3: factors and residual hold their shares of the spectrum of W C~."""
    weight, ready = draw(*shape), damp(covariance_of(decaying(200, shape[1])))
    values = torch.linalg.svdvals(weight @ ready.matrix)
    held = values[:r] if mode == "ipm" else values[len(values) - r :]
    factors = decompose(weight, ready, Wanted(r, mode), dtype=torch.float64)
    torch.testing.assert_close(factors.singular_values, held)
    torch.testing.assert_close((product(factors) @ ready.matrix).norm(), held.norm())
    rest = (values.square().sum() - held.square().sum()).clamp_min(0).sqrt()
    left = (factors.residual(weight) @ ready.matrix).norm()
    torch.testing.assert_close(left, rest, rtol=1e-6, atol=1e-6)


@every_shape
def test_the_largest_components_are_the_best_of_their_rank(draw, decaying, shape):
    """C4: no other truncation is nearer under the covariance, neither plain SVD nor ASVD's."""
    tokens = decaying(200, shape[1])
    weight, ready = draw(*shape), damp(covariance_of(tokens))

    def truncated(columns, r):  # of the weight with scaled columns
        left, values, right = torch.linalg.svd(weight * columns, full_matrices=False)
        return (left[:, :r] * values[:r]) @ right[:r] / columns

    def error(approximation):
        return ((weight - approximation) @ ready.matrix).norm()

    magnitudes = tokens.abs().mean(0).sqrt()  # ASVD, arXiv 2312.05821, with its alpha of 0.5
    for r in range(1, min(shape)):
        ours = error(product(decompose(weight, ready, Wanted(r, "ipm"), dtype=torch.float64)))
        assert ours <= error(truncated(torch.ones(shape[1]), r)) * (1 + 1e-9)
        assert ours <= error(truncated(magnitudes, r)) * (1 + 1e-9)
        if r == min(shape) // 2:
            assert ours < 0.7 * error(truncated(torch.ones(shape[1]), r))


@every_shape
def test_knowledge_preserved_touches_what_calibration_excites_least(draw, decaying, shape):
    """C6."""
    tokens = decaying(200, shape[1])
    weight, ready = draw(*shape), damp(covariance_of(tokens))
    shares = {}
    for mode in MODES:
        factors = decompose(weight, ready, Wanted(4, mode))
        shares[mode] = (tokens @ product(factors).mT).norm() / (tokens @ weight.mT).norm()
    assert shares["kpm"] < 0.1
    assert shares["ipm"] > 0.5


@both_modes
@every_shape
def test_fewer_tokens_than_directions(draw, shape, mode):
    """C12."""
    weight = draw(*shape, dtype=torch.float32)
    factors = decompose(weight, damp(covariance_of(draw(5, shape[1]))), Wanted(8, mode))
    assert factors.a.isfinite().all()
    assert factors.b.isfinite().all()
    assert factors.damping == 0.01
    assert 1 < factors.effective_rank <= 5
    whole = factors.residual(weight) + factors.b @ factors.a
    torch.testing.assert_close(whole, weight)


@both_modes
@every_shape
def test_weights_that_lack_directions(draw, shape, mode):
    """Also a weight of zeros."""
    ready = damp(covariance_of(draw(200, shape[1])))
    for weight in (draw(shape[0], 5) @ draw(5, shape[1]), torch.zeros(shape).double()):
        factors = decompose(weight, ready, Wanted(8, mode), balance=True)
        assert factors.a.isfinite().all()
        assert factors.b.isfinite().all()
        if mode == "kpm":
            assert product(factors).abs().max() < 1e-6
        else:
            torch.testing.assert_close(product(factors), weight, rtol=1e-5, atol=1e-5)


@both_modes
def test_runs_agree(draw, decaying, mode):
    """C13: in the product, and in the factors up to signs."""
    weight, tokens = draw(24, 40), decaying(200, 40)
    first, second = (
        decompose(weight, damp(covariance_of(rows)), Wanted(8, mode))
        for rows in (tokens, tokens[torch.randperm(200, generator=torch.Generator())])
    )
    torch.testing.assert_close(product(first), product(second), rtol=1e-4, atol=1e-5)
    signs = (first.a * second.a).sum(1).sign()
    torch.testing.assert_close(first.a, second.a * signs[:, None], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.b, second.b * signs, rtol=1e-3, atol=1e-4)


@both_modes
def test_the_scale_of_a_covariance_moves_weight_between_factors(draw, decaying, mode):
    """Unless they are balanced; the product stays."""
    weight, covariance = draw(24, 40), covariance_of(decaying(200, 40))
    one, hundred = (
        decompose(weight, damp(c), Wanted(8, mode)) for c in (covariance, covariance * 100)
    )
    torch.testing.assert_close(product(one), product(hundred), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.a.norm(), 10 * hundred.a.norm())
    torch.testing.assert_close(10 * one.b.norm(), hundred.b.norm())
    even = decompose(weight, damp(covariance * 100), Wanted(8, mode), balance=True)
    torch.testing.assert_close(even.a.norm(dim=1), even.b.norm(dim=0))


def test_low_precision_is_rounded_before_the_residual(draw, decaying):
    """What the adapter holds is what is missing from the base, to one rounding of the base."""
    weight = draw(24, 40, dtype=torch.bfloat16)
    ready = damp(covariance_of(decaying(200, 40)))
    factors = decompose(weight, ready, Wanted(8, "ipm", scale=2.0), dtype=torch.bfloat16)
    assert (factors.a.dtype, factors.b.dtype) == (torch.bfloat16, torch.bfloat16)
    residual = factors.residual(weight)
    assert residual.dtype == torch.bfloat16
    exact = weight.double() - product(factors)
    assert ((residual.double() - exact).abs() <= exact.abs() * 2**-8).all()


def test_merged_projections_may_have_a_rank_each(draw, decaying):
    """A merged query, key and value, with one basis of rank 8 or three (C14)."""
    weight, ready = draw(3 * 64, 64), damp(covariance_of(decaying(200, 64)))
    whole = decompose(weight, ready, Wanted(8, "ipm", scale=2.0))
    split = decompose(weight, ready, Wanted(8, "ipm", scale=2.0, blocks=3))
    assert whole.a.numel() + whole.b.numel() == 2048
    assert (split.a.shape, split.b.shape) == ((24, 64), (192, 24))
    assert split.a.numel() + split.b.count_nonzero() == 3072
    for place, rows in enumerate(weight.split(64)):
        alone = decompose(rows, ready, Wanted(8, "ipm", scale=2.0))
        mine = slice(64 * place, 64 * (place + 1))
        torch.testing.assert_close(product(split)[mine], product(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(split.residual(weight) + product(split), weight)


def test_number_of_parameters(draw, decaying):
    """C14."""
    ready = damp(covariance_of(decaying(200, 64)))
    factors = decompose(draw(48, 64), ready, Wanted(8, "kpm"))
    assert factors.a.numel() + factors.b.numel() == 896


def test_number_of_parameters_of_real_hosts():
    """C14: LLaMA-2-7B at the paper's rank (its tables say 320M), and the tower of CLIP ViT-L."""
    with torch.device("meta"):
        llama = LlamaModel(LlamaConfig())
        tower = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                num_attention_heads=16,
            )
        )  # fmt: skip
    for model, r, expected in ((llama, 128, 319_815_680), (tower, 8, 3_538_944)):
        layers = [one for one in model.modules() if isinstance(one, nn.Linear)]
        assert sum(r * sum(weight_of(layer).shape) for layer in layers) == expected


def test_effective_rank():
    assert damp(torch.eye(6)).effective_rank == pytest.approx(6)
    assert damp(torch.diag(torch.tensor([2.0, 2.0, 0, 0]))).effective_rank == pytest.approx(2)
    assert damp(torch.zeros(4, 4)).effective_rank == 0


def test_damping_grows_until_the_inverse_is_good():
    """Rounding can leave a long sum a little below zero in some direction."""
    ready = damp(torch.diag(torch.tensor([1.0, 1.0, 1.0, -0.05])))
    assert ready.damping == 0.08
    identity = ready.matrix @ torch.cholesky_inverse(ready.cholesky)
    assert torch.dist(identity, torch.eye(4)) < 0.05
    torch.testing.assert_close(ready.matrix.diagonal()[0].item(), 1 + 0.08 * 2.95 / 4)


@both_modes
def test_no_inverse_is_needed_without_more_rows_than_columns(draw, decaying, mode):
    covariance = covariance_of(decaying(200, 40))
    ready = damp(covariance, invert=False)
    assert ready.cholesky is None
    for rows in (24, 40):
        weight = draw(rows, 40)
        found = decompose(weight, ready, Wanted(8, mode))
        expected = decompose(weight, damp(covariance), Wanted(8, mode))
        assert torch.equal(found.a, expected.a)
        assert torch.equal(found.b, expected.b)


def test_a_wide_and_uneven_covariance_keeps_its_damping(draw):
    """The inverse is judged as it is used, not as float32 would make it."""
    direction = draw(256, 1)
    ready = damp((1e6 * direction @ direction.mT).float())
    assert ready.damping == 0.01


def test_a_covariance_of_zeros_has_no_say(draw):
    weight = draw(24, 40)
    none = decompose(weight, damp(torch.zeros(40, 40)), Wanted(8, "ipm"))
    even = decompose(weight, damp(torch.eye(40)), Wanted(8, "ipm"))
    torch.testing.assert_close(product(none), product(even), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(draw):
    ready = damp(torch.eye(6))
    with pytest.raises(AdapterError, match=r"adapter.r: 5 .* at most 4"):
        decompose(draw(4, 6), ready, Wanted(5, "ipm"))
    with pytest.raises(AdapterError, match="at most 2"):
        decompose(draw(4, 6), ready, Wanted(3, "ipm", blocks=2))
    with pytest.raises(AdapterError, match="NaN"):
        damp(torch.full((2, 2), float("nan")))
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(AdapterError, match="quantized"):
        weight_of(layer)


@both_modes
def test_layers_of_a_model(draw, decaying, mode):
    """Both kinds of layer, one covariance for those that share, the model unchanged until asked."""
    model = nn.ModuleDict({"q": nn.Linear(20, 20), "k": nn.Linear(20, 8), "c": Conv1D(30, 20)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tokens = decaying(100, 20).float()
    with torch.no_grad(), gather(model, ["q", "k", "c"]) as found:
        model["q"](tokens), model["k"](tokens), model["c"](2 * tokens)
    assert groups(found.covariances) == (("q", "k"), ("c",))
    seen = []
    for path, factors in decomposed(
        model, found.covariances, dict.fromkeys(found.covariances, Wanted(4, mode, 2.0))
    ):
        seen.append(path)
        layer = model[path]
        outputs = layer(tokens).detach()
        for name, tensor in model[path].state_dict().items():
            assert torch.equal(tensor, before[f"{path}.{name}"])
        weight_of(layer).copy_(factors.residual(weight_of(layer)))
        adapter = 2.0 * tokens @ factors.a.mT @ factors.b.mT
        torch.testing.assert_close(layer(tokens).detach() + adapter, outputs)
    assert seen == ["q", "k", "c"]
    assert not torch.equal(model["c"].weight, before["c.weight"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@both_modes
def test_a_gpu_gives_the_same(draw, decaying, mode):
    """Computed on the device of the layer, or with sums on the CPU; factors are on the layer's."""
    model = nn.Sequential(nn.Linear(40, 24))
    tokens = decaying(200, 40).float()
    found = {}
    for place, sums in (("cpu", "cpu"), ("cuda", "cuda"), ("cuda", "cpu")):
        model.to(place)
        with torch.no_grad(), gather(model, ["0"], device=torch.device(sums)) as seen:
            model(tokens.to(place))
        assert seen.covariances["0"].total.device.type == sums
        factors = dict(decomposed(model, seen.covariances, {"0": Wanted(8, mode)}))["0"]
        assert factors.a.device.type == factors.b.device.type == place
        found[place, sums] = (factors.b @ factors.a).cpu()
    for other in found.values():
        torch.testing.assert_close(other, found["cpu", "cpu"], rtol=1e-3, atol=1e-4)
