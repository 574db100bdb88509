"""The same as PEFT where PEFT's preprocessing runs: one sample a call, in two dimensions."""

import copy
import dataclasses
import sys
from types import ModuleType

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from vlft.adapters import apply_adapter, mutation
from vlft.adapters.base import Counted
from vlft.adapters.corda.covariance import gather
from vlft.adapters.corda.decompose import Wanted, damp, decompose, decomposed
from vlft.adapters.corda.prepare import prepare
from vlft.backbones import build
from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.backbone import CausalLM

SHAPES = {"square": (32, 32), "wide": (24, 40), "tall": (48, 28)}


@pytest.fixture
def preprocess_corda(monkeypatch):
    """PEFT's function; its module wants ``dataclass`` of attrs, which PEFT does not install."""
    with monkeypatch.context() as patch:
        try:
            import attr  # noqa: F401
        except ImportError:
            stand_in = ModuleType("attr")
            stand_in.dataclass = dataclasses.dataclass
            patch.setitem(sys.modules, "attr", stand_in)
        from peft.tuners.lora.corda import preprocess_corda
    return preprocess_corda


class Host(nn.Module):
    """Layers of every shape, two of them with one input."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(28, 28), nn.Linear(28, 28)
        self.tall, self.wide = nn.Linear(28, 44), nn.Linear(44, 20)
        self.last = Conv1D(16, 20)

    def forward(self, hidden):
        hidden = self.first(hidden) + self.second(hidden)
        return self.last(self.wide(torch.tanh(self.tall(hidden))))


PATHS = ["first", "second", "tall", "wide", "last"]


def sine(basis, other):
    """Of the largest principal angle between two column spaces."""
    basis, other = (torch.linalg.qr(one.double()).Q for one in (basis, other))
    return (basis - other @ (other.mT @ basis)).norm(2).item()


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # PEFT, of every Conv1D
@pytest.mark.parametrize("mode", ["ipm", "kpm"])
@pytest.mark.parametrize("alpha", [4, 16])
def test_covariances_subspaces_and_products(draw, decaying, preprocess_corda, mode, alpha):
    from peft.tuners.lora.config import CordaConfig

    torch.manual_seed(3)
    host = Host()
    samples = [decaying(60, 28).float() for _ in range(5)]
    config = LoraConfig(
        r=4,
        lora_alpha=alpha,
        target_modules=PATHS,
        init_lora_weights="corda",
        corda_config=CordaConfig(corda_method=mode, prune_temporary_fields=False),
    )
    theirs = copy.deepcopy(host)
    preprocess_corda(theirs, config, run_model=lambda: [theirs(one) for one in samples])
    with torch.no_grad(), gather(host, PATHS) as found:
        for one in samples:
            host(one)
    for path, covariance in found.covariances.items():
        reference = getattr(theirs, path).covariance_matrix
        assert (covariance.mean() - reference).norm() <= 1e-5 * reference.norm()
        assert covariance.calls == getattr(theirs, path).sample_count

    layers = get_peft_model(theirs, config).base_model.model
    factors = dict(
        decomposed(
            host, found.covariances, dict.fromkeys(found.covariances, Wanted(4, mode, alpha / 4))
        )
    )
    for path, one in factors.items():
        layer = getattr(layers, path)
        a, b = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
        assert sine(one.a.mT, a.mT) <= 1e-3, path
        assert sine(one.b, b) <= 1e-3, path
        torch.testing.assert_close(one.b @ one.a, b @ a, rtol=1e-2, atol=1e-3 * (b @ a).abs().max())
        torch.testing.assert_close(one.a.norm(dim=1), a.norm(dim=1), rtol=1e-3, atol=0)
        torch.testing.assert_close(one.b.norm(dim=0), b.norm(dim=0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_even_covariance_gives_pissa_and_its_opposite(draw, shape):
    rows, columns = shape
    host = nn.Sequential(nn.Linear(columns, rows, bias=False))
    weight = host[0].weight.detach().clone()
    config = LoraConfig(r=6, lora_alpha=12, target_modules=["0"], init_lora_weights="pissa")
    layer = get_peft_model(host, config).base_model.model[0]
    pissa = (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).detach()
    ready = damp(torch.eye(columns))
    found = decompose(weight, ready, Wanted(6, "ipm", scale=2.0))
    torch.testing.assert_close(found.b @ found.a, pissa, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.residual(weight), layer.base_layer.weight.detach())

    left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
    minor = (left[:, -6:] * values[-6:]) @ right[-6:]
    found = decompose(weight, ready, Wanted(6, "kpm", scale=2.0))
    torch.testing.assert_close(2 * found.b @ found.a, minor.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_a_language_model_starts_and_learns_as_with_peft(preprocess_corda, mode):
    """Loss at step 0 and after steps of gradient descent, on a whole host."""
    from peft.tuners.lora.config import CordaConfig

    config = LoraConfig(
        r=8, lora_alpha=16, init_lora_weights="corda", corda_config=CordaConfig(corda_method=mode),
        target_modules=r".*layers.*(_proj)",
    )  # fmt: skip
    torch.manual_seed(0)
    backbone = build(CausalLM(type="causal_lm", config="tiny_llama"))
    theirs = copy.deepcopy(backbone.model).eval()
    samples = torch.randint(20, 400, (12, 1, 40))

    def run_theirs() -> None:
        with torch.no_grad():
            for ids in samples:
                theirs(input_ids=ids)

    preprocess_corda(theirs, config, run_model=run_theirs)
    theirs = get_peft_model(theirs, config)

    section = CordaAdapter(
        type="corda", mode=mode, r=8, lora_alpha=16,
        sites=("language.attention", "language.mlp"),
        calibration={"data": {"type": "messages", "path": "none.jsonl"}},
    )  # fmt: skip
    shown = [Counted({"input_ids": ids}) for ids in samples]
    found = prepare(backbone, section, [shown], lambda batch: backbone.model(**batch))
    mutation.take_out(backbone.model, found.start)
    ours = apply_adapter(backbone, section, {}).model
    mutation.put_in(ours, found.start)

    curves = []
    for model in (theirs, ours):
        losses = []
        for _ in range(3):
            loss = model(input_ids=samples[:4, 0], labels=samples[:4, 0]).loss
            losses.append(loss.item())
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.05 * parameter.grad
                        parameter.grad = None
        curves.append(losses)
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert curves[0][2] < curves[0][0]
