"""One file per scorer; ``SCORERS`` is the table that a benchmark's ``scorer`` is looked up in."""

from vlft.evaluation.scorer import Scorer
from vlft.evaluation.scorers.question_answering import QUESTION_ANSWERING
from vlft.evaluation.scorers.retrieval import RETRIEVAL

SCORERS: dict[str, Scorer] = {
    "question_answering": QUESTION_ANSWERING,
    "retrieval": RETRIEVAL,
}
"""Name to scorer."""
