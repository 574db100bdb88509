"""One of two processes that gather together; test_processes.py starts both.

python one_of_two.py RANK FILE
"""

import sys

import torch
import torch.distributed as dist
from torch import nn

from vlft.adapters.corda.covariance import Found, gather, groups, summed

PATHS = ["q", "k", "v", "tower", "idle"]


def gathered(ranks: list[int]) -> Found:
    """Query, key and value part in one process; only the other sees an image."""
    host = nn.ModuleDict({path: nn.Linear(6, 3) for path in PATHS})
    with torch.no_grad(), gather(host, PATHS) as found:
        for rank in ranks:
            generator = torch.Generator().manual_seed(rank)
            for call in range(3):
                hidden = torch.randn(2, 5, 6, generator=generator)
                for path in ("q", "k", "v"):
                    if (rank, call, path) != (1, 1, "v"):
                        host[path](hidden)
            if rank == 0:
                host["tower"](torch.randn(7, 6, generator=generator))
    return found


def main() -> None:
    """Compare with one process that sees everything."""
    rank = int(sys.argv[1])
    expected = summed(gathered([0, 1]))
    mine = gathered([rank])
    before = mine.covariances["q"].total.clone()
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    for _ in range(2):  # gathered sums are as they were
        together = summed(mine)
        assert torch.equal(mine.covariances["q"].total, before)
        assert list(together) == ["q", "k", "v", "tower"]
        assert groups(together) == (("q", "k"), ("v",), ("tower",)) == groups(expected)
        for path, one in expected.items():
            torch.testing.assert_close(together[path].total, one.total, msg=path)
            assert (together[path].tokens, together[path].calls) == (one.tokens, one.calls)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
