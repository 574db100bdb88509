"""Bar B5: preparing a CorDA adapter, calibration and decomposition, against PEFT's.

    python scripts/bench_corda.py [--mode kpm] [--rounds 5] [--layers 2] [--samples 32]

Both sides start from the same LLaMA with random weights and the same calibration samples, one a
call, and end with a PEFT model: a LoRA of rank 64 at every linear layer, and the residual in the
base. They run in turn (A B A B ...) in one process, first round dropped; A/A is PEFT's against
itself. Peak memory is that of a process of its own for each side, above what the model takes.

The guard: both give the base's outputs, and the directions of our `B` hold at least as much
(`ipm`), or as little (`kpm`), of `W C~` as those of PEFT's, to one in a thousand, layer by layer.
Time without the model's own forward passes, which both sides make, stands beside.

Goals: ours / PEFT's time <= 0.4, memory <= 1.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.config import CordaConfig
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from vlft.adapters.corda.covariance import gather, summed
from vlft.adapters.corda.decompose import DAMPING, Mode, Wanted, decomposed
from vlft.adapters.mutation import weight_of

R = 64
ALPHA = 64
GOAL = 0.4

Prepare = Callable[[nn.Module, list[Tensor], Mode], PeftModel]


def host(layers: int) -> nn.Module:
    """Return a LLaMA with random weights, whose inputs have uneven directions."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048, hidden_size=1024, intermediate_size=2816, num_hidden_layers=layers,
        num_attention_heads=16, use_cache=False,
    )  # fmt: skip
    model = LlamaModel(config).eval()
    with torch.no_grad():
        model.embed_tokens.weight.mul_(torch.logspace(0, -2, 1024))
    return model


def samples(count: int, tokens: int) -> list[Tensor]:
    """Return calibration samples, one a batch."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 2048, (1, tokens), generator=generator) for _ in range(count)]


def run(model: nn.Module, data: list[Tensor]) -> None:
    """Make the calibration's forward passes."""
    with torch.no_grad():
        for ids in data:
            model(input_ids=ids)


def linear_paths(model: nn.Module) -> list[str]:
    """Return the layers that get an adapter."""
    return [path for path, layer in model.named_modules() if isinstance(layer, nn.Linear)]


def peft_side(model: nn.Module, data: list[Tensor], mode: Mode) -> PeftModel:
    """Prepare with PEFT."""
    from peft.tuners.lora.corda import preprocess_corda

    config = LoraConfig(
        r=R, lora_alpha=ALPHA, target_modules=linear_paths(model), init_lora_weights="corda",
        corda_config=CordaConfig(corda_method=mode),
    )  # fmt: skip
    preprocess_corda(model, config, run_model=lambda: run(model, data))
    return _wrapped(model, config)


def our_side(model: nn.Module, data: list[Tensor], mode: Mode) -> PeftModel:
    """Prepare with vlft."""
    paths = linear_paths(model)
    with gather(model, paths) as found:
        run(model, data)
    held = {}
    covariances = summed(found)
    wanted = dict.fromkeys(covariances, Wanted(R, mode, ALPHA / R))
    for path, factors in decomposed(model, covariances, wanted):
        weight = weight_of(model.get_submodule(path))
        weight.copy_(factors.residual(weight))
        held[path] = factors
    wrapped = _wrapped(model, LoraConfig(r=R, lora_alpha=ALPHA, target_modules=paths))
    for path, layer in _layers(wrapped).items():
        layer.lora_A["default"].weight.data = held[path].a
        layer.lora_B["default"].weight.data = held[path].b
    return wrapped


SIDES: dict[str, Prepare] = {"peft": peft_side, "ours": our_side}


def guard(model: nn.Module, data: list[Tensor], mode: Mode) -> dict[str, float]:
    """Compare what both sides make.

    Raises:
        AssertionError: An output differs from the base's, or ours holds less than PEFT's.
    """
    with gather(model, linear_paths(model)) as found:
        run(model, data)
    covariances = summed(found)
    with torch.no_grad():
        expected = model(input_ids=data[0]).last_hidden_state
    kept: dict[str, dict[str, float]] = {}
    errors = {}
    for name, prepare in SIDES.items():
        wrapped = prepare(copy.deepcopy(model), data, mode).eval()
        with torch.no_grad():
            found_output = wrapped(input_ids=data[0]).last_hidden_state
        errors[name] = ((found_output - expected).norm() / expected.norm()).item()
        assert errors[name] < 1e-4, f"{name}: outputs are not the base's: {errors[name]}"
        kept[name] = {}
        for path, layer in _layers(wrapped).items():
            matrix = covariances[path].mean().double()
            matrix.diagonal().add_(DAMPING * matrix.diagonal().mean())
            basis = torch.linalg.qr(layer.lora_B["default"].weight.detach().double()).Q
            weight = weight_of(model.get_submodule(path)).double()
            kept[name][path] = (basis.mT @ weight @ matrix).norm().item()
    ratios = [kept["ours"][path] / kept["peft"][path] for path in kept["ours"]]
    worst = min(ratios) if mode == "ipm" else max(ratios)
    good = worst >= 0.999 if mode == "ipm" else worst <= 1.001
    assert good, f"the guard failed: ours holds {worst} of what PEFT's does"
    return {"held, ours / PEFT": worst, **{f"output error, {k}": v for k, v in errors.items()}}


