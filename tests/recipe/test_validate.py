"""The second check: does the recipe fit the processes and devices it was launched on?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.errors import LaunchError, RecipeError
from vlft.recipe import Recipe, validate
from vlft.recipe.launch import Launch
from vlft.recipe.validate import Batches, plan_batches


def recipe(kind: str = "generative", **training) -> Recipe:
    contrastive = kind == "contrastive"
    return Recipe(
        backbone={"type": "clip", "config": "tiny_clip"}
        if contrastive
        else {"type": "assembled", "config": "tiny_llava"},
        adapter={"type": "full"},
        data={"train": {"type": "scenes", "task": "pairs" if contrastive else "mixture"}},
        objective={"type": "contrastive" if contrastive else "language_modeling"},
        training=training,
    )


def changed(base: Recipe, **sections) -> Recipe:
    return Recipe(**base.model_dump() | sections)


def several(world_size: int, **facts) -> Launch:
    return Launch(world_size=world_size, through_launcher=True, **facts)


@pytest.mark.parametrize(
    ("world_size", "training", "batches"),
    [
        (1, {}, Batches(32, 1, 1)),
        (4, {}, Batches(8, 1, 4)),
        (1, {"per_device_train_batch_size": 8}, Batches(8, 4, 1)),
        (2, {"per_device_train_batch_size": 8}, Batches(8, 2, 2)),
        (32, {}, Batches(1, 1, 32)),
    ],
)
def test_the_global_batch_is_divided(world_size, training, batches):
    assert validate(recipe(**training), several(world_size)) == batches


@given(st.integers(1, 300), st.integers(1, 20), st.none() | st.integers(1, 50))
def test_the_division_is_exact_or_refused(total, world_size, per_device):
    subject = recipe(global_batch_size=total, per_device_train_batch_size=per_device)
    try:
        batches = plan_batches(subject, several(world_size))
    except LaunchError:
        assert total % world_size or (total // world_size) % (per_device or 1)
        return
    assert batches.per_device * batches.accumulation * batches.world_size == total
    assert per_device in (None, batches.per_device)


def test_without_a_launch_there_are_no_batches():
    assert validate(recipe()) is None


@pytest.mark.parametrize(
    ("subject", "launch", "messages"),
    [
        (
            recipe(),
            several(3),
            [
                "global_batch_size = 32 does not divide among 3 processes",
                "=30 or 33",
                "launch 2 or 4 processes",
            ],
        ),
        (
            recipe(global_batch_size=2),
            several(4),
            ["use training.global_batch_size=4", "launch 2 processes"],
        ),
        (
            recipe(per_device_train_batch_size=5),
            several(2),
            ["per_device_train_batch_size = 5 does not divide the 16 samples", "use 4 or 8"],
        ),
        (
            recipe(per_device_train_batch_size=64),
            several(2),
            ["does not divide the 16 samples", "use 16"],
        ),
        (
            recipe(),
            Launch(device="cuda", num_visible_gpus=4),
            ["4 GPUs are visible", "accelerate launch --num_processes 4", "CUDA_VISIBLE_DEVICES=0"],
        ),
        (
            recipe("contrastive", per_device_train_batch_size=8),
            several(2),
            [
                "2 accumulation steps would show each sample 16 candidates instead of 32",
                "training.per_device_train_batch_size=16, launch 4 processes",
                "objective.negatives=micro_batch",
            ],
        ),
        (
            recipe("contrastive", global_batch_size=1),
            Launch(),
            ["a batch of one sample has no negatives"],
        ),
        (
            recipe("contrastive", dataloader_drop_last=False),
            several(2),
            ["would be false negatives", "training.dataloader_drop_last=true"],
        ),
        (recipe(fp16=True), Launch(), ["training.fp16 = true", "use training.bf16=true"]),
        (
            changed(
                recipe(bf16=True),
                backbone={
                    "type": "assembled",
                    "config": "tiny_llava",
                    "attn_implementation": "flash_attention_2",
                },
            ),
            Launch(),
            ["needs a CUDA device", "backbone.attn_implementation=sdpa"],
        ),
        (
            changed(
                recipe(),
                adapter={"type": "lora", "sites": ["language.mlp"], "init_lora_weights": "pissa"},
            ),
            several(2, zero_stage=3),
            ["which ZeRO-3 splits", "ZeRO-2 launch file"],
        ),
        (
            changed(
                recipe(),
                backbone={"type": "assembled", "config": "tiny_llava", "quantization": "nf4"},
                adapter={"type": "lora", "sites": ["language.mlp"]},
            ),
            several(2, zero_stage=3),
            ["backbone.quantization = nf4: ZeRO-3 splits weights", "DDP or ZeRO-2 launch file"],
        ),
        (
            recipe("contrastive"),
            several(2, zero_stage=3),
            ["ZeRO-3 cannot split such a tensor", "DDP or ZeRO-2"],
        ),
    ],
)
def test_a_misfit_is_refused_with_what_would_fit(subject, launch, messages):
    with pytest.raises(LaunchError) as error:
        validate(subject, launch)
    for message in messages:
        assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("subject", "launch"),
    [
        (recipe(fp16=True), Launch(device="cuda", num_visible_gpus=1)),
        (recipe(), several(4, device="cuda", num_visible_gpus=4)),
        (recipe("contrastive", dataloader_drop_last=False), Launch()),
        (
            changed(
                recipe("contrastive", per_device_train_batch_size=8),
                objective={"type": "contrastive", "negatives": "micro_batch"},
            ),
            several(2),
        ),
        (
            changed(
                recipe(),
                adapter={"type": "lora", "sites": ["language.mlp"], "init_lora_weights": "pissa"},
            ),
            several(2, zero_stage=2),
        ),
    ],
)
def test_what_fits_is_accepted(subject, launch):
    batches = validate(subject, launch)
    assert batches.per_device * batches.accumulation * batches.world_size == 32


def test_training_needs_a_training_set():
    subject = changed(recipe(), data={})
    validate(subject)
    with pytest.raises(RecipeError, match=r"^data\.train: there is nothing to train on"):
        validate(subject, Launch())


def test_contradictions_come_before_the_launch():
    subject = changed(recipe(), objective={"type": "contrastive"})
    with pytest.raises(RecipeError, match=r"objective\.type"):
        validate(subject, several(3))
