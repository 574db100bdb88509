"""The forecast: exact where it counts, measured where it estimates, and its advice holds."""

from dataclasses import replace

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.backbones.quantization import quantize, quantized_linears
from vlft.objectives import build_objective
from vlft.recipe.adapter import FullAdapter, LoraAdapter
from vlft.recipe.backbone import CausalLM, ImageTextToText
from vlft.recipe.data import DataSection
from vlft.recipe.objective import LanguageModeling
from vlft.recipe.training import TrainingSection
from vlft.training.activations import ActivationMeter, saved_activations
from vlft.training.example_batch import example
from vlft.training.forecast import (
    GIB,
    RESERVE,
    Forecaster,
    Plan,
    count_weights,
    describe_change,
)
from vlft.training.optimizer_states import state_bytes

LORA = LoraAdapter(type="lora", sites=("language.attention", "vision.mlp"), r=8)
LANGUAGE = build_objective(LanguageModeling(type="language_modeling"))


def llava(**options) -> ImageTextToText:
    return ImageTextToText(type="image_text_to_text", config="tiny_llava", **options)


def storages(tensors) -> int:
    sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(sizes.values())


def constants(module) -> list[torch.Tensor]:
    """Every tensor that a quantized layer holds for its weight."""
    if type(module).__name__ == "Linear8bitLt":
        return [module.weight.data, module.weight.SCB]
    state = module.weight.quant_state
    nested = state.state2
    return [module.weight.data, state.absmax, state.code, state.offset, nested.absmax, nested.code]


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("towers", [("language",), ("vision", "language")])
def test_quantized_weights_are_counted_to_the_byte(kind, towers):
    section = llava(quantization=kind, quantized_towers=towers)
    empty = build(section, device="meta")
    counted = count_weights(empty.model, quantized_linears(empty, section), kind)
    real = quantize(build(section), section, TrainingSection())
    packed = [m for m in real.model.modules() if type(m).__module__.startswith("bitsandbytes")]
    assert counted[kind] == storages(t for module in packed for t in constants(module))
    inside = {id(module.weight) for module in packed}
    rest = [p for p in real.model.parameters() if id(p) not in inside]
    others = sum(size for name, size in counted.items() if name != kind)
    assert others == storages([*rest, *real.model.buffers()])


@pytest.mark.parametrize(
    "optim", ["adamw_torch", "adamw_bnb_8bit", "adafactor", "sgd", "adagrad", "lion_8bit",
              "lion_32bit"],
)  # fmt: skip
def test_optimizer_states_are_counted_to_the_byte(optim, tmp_path):
    from transformers import Trainer, TrainingArguments

    backbone = apply_adapter(build(llava()), FullAdapter(type="full"), {})
    arguments = TrainingArguments(str(tmp_path), optim=optim, report_to="none", use_cpu=True)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    trained = [p for p in backbone.model.parameters() if p.requires_grad]
    optimizer = kind(trained, **options)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    states = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and not name.startswith("qmap")  # one table for all
    ]
    assert state_bytes(trained, optim) == storages(states)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("adapter", [LORA, FullAdapter(type="full")], ids=["lora", "full"])
def test_activations_are_those_that_autograd_keeps(adapter, autocast):
    """Within 1 % on the host of the test; scripts/bench_memory.py reports every family."""
    real = apply_adapter(build(llava()), adapter, {})
    batch = example(real, DataSection(), tokens=128).batch(2)
    empty = apply_adapter(build(llava(), device="meta"), adapter, {}, on_meta=True)
    found = ActivationMeter(empty, LANGUAGE, autocast=autocast).measure(batch)
    kept = saved_activations(real, LANGUAGE, batch, autocast=autocast)
    assert found.kept(checkpointing=False) == pytest.approx(
        kept.kept(checkpointing=False), rel=0.01
    )
    real.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    kept = saved_activations(real, LANGUAGE, batch, autocast=autocast)
    # transformers lets the vision tower's input require a gradient then: one more norm is kept.
    assert sum(found.checkpointed.values()) == pytest.approx(sum(kept.parts.values()), rel=0.05)


def test_activations_of_any_batch_follow_from_one_and_two_samples():
    empty = apply_adapter(build(llava(), device="meta"), LORA, {}, on_meta=True)
    batch = example(empty, DataSection(), tokens=64).batch
    meter = ActivationMeter(empty, LANGUAGE, autocast=torch.bfloat16)
    one, two, five = (meter.measure(batch(size)) for size in (1, 2, 5))
    scaled = one.scaled(two, to=5)  # as the forecast does for every micro batch
    for checkpointing in (False, True):
        assert scaled.kept(checkpointing=checkpointing) == pytest.approx(
            five.kept(checkpointing=checkpointing), rel=0.01
        )


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    section = CausalLM(type="causal_lm", config="tiny_llama", quantization="nf4")
    bare = build(section, device="meta")
    layers = quantized_linears(bare, section)
    lora = LoraAdapter(type="lora", sites=("language.attention",), r=8)
    empty = apply_adapter(bare, lora, {}, on_meta=True)
    batch = example(empty, DataSection(), tokens=64).batch
    meter = ActivationMeter(empty, LANGUAGE, autocast=None)
    return Forecaster(empty.model, layers, meter.measure(batch(1)), meter.measure(batch(2)))


PLAN = Plan(8, 32, True, False, "none", "adamw_torch")


def test_sharding_divides_what_each_stage_says(forecaster):
    whole = forecaster.forecast(PLAN)
    for stage in (1, 2, 3):
        part = forecaster.forecast(replace(PLAN, zero_stage=stage, processes=4))
        assert part.optimizer_states == pytest.approx(whole.optimizer_states / 4, abs=4)
        assert (part.gradients < whole.gradients) == (stage >= 2)
        assert (part.weights != whole.weights) == (stage == 3)
        assert part.activations == whole.activations


def test_the_change_that_is_advised_fits_and_the_cheapest_is_taken(forecaster):
    needed = forecaster.forecast(PLAN).total
    less = forecaster.forecast(replace(PLAN, checkpointing=True)).total
    assert less < needed
    card = RESERVE + (less + needed) // 2
    advised = forecaster.that_fits(PLAN, card)
    assert describe_change(PLAN, advised) == "training.gradient_checkpointing=true"
    assert forecaster.forecast(advised).fits(card)

    already = replace(PLAN, checkpointing=True)
    advised = forecaster.that_fits(already, RESERVE + less * 4 // 5)
    assert describe_change(already, advised).startswith("training.per_device_train_batch_size=")
    assert already.share % advised.micro_batch == 0

    small = replace(already, micro_batch=1, share=1)
    total = forecaster.forecast(small).total
    advised = forecaster.that_fits(replace(small, most_zero=0), RESERVE + total * 4 // 5)
    assert describe_change(small, advised).endswith("backbone.quantization=nf4")
    assert forecaster.that_fits(small, RESERVE) is None
    assert forecaster.forecast(PLAN).fits(24 * GIB)
