"""The order of mixtures: shares, passes, homogeneous batches, ranks, resuming; by properties."""

from collections import Counter

import pytest
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from vlft.data.mixture import Mix
from vlft.errors import DataError
from vlft.training.sampler import MixtureSampler, apportion

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def mix(sizes, weights=None, *, num_samples=None, homogeneous=False):
    return Mix(
        names=tuple(f"set {number}" for number in range(len(sizes))),
        sizes=tuple(sizes),
        weights=tuple(map(float, weights or sizes)),
        num_samples=num_samples or sum(sizes),
        homogeneous=homogeneous,
    )


def sampler(mixture, *, seed=0, chunk=1, num_samples=None):
    number = num_samples or mixture.num_samples
    return MixtureSampler(mixture, num_samples=number, seed=seed, chunk=chunk)


def drawn(source, epoch):
    source.set_epoch(epoch)
    return list(source)


def member_of(index, sizes):
    for number, size in enumerate(sizes):
        if index < size:
            return number
        index -= size
    raise AssertionError


@given(sizes=SIZES, seed=st.integers(0, 5), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_by_size_an_epoch_is_every_sample_once(sizes, seed, epoch):
    order = drawn(sampler(mix(sizes), seed=seed), epoch)
    assert sorted(order) == list(range(sum(sizes)))


@given(
    sizes=SIZES,
    data=st.data(),
    num_samples=st.integers(50, 120),
    homogeneous=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_no_sample_comes_twice_before_all_of_its_set_came_once(
    sizes, data, num_samples, homogeneous
):
    """Over several epochs, whatever the weights: counts within a set differ by at most one."""
    weights = data.draw(st.lists(st.floats(1, 3), min_size=len(sizes), max_size=len(sizes)))
    source = sampler(mix(sizes, weights, num_samples=num_samples, homogeneous=homogeneous), chunk=4)
    seen: Counter[int] = Counter()
    for epoch in range(4):
        seen.update(drawn(source, epoch))
        offset = 0
        for size in sizes:
            counts = [seen[index] for index in range(offset, offset + size)]
            assert max(counts) - min(counts) <= 1
            offset += size


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6), total=st.integers(0, 999))
@settings(deadline=None)
def test_shares_sum_up_and_are_within_one_of_the_weights(weights, total):
    shares = apportion(weights, total)
    assert sum(shares) == total
    for weight, share in zip(weights, shares, strict=True):
        assert abs(share - weight / sum(weights) * total) < 1


def test_weights_are_shares_of_every_epoch():
    sizes = (10, 1000, 50)
    source = sampler(mix(sizes, (1, 2, 1), num_samples=400))
    for epoch in range(3):
        counts = Counter(member_of(index, sizes) for index in drawn(source, epoch))
        assert counts == {0: 100, 1: 200, 2: 100}


def test_the_order_is_a_function_of_seed_and_epoch():
    mixture = mix((30, 20), (1, 1), num_samples=40)
    orders = {(seed, epoch): drawn(sampler(mixture, seed=seed), epoch) for seed in range(2)
              for epoch in range(2)}  # fmt: skip
    assert len(set(map(tuple, orders.values()))) == 4
    jumped = sampler(mixture, seed=1)
    assert drawn(jumped, 1) == orders[1, 1]  # without the epoch before it
    assert drawn(jumped, 0) == orders[1, 0]
    assert list(jumped) == list(jumped)  # reading does not move it on


@given(sizes=SIZES, chunk=st.integers(1, 8), epoch=st.integers(0, 2))
@settings(deadline=None, max_examples=50)
def test_homogeneous_chunks_are_of_one_set(sizes, chunk, epoch):
    number = 16 * chunk * len(sizes)
    weights = [1.0] * len(sizes)
    source = sampler(mix(sizes, weights, num_samples=number, homogeneous=True), chunk=chunk)
    order = drawn(source, epoch)
    assert len(order) == len(source) == number
    for start in range(0, len(order), chunk):
        assert len({member_of(index, sizes) for index in order[start : start + chunk]}) == 1
    assert len({member_of(index, sizes) for index in order}) == len(sizes)


@pytest.mark.parametrize("homogeneous", [False, True])
def test_two_ranks_see_what_one_sees_and_each_step_is_of_one_set(homogeneous):
    """As accelerate deals batches out: rank r takes batches r, r + 2, ... of one order."""
    sizes, batch, world = (37, 64), 4, 2
    mixture = mix(sizes, (1, 1), num_samples=96, homogeneous=homogeneous)
    order = drawn(sampler(mixture, chunk=batch * world), 1)
    ranks = []
    for rank in range(world):
        source = sampler(mixture, chunk=batch * world)
        source.set_epoch(1)
        batches = BatchSampler(source, batch, drop_last=True)
        ranks.append(list(BatchSamplerShard(batches, num_processes=world, process_index=rank)))
    assert [i for pair in zip(*ranks, strict=True) for one in pair for i in one] == order
    if homogeneous:
        for step in zip(*ranks, strict=True):
            assert len({member_of(index, sizes) for one in step for index in one}) == 1


def test_accelerate_tells_the_epoch_after_batches_are_skipped_on_two_ranks():
    """As the Trainer resumes: it skips batches, then says which epoch it is."""
    batches = BatchSampler(sampler(mix((37, 64))), 4, drop_last=True)
    shard = BatchSamplerShard(batches, num_processes=2, process_index=1)
    shard.sampler = batches.sampler  # what VlftTrainer adds
    loader = DataLoaderShard(range(101), batch_sampler=shard)
    loader.set_epoch(1)
    expected = list(shard)
    skipping = skip_first_batches(loader, 3)
    skipping.set_epoch(1)
    assert list(skipping.batch_sampler) == expected[3:]


def test_a_set_without_a_share_is_refused():
    with pytest.raises(DataError) as error:
        sampler(mix((10, 1000), (1, 1000), num_samples=100))
    assert str(error.value) == (
        "set 0: its weight 1 of 1001 gives it none of the 100 samples of an epoch; raise its "
        "weight or the mixture's `num_samples`"
    )
    with pytest.raises(DataError, match=r"none of the 4 batches of 25 of an epoch"):
        sampler(mix((1, 99), num_samples=100, homogeneous=True), chunk=25)