def timed(model: nn.Module, data: list[Tensor], mode: Mode, rounds: int) -> dict[str, list[float]]:
    """Return seconds of each side in turn, and of the forward passes alone."""
    everything = {**SIDES, "a_a": peft_side}
    times: dict[str, list[float]] = {name: [] for name in (*everything, "forward")}
    for turn in range(rounds + 1):
        start = time.perf_counter()
        run(model, data)
        if turn:  # the first round warms caches
            times["forward"].append(time.perf_counter() - start)
        for name, prepare in everything.items():
            fresh = copy.deepcopy(model)
            start = time.perf_counter()
            prepare(fresh, data, mode)
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def peak(name: str, model: nn.Module, data: list[Tensor], mode: Mode) -> float:
    """Return the MiB that a side takes in this process at its peak, above what is there before."""
    run(model, data[:1])
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    SIDES[name](model, data, mode)
    return _memory("VmHWM") - before


def peaks(given: argparse.Namespace) -> dict[str, float]:
    """Return the peak of each side, in a process of its own."""
    found = {}
    for name in SIDES:
        command = [sys.executable, __file__, "--peak-of", name]
        for option in ("layers", "samples", "tokens", "mode"):
            command += [f"--{option}", str(getattr(given, option))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = float(done.stdout.strip().rsplit("\n", 1)[-1])
    return found


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of paired ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> int:
    """Print both ratios and a JSON record; the exit status says whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--mode", choices=("ipm", "kpm"), default="kpm")
    parser.add_argument("--peak-of", choices=tuple(SIDES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    _lend_dataclass()
    model, data = host(given.layers), samples(given.samples, given.tokens)
    if given.peak_of:
        print(peak(given.peak_of, model, data, given.mode))
        return 0
    checks = guard(model, data, given.mode)
    times = timed(model, data, given.mode, given.rounds)
    ratio, spread = (median_ratio(times[name], times["peft"]) for name in ("ours", "a_a"))
    own = {
        name: [t - f for t, f in zip(times[name], times["forward"], strict=True)] for name in SIDES
    }
    memory = peaks(given)
    verdicts = ["met" if ratio <= GOAL else "MISSED", ""]
    verdicts[1] = "met" if memory["ours"] <= memory["peft"] else "MISSED"
    print(
        f"{given.mode}, {given.layers} layers, {given.samples} x {given.tokens} tokens   "
        f"time ours / PEFT {ratio:.3f}   goal {GOAL}  {verdicts[0]}   A/A {spread:.3f}   "
        f"without forward passes {median_ratio(own['ours'], own['peft']):.3f}   "
        f"memory {memory['ours']:.0f} / {memory['peft']:.0f} MiB = "
        f"{memory['ours'] / memory['peft']:.3f}   goal 1  {verdicts[1]}"
    )
    record = {"bar": "B5", **vars(given), "threads": torch.get_num_threads(), "ratio": ratio}
    del record["peak_of"]
    print(json.dumps({**record, "a_a": spread, "MiB": memory, "guard": checks, "seconds": times}))
    return 0 if verdicts == ["met", "met"] else 1


def _wrapped(model: nn.Module, config: LoraConfig) -> PeftModel:
    wrapped = get_peft_model(model, config)  # pyrefly: ignore[bad-argument-type]
    assert isinstance(wrapped, PeftModel)
    return wrapped


def _layers(wrapped: PeftModel) -> dict[str, Any]:
    named = wrapped.get_base_model().named_modules()
    return {path: layer for path, layer in named if isinstance(layer, LoraLinear)}


def _memory(field: str) -> float:
    """Return a line of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _lend_dataclass() -> None:
    """Stand in for attrs, of which PEFT's module takes ``dataclass`` without asking for it."""
    try:
        import attr  # noqa: F401  # pyrefly: ignore[missing-import]
    except ImportError:
        stand_in: Any = ModuleType("attr")
        stand_in.dataclass = dataclasses.dataclass
        sys.modules["attr"] = stand_in


if __name__ == "__main__":
    sys.exit(main())
