import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, linear, silu

from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.fuser import HierarchicalFuser
from vlft.adapters.dehvf.hierarchy import VisionStates
from vlft.adapters.dehvf.memory import MemoryBranch, remember

WIDTH, DEPTH, RANK, PATCHES, LEARNED = 12, 10, 4, 6, 3


def config_of(**options):
    return DehvfConfig(
        **{
            "language_mlps": ["a", "b"], "vision_width": DEPTH, "language_width": WIDTH,
            "num_patches": PATCHES, "groups": [[1], [2], [3]], "r": RANK, "num_learned": LEARNED,
            "width": 5, "mlp_hidden": 7, "memory_dropout": 0.0, **options,
        }
    )  # fmt: skip


def drawn(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


@pytest.fixture
def branch():
    return drawn(MemoryBranch(config_of()))


@pytest.fixture
def x():
    return torch.randn(2, 5, WIDTH, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def slots():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, 1, 2, PATCHES, RANK, dtype=torch.double, generator=generator)


PRESENT = torch.ones(2, 1, dtype=torch.bool)


def materialized(branch, slots):
    """K = [u_key W_kd; 0] + P1 and U = [u_val W_vu^T; 0] + P2 of every sample (section 2.4)."""
    keys = branch.pos_key.weight.repeat(len(slots), 1, 1)
    values = branch.pos_val.weight.T.repeat(len(slots), 1, 1)
    keys[:, :PATCHES] += slots[:, 0, 0] @ branch.key_down.weight
    values[:, :PATCHES] += slots[:, 0, 1] @ branch.val_up.weight.T
    return keys, values


def test_the_factorized_memory_equals_the_materialized_one(branch, x, slots):
    keys, values = materialized(branch, slots)
    expected = silu(x @ keys.transpose(1, 2)) @ values
    torch.testing.assert_close(branch(x, slots, PRESENT), expected)


def test_beside_a_plain_network_it_equals_more_hidden_units(branch, x, slots):
    first, second = nn.Linear(WIDTH, 20).double(), nn.Linear(20, WIDTH).double()
    keys, values = materialized(branch, slots)
    for row in range(2):
        wide = torch.cat([first.weight, keys[row]])
        bias = torch.cat([first.bias, torch.zeros(PATCHES + LEARNED)])
        inner = silu(linear(x[row], wide, bias))
        expected = linear(inner, torch.cat([second.weight, values[row].T], dim=1), second.bias)
        found = second(silu(first(x[row]))) + branch(x, slots, PRESENT)[row]
        torch.testing.assert_close(found, expected)


def test_beside_a_gated_network_the_gate_of_its_slots_is_one(branch, x, slots):
    gate, up, down = (
        nn.Linear(*sizes, bias=False).double() for sizes in ((WIDTH, 20), (WIDTH, 20), (20, WIDTH))
    )
    keys, values = materialized(branch, slots)
    for row in range(2):
        gates = silu(x[row] @ torch.cat([gate.weight, keys[row]]).T)
        ups = torch.cat([up(x[row]), torch.ones(5, PATCHES + LEARNED)], dim=1)
        expected = (gates * ups) @ torch.cat([down.weight.T, values[row]])
        found = down(silu(gate(x[row])) * up(x[row])) + branch(x, slots, PRESENT)[row]
        torch.testing.assert_close(found, expected)


def test_without_an_image_all_rows_are_learned_ones(branch, x, slots):
    alone = branch(x, None, None)
    expected = silu(branch.pos_key(x)) @ branch.pos_val.weight.T
    torch.testing.assert_close(alone, expected)
    nothing = branch(x, torch.zeros_like(slots), torch.zeros(2, 1, dtype=torch.bool))
    torch.testing.assert_close(nothing, alone)


def test_tied_maps_are_those_of_memvp(x, slots):
    tied = drawn(MemoryBranch(config_of(tie_maps=True, memory_scale=0.01)))
    assert {name for name, _ in tied.named_parameters()} == {
        "key_down.weight", "pos_key.weight", "pos_val.weight",
    }  # fmt: skip
    both = slots[:, :, :1].expand(-1, -1, 2, -1, -1)
    visual = torch.zeros(2, PATCHES + LEARNED, WIDTH, dtype=torch.double)
    visual[:, :PATCHES] = 0.01 * both[:, 0, 0] @ tied.key_down.weight  # lambda * projected patches
    keys, values = visual + tied.pos_key.weight, visual + tied.pos_val.weight.T
    expected = silu(x @ keys.transpose(1, 2)) @ values
    torch.testing.assert_close(tied(x, both, PRESENT), expected)


def test_images_of_a_sample_stand_side_by_side(x):
    branch = drawn(MemoryBranch(config_of(max_images=2)))
    slots = torch.randn(2, 2, 2, PATCHES, RANK, dtype=torch.double)
    present = torch.tensor([[True, True], [True, False]])
    found = branch(x, slots, present)
    # one image alone: its share is whole
    alone = branch(x[1:], slots[1:, :1], present[1:, :1])
    torch.testing.assert_close(found[1:], alone)
    # two images: each slot counts 1 / sqrt(2), the second image's have a row of their own besides
    keys, values = [], []
    for image in range(2):
        key = slots[0, image, 0] @ branch.key_down.weight + branch.pos_key.weight[:PATCHES]
        value = slots[0, image, 1] @ branch.val_up.weight.T + branch.pos_val.weight.T[:PATCHES]
        keys.append(key + image * branch.image_key.weight)
        values.append((value + image * branch.image_val.weight.T) / 2**0.5)
    keys.append(branch.pos_key.weight[PATCHES:])
    values.append(branch.pos_val.weight.T[PATCHES:])
    expected = silu(x[0] @ torch.cat(keys).T) @ torch.cat(values)
    torch.testing.assert_close(found[0], expected)


def states(images=3):
    generator = torch.Generator().manual_seed(3)
    return VisionStates(
        torch.randn(images, 3, DEPTH, dtype=torch.double, generator=generator),
        torch.randn(images, 3, PATCHES, DEPTH, dtype=torch.double, generator=generator),
    )


@pytest.mark.parametrize("query", ["layer_id", "static", "last_only"])
def test_fusing_at_the_rank_equals_fusing_at_full_width(query):
    fuser = drawn(HierarchicalFuser(config_of(query=query)))
    shown = states()
    used = VisionStates(*(part[:, -1:] for part in shown)) if query == "last_only" else shown
    fused = fuser(used)
    weights = fuser.weights(fused.logits).double()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    wide = torch.einsum("ilpk,iknd->ilpnd", weights, used.patches * fuser.gain[:, None])
    expected = silu(fuser.down(wide))
    memory = remember(fuser, fused, torch.tensor([[0], [2], [1]]))
    torch.testing.assert_close(memory.slots[:, 0], expected[[0, 2, 1]], rtol=1e-5, atol=1e-6)


def test_only_what_a_query_uses_is_created():
    names = {
        query: {
            name.split(".")[0]
            for name, _ in HierarchicalFuser(config_of(query=query)).named_parameters()
        }
        for query in ("layer_id", "static", "last_only", "hidden")
    }
    last = {"gain", "down"}
    assert names["last_only"] == last
    assert names["static"] == last | {"granularity"}
    assert names["layer_id"] == last | {"granularity", "layer_ids", "query", "key"}
    assert names["hidden"] == names["layer_id"] | {"prompt"}


def test_without_a_query_the_layer_ids_fuser_is_the_static_one():
    fuser = drawn(HierarchicalFuser(config_of()))
    static = drawn(HierarchicalFuser(config_of(query="static")))
    with torch.no_grad():
        fuser.query.weight.zero_()
        fuser.query.bias.zero_()
        for name in ("gain", "granularity"):
            getattr(static, name).copy_(getattr(fuser, name))
        static.down.load_state_dict(fuser.down.state_dict())
    torch.testing.assert_close(fuser(states()).logits, static(states()).logits)


def test_a_sample_without_an_image_has_empty_slots_that_keep_gradients_alive():
    fuser = drawn(HierarchicalFuser(config_of()))
    memory = remember(fuser, fuser(states(1)), torch.tensor([[-1], [-1]]))
    assert not memory.slots.any()
    assert memory.present.tolist() == [[False], [False]]
    memory.slots.sum().backward()
    assert all(p.grad is not None for p in fuser.parameters())
    assert not any(p.grad.any() for p in fuser.parameters())


def test_the_activation_is_silu_and_no_softmax_over_slots(branch, x, slots):
    again = gelu(x)  # any other input
    assert not torch.allclose(branch(x, slots, PRESENT), branch(again, slots, PRESENT))
    keys, _ = materialized(branch, slots)
    assert (silu(x @ keys.transpose(1, 2)) < 0).any()  # signed scores
