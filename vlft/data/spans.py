"""From pieces of text to the tokens that overlap them."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vlft.data.chat import Span


def after_expansion(spans: Sequence[Span], replaced: Sequence[dict[str, Any]]) -> list[Span]:
    """Move spans of the rendered text to where they are once placeholders are expanded."""
    ends = [entry["span"][1] for entry in replaced]
    gained = [0, *(entry["new_span"][1] - entry["span"][1] for entry in replaced)]

    def moved(char: int) -> int:
        return char + gained[bisect_right(ends, char)]

    return [(moved(start), moved(end)) for start, end in spans]


def tokens_of(spans: Sequence[Span], offsets: Sequence[Span]) -> Bool[Tensor, " tokens"]:
    """Mark every token from the first to the last that overlaps a span.

    Tokens of blanks alone can have offsets without width; inside a span they count.
    """
    starts, ends = np.array(offsets).T
    marked = torch.zeros(len(offsets), dtype=torch.bool)
    for start, end in spans:
        overlapping = np.flatnonzero((starts < end) & (ends > start))
        if len(overlapping):
            marked[overlapping[0] : overlapping[-1] + 1] = True
    return marked
