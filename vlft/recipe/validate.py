"""The two checks of a recipe: against itself when parsed, against its launch before it runs."""

from collections.abc import Mapping
from typing import NamedTuple, overload

from vlft.errors import LaunchError, RecipeError
from vlft.recipe.adapter import LoraAdapter
from vlft.recipe.conflicts import conflicts
from vlft.recipe.launch import Launch
from vlft.recipe.objective import Contrastive
from vlft.recipe.origins import DEFAULT, Origin, leaves
from vlft.recipe.problems import recipe_error
from vlft.recipe.schema import Recipe
from vlft.recipe.yaml_file import flow


class Batches(NamedTuple):
    """How the global batch falls on processes and passes; the product of all three is its size.

    Attributes:
        per_device: Samples per process and forward pass.
        accumulation: Forward passes per optimizer step.
        world_size: Processes.
    """

    per_device: int
    accumulation: int
    world_size: int


@overload
def validate(recipe: Recipe, *, origins: Mapping[str, Origin] | None = None) -> None: ...
@overload
def validate(
    recipe: Recipe, launch: Launch, *, origins: Mapping[str, Origin] | None = None
) -> Batches: ...
def validate(
    recipe: Recipe, launch: Launch | None = None, *, origins: Mapping[str, Origin] | None = None
) -> Batches | None:
    """Refuse a recipe that contradicts itself or, once launched, does not fit its processes.

    Args:
        recipe: The parsed recipe.
        launch: What it was launched on; None when it is only parsed.
        origins: Where its values were written, for the messages.

    Returns:
        With a launch, how the global batch falls on it.

    Raises:
        RecipeError: One line per contradiction, each with the nearest thing that works.
        LaunchError: The recipe is fine, but not on these processes and devices.
    """
    found = conflicts(recipe)
    if found:
        values = {".".join(keys): value for keys, value in leaves(recipe.model_dump(mode="json"))}
        raise recipe_error([_line(c.field, c.message, values, origins or {}) for c in found])
    if launch is None:
        return None
    if recipe.data.train is None:
        raise RecipeError("data.train: there is nothing to train on: give it a type and a path")
    _check_devices(recipe, launch)
    return plan_batches(recipe, launch)


def plan_batches(recipe: Recipe, launch: Launch) -> Batches:
    """Divide the global batch among processes and accumulation steps.

    Raises:
        LaunchError: It does not divide, or accumulation would take negatives away from the loss.
    """
    world, total = launch.world_size, recipe.training.global_batch_size
    if total % world:
        below, above = total // world * world, (total // world + 1) * world
        sizes = f"{below} or {above}" if below else f"{above}"
        raise LaunchError(
            f"training.global_batch_size = {total} does not divide among {world} processes: use "
            f"training.global_batch_size={sizes}, or launch {_list(_divisors(total, near=world))} "
            "processes"
        )
    share = total // world
    per_device = recipe.training.per_device_train_batch_size or share
    if share % per_device:
        raise LaunchError(
            f"training.per_device_train_batch_size = {per_device} does not divide the {share} "
            f"samples that each of {world} processes has per step (global_batch_size {total}): use "
            f"{_list(_divisors(share, near=per_device))}"
        )
    batches = Batches(per_device, share // per_device, world)
    objective = recipe.objective
    if isinstance(objective, Contrastive):
        if batches.accumulation > 1 and objective.negatives == "global_batch":
            raise LaunchError(
                f"objective.negatives = global_batch, but {batches.accumulation} accumulation "
                f"steps would show each sample {per_device * world} candidates instead of "
                f"{total}: use training.per_device_train_batch_size={share}, launch "
                f"{batches.accumulation * world} processes, or accept "
                "objective.negatives=micro_batch"
            )
        if per_device * world == 1:
            raise LaunchError(
                "objective.type = contrastive, but a batch of one sample has no negatives: use "
                "training.global_batch_size=32 or so"
            )
    return batches


def _check_devices(recipe: Recipe, launch: Launch) -> None:
    if launch.num_visible_gpus > 1 and not launch.through_launcher:
        raise LaunchError(
            f"{launch.num_visible_gpus} GPUs are visible, but there is one process: start one per "
            f"GPU with accelerate launch --num_processes {launch.num_visible_gpus} -m vlft train "
            "..., or keep one GPU with CUDA_VISIBLE_DEVICES=0"
        )
    on_cpu = launch.device == "cpu"
    if on_cpu and recipe.training.fp16:
        raise LaunchError(
            "training.fp16 = true, but loss scaling in float16 needs a CUDA device: use "
            "training.bf16=true or training.fp16=false"
        )
    if on_cpu and recipe.backbone.attn_implementation == "flash_attention_2":
        raise LaunchError(
            "backbone.attn_implementation = flash_attention_2 needs a CUDA device: use "
            "backbone.attn_implementation=sdpa"
        )
    adapter = recipe.adapter
    pissa = isinstance(adapter, LoraAdapter) and adapter.init_lora_weights == "pissa"
    if pissa and launch.zero_stage == 3:
        raise LaunchError(
            "adapter.init_lora_weights = pissa decomposes whole weights, which ZeRO-3 splits: use "
            "a ZeRO-2 launch file, or adapter.init_lora_weights=default"
        )
    if recipe.backbone.quantization != "none" and launch.zero_stage == 3:
        raise LaunchError(
            f"backbone.quantization = {recipe.backbone.quantization}: ZeRO-3 splits weights, and "
            "quantized ones cannot be read apart from their constants: use a DDP or ZeRO-2 launch "
            "file, or backbone.quantization=none"
        )
    if isinstance(recipe.objective, Contrastive) and launch.zero_stage == 3:
        raise LaunchError(
            "objective.type = contrastive: the host's temperature has no axis, and DeepSpeed's "
            "ZeRO-3 cannot split such a tensor: use a DDP or ZeRO-2 launch file"
        )
    drops = recipe.training.dataloader_drop_last
    if isinstance(recipe.objective, Contrastive) and launch.world_size > 1 and not drops:
        raise LaunchError(
            "training.dataloader_drop_last = false: on several processes the last batch is filled "
            "up with repeated samples, which would be false negatives: use "
            "training.dataloader_drop_last=true"
        )


def _line(
    field: str, message: str, values: Mapping[str, object], origins: Mapping[str, Origin]
) -> str:
    name = f"{field} = {flow(values[field])}" if field in values else field
    below = (value for key, value in origins.items() if key.startswith(f"{field}."))
    origin = origins.get(field) or next((value for value in below if value is not DEFAULT), None)
    if origin is None:
        return f"{name}: {message}"
    return f"{name} (default): {message}" if origin is DEFAULT else f"{origin}: {name}: {message}"


def _divisors(number: int, *, near: int) -> list[int]:
    """Return the divisors of a number that lie next to another one, at most one on each side."""
    divisors = [size for size in range(1, number + 1) if number % size == 0]
    below = [size for size in divisors if size < near]
    above = [size for size in divisors if size > near]
    return below[-1:] + above[:1]


def _list(sizes: list[int]) -> str:
    return " or ".join(map(str, sizes))
