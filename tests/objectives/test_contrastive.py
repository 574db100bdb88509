"""Contrastive losses: the formulas, and two ranks = one rank on the joined batch."""

import math
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn.functional import cross_entropy, normalize

from vlft.objectives.contrastive import Contrastive, clip_losses, siglip_losses


def embeddings(rows: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=generator), dim=-1)


def test_clip_loss_is_the_mean_of_both_cross_entropies():
    image, text = embeddings(5, 8, 0), embeddings(5, 8, 1)
    scale = torch.tensor(7.0)
    logits = scale * image @ text.T
    expected = (
        cross_entropy(logits, torch.arange(5)) + cross_entropy(logits.T, torch.arange(5))
    ) / 2
    losses = clip_losses(image, text, image, text, scale=scale, first=0)
    torch.testing.assert_close(losses.mean(), expected)


def test_clip_loss_of_equal_embeddings_is_log_n():
    same = embeddings(1, 8, 0).expand(6, 8)
    losses = clip_losses(same, same, same, same, scale=torch.tensor(10.0), first=0)
    torch.testing.assert_close(losses, torch.full((6,), math.log(6)))


def test_siglip_loss_matches_the_double_sum_of_the_paper():
    image, text = embeddings(4, 8, 0), embeddings(4, 8, 1)
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    total = 0.0
    for i in range(4):
        for j in range(4):
            z = 1.0 if i == j else -1.0
            logit = z * (scale * image[i] @ text[j] + bias)
            total += math.log1p(math.exp(-logit.item()))
    losses = siglip_losses(image, text, scale=scale, bias=bias, first=0)
    assert losses.mean().item() == pytest.approx(total / 4, rel=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_perfect_pairs_lose_less_than_shuffled_ones(kind: str):
    image = embeddings(6, 16, 0)
    objective = Contrastive(kind, logit_bias=-10.0)
    outputs = {"image_embeds": image, "logit_scale": torch.tensor(math.log(20.0))}
    matched = objective.loss({**outputs, "text_embeds": image}, {}, None).total
    shuffled = objective.loss({**outputs, "text_embeds": image.roll(1, 0)}, {}, None).total
    assert matched < shuffled


def test_temperature_is_capped_at_one_hundred():
    image, text = embeddings(4, 8, 0), embeddings(4, 8, 1)
    objective = Contrastive("clip", logit_bias=0.0)
    outputs = {"image_embeds": image, "text_embeds": text}
    capped = objective.loss({**outputs, "logit_scale": torch.tensor(9.0)}, {}, None).total
    limit = objective.loss(
        {**outputs, "logit_scale": torch.tensor(math.log(100.0))}, {}, None
    ).total
    torch.testing.assert_close(capped, limit)


@pytest.mark.parametrize(("shift", "falls"), [(1, True), (0, False)])
def test_a_temperature_over_the_cap_can_only_come_back(shift: int, falls: bool):
    """Wrong pairs ask for a lower one, right pairs for a higher one."""
    image = embeddings(64, 2, 0)  # so close together that no pair is certain
    scale = torch.tensor(5.0, requires_grad=True)
    outputs = {"image_embeds": image, "text_embeds": image.roll(shift, 0), "logit_scale": scale}
    Contrastive("clip", logit_bias=0.0).loss(outputs, {}, None).total.backward()
    assert scale.grad is not None
    assert (scale.grad.item() > 0) == falls
    assert scale.grad.item() >= 0


def joined_loss(kind: str, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    image = normalize(inputs @ weight, dim=-1)
    text = normalize(inputs.roll(1, -1) @ weight, dim=-1)
    objective = Contrastive(kind, logit_bias=-5.0)
    outputs = {"image_embeds": image, "text_embeds": text, "logit_scale": torch.tensor(2.0)}
    return objective.loss(outputs, {}, None).total


def start(rank: int, world_size: int, port: int) -> None:
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size)


def rank_main(rank: int, world_size: int, port: int, kind: str, out: str) -> None:
    start(rank, world_size, port)
    weight = embeddings(8, 8, 3).requires_grad_()
    inputs = torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    local = inputs[rank * 3 : (rank + 1) * 3]
    loss = joined_loss(kind, weight, local)
    loss.backward()
    gradient = weight.grad.clone()
    torch.distributed.all_reduce(gradient)  # what data parallelism does: mean over ranks
    mean = loss.detach().clone()
    torch.distributed.all_reduce(mean)
    if rank == 0:
        Path(out).write_text(
            repr((mean.item() / world_size, (gradient / world_size).flatten().tolist()))
        )
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.distributed
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_two_ranks_give_loss_and_gradient_of_one(kind: str, tmp_path: Path):
    out = tmp_path / "rank0"
    mp.spawn(rank_main, args=(2, free_port(), kind, str(out)), nprocs=2)
    loss, gradient = eval(out.read_text())  # a tuple of floats that we wrote

    weight = embeddings(8, 8, 3).requires_grad_()
    inputs = torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    expected = joined_loss(kind, weight, inputs)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(torch.tensor(gradient), weight.grad.flatten(), rtol=1e-5, atol=1e-7)
