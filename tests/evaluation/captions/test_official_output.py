"""The reference output of COCO's own demonstration, for those who have its two files.

COCO_CAPTION_FILES names a folder with ``captions_val2014.json`` (COCO's annotations) and
``captions_val2014_fakecap_results.json`` (tylin/coco-caption, folder results). The numbers are
those of cocoEvalCapDemo.ipynb there.
"""

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vlft.evaluation.captions.bleu import bleu_counts
from vlft.evaluation.captions.corpus import METRICS
from vlft.evaluation.captions.tokenizers import TOKENIZERS

FOLDER = os.environ.get("COCO_CAPTION_FILES")
HAS_JAVA = shutil.which("java") is not None and find_spec("pycocoevalcap") is not None

NUMBERS = {
    "bleu_1": 0.579,
    "bleu_2": 0.404,
    "bleu_3": 0.279,
    "bleu_4": 0.191,
    "rouge_l": 0.396,
    "cider": 0.600,
}
COUNTS = (5732, 2510, 1043, 423, 9893, 8893, 7893, 6893, 9893, 9855)
"""Matches and n-grams of length 1 to 4, words, words of the closest references: they tell an error
of the tokenizer from one of a metric."""


@pytest.mark.skipif(FOLDER is None, reason="COCO_CAPTION_FILES names no folder")
@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
def test_the_thousand_captions_of_the_demonstration(tokenizer):
    if tokenizer == "ptb-java" and not HAS_JAVA:
        pytest.skip("needs Java and the package pycocoevalcap")
    folder = Path(str(FOLDER))
    said = json.loads((folder / "captions_val2014_fakecap_results.json").read_text())
    references: dict[int, list[str]] = {}
    for one in json.loads((folder / "captions_val2014.json").read_text())["annotations"]:
        references.setdefault(one["image_id"], []).append(one["caption"])
    split = TOKENIZERS[tokenizer]
    words = split([one["caption"] for one in said])
    right = [split(references[one["image_id"]]) for one in said]
    counts = np.sum([bleu_counts(*pair) for pair in zip(words, right, strict=True)], axis=0)
    assert tuple(counts.tolist()) == COUNTS
    found = {
        metric: round(one.total(range(len(said))).value, 3)
        for name in ("bleu", "rouge_l", "cider")
        for metric, one in METRICS[name](words, right).items()
    }
    assert found == NUMBERS
