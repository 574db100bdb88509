"""Tiny hosts whose answers depend on what they are asked, and models that know the answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from vlft.evaluation.benchmark import BenchmarkSpec, load_benchmark
from vlft.types import Backbone, Prompt


@pytest.fixture
def lively(host: Callable[[str], Backbone]) -> Callable[[str], Backbone]:
    """Give a tiny host with weights so large that prompts and images change its answers."""

    def make(name: str) -> Backbone:
        backbone = host(name)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in backbone.model.parameters():
                if weight.ndim > 1:
                    noise = torch.randn(weight.shape, generator=generator)
                    weight.copy_(noise * 2 / weight.flatten(1).shape[1] ** 0.5)
        return backbone

    return make


@pytest.fixture
def questions() -> BenchmarkSpec:
    """Question answering on a few scenes."""
    return load_benchmark("scenes/question_answering", ["data.num_samples=24"])


@pytest.fixture
def pairs() -> BenchmarkSpec:
    """Retrieval on a few scenes."""
    return load_benchmark("scenes/retrieval", ["data.num_samples=24"])


@dataclass
class Answers:
    """Generates what a function says about a prompt, and remembers the prompts."""

    answer: Callable[[Prompt], str]
    asked: list[Prompt] = field(default_factory=list)

    def generate(self, prompts, *, max_new_tokens):
        self.asked += prompts
        return [self.answer(prompt) for prompt in prompts]


@pytest.fixture
def answers() -> type[Answers]:
    return Answers


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real and golden files beside the repository, where there is one."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with golden files is not there")
    return folder
