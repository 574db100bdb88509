"""How captions are split into words; the name stands in the ranking key, as ``extraction``."""

from collections.abc import Callable, Sequence

from vlft.evaluation.captions.java import ptb_java
from vlft.evaluation.captions.ptb_like import ptb_like

TOKENIZERS: dict[str, Callable[[Sequence[str]], list[list[str]]]] = {
    "ptb-like": lambda texts: [ptb_like(text) for text in texts],
    "ptb-java": ptb_java,
}
"""``ptb-like``: the rules of the Penn Treebank in Python; ``ptb-java``: the program that COCO's
evaluation runs, which needs Java and the package pycocoevalcap."""
