"""DEHVF: hierarchical visual features in every feed-forward network (arXiv 2508.17638).

The paper's equations are not public. What is the paper's, and what is a reconstruction, stands in
``docs/dehvf.md``.

    config.py     what an adapter is made of, as PEFT saves it
    hierarchy.py  images to group states of a vision tower
    fuser.py      which groups each language layer sees
    memory.py     visual memory beside a feed-forward network
    passing.py    memories on their way through a call, apart for each thread
    layers.py     the wrapped modules
    images.py     images of a call to its memories
    hooks.py      where images leave the host's inputs and memory comes in
    model.py      the PEFT tuner
    features.py   what a cache keeps of an image
    inspection.py which groups a trained fuser looks at
    method.py     from a recipe's section to a config
"""

from vlft.adapters.dehvf.features import is_dehvf
from vlft.adapters.dehvf.hooks import SHARED
from vlft.adapters.dehvf.method import DEHVF, fitting

__all__ = ["DEHVF", "SHARED", "fitting", "is_dehvf"]
