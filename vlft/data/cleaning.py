"""The clean-up that ARO and models that learn to caption give every caption.

ARO's order sets clean shuffled captions too, after the shuffle.

Sources: ``dataset_zoo/retrieval.py`` of mertyg/vision-language-models-are-bows;
``util/coco_karpathy_dataset.py`` of Hao840/ADEM-VL.
"""

import re

MOST_WORDS = 30
"""Words that are kept; the loaders of both pass this number."""

_MARKS = re.compile(r'[.!"()*#:;~]')  # commas stay
_BLANKS = re.compile(r"\s{2,}")


def clean_caption(text: str) -> str:
    """Return a caption in lower case, without marks, with single blanks, at most 30 words long.

    A cleaned caption is left as it is.
    """
    text = _BLANKS.sub(" ", _MARKS.sub(" ", text.lower())).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:MOST_WORDS])
