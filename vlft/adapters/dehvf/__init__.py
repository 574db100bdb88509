"""DEHVF: hierarchical visual features in every feed-forward network (arXiv 2508.17638).

The paper's equations are not public. What is the paper's, and what is a reconstruction, stands in
``docs/dehvf.md``.

    config.py     what an adapter is made of, as PEFT saves it
    hierarchy.py  images to group states of a vision tower
    fuser.py      which groups each language layer sees
    memory.py     visual memory beside a feed-forward network
    layers.py     the wrapped modules
    model.py      the PEFT tuner: where images leave the host's inputs and memory comes in
    method.py     from a recipe's section to a config
"""

from vlft.adapters.dehvf.method import DEHVF
from vlft.adapters.dehvf.model import SHARED

__all__ = ["DEHVF", "SHARED"]
