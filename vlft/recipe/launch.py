"""What a recipe was launched on, as plain facts, so that it can be checked without torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Launch:
    """Processes and devices of a run.

    Attributes:
        world_size: Number of processes.
        device: Kind of device that each process computes on.
        num_visible_gpus: GPUs that this process can see.
        through_launcher: Whether `accelerate launch` (or torchrun) started the process.
        zero_stage: DeepSpeed ZeRO stage; 0 without DeepSpeed.
    """

    world_size: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    num_visible_gpus: int = 0
    through_launcher: bool = False
    zero_stage: int = 0
