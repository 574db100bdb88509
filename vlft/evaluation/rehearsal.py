"""Judge made-up answers before a model is asked, so that hours of answers are not asked in vain."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vlft.data.records import Record
from vlft.errors import VlftError
from vlft.evaluation.answering import Answers
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.requests import Answer, Generate, Request, Score
from vlft.evaluation.scorer import Scorer
from vlft.results import Sample
from vlft.types import Classifies, Likelihood

FEW = 8  # records that are tried first; all are only where these few cannot be judged


def rehearse(
    scorer: Scorer,
    records: Sequence[Record],
    spec: BenchmarkSpec,
    via: type,
    judge: Callable[[Sequence[Sample], BenchmarkSpec], Any],
) -> None:
    """Read and judge answers that say the same about everything.

    A metric or an extraction that does not exist, or that these records do not define, is found
    here. Classifiers are not rehearsed: their classes come from the model.

    Args:
        scorer: The benchmark's.
        records: All that are measured.
        spec: The benchmark.
        via: The capability in which the model will be asked.
        judge: Such as ``score_samples`` of the driver.

    Raises:
        VlftError: What judging the real answers would end in.
    """
    if via is Classifies:
        return
    try:
        judge(list(scorer.read(records[:FEW], MadeUp({}), spec, via)), spec)
    except VlftError:  # a few records may lack what all of them have
        judge(list(scorer.read(records, MadeUp({}), spec, via)), spec)


class MadeUp(Answers):
    """The same answer to every request of a kind."""

    def __getitem__(self, request: Request) -> Answer:
        """Return an answer of the kind that the request says."""
        if isinstance(request, Generate):
            return "nothing"
        if isinstance(request, Score):
            return tuple(Likelihood(-1.0, 1) for _ in request.continuations)
        return UNIT


UNIT = np.ones(1, dtype=np.float32)
"""A vector of unit length."""
