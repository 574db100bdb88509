"""One file per scorer; ``SCORERS`` is the table that a benchmark's ``scorer`` is looked up in."""

from vlft.evaluation.scorer import Scorer
from vlft.evaluation.scorers.caption_choice import CAPTION_CHOICE
from vlft.evaluation.scorers.captioning import CAPTIONING
from vlft.evaluation.scorers.classification import CLASSIFICATION
from vlft.evaluation.scorers.mmeb import MMEB
from vlft.evaluation.scorers.mmra import MMRA, MMRA_GENERATE
from vlft.evaluation.scorers.multiple_choice import MULTIPLE_CHOICE, OPTION_LIKELIHOOD
from vlft.evaluation.scorers.question_answering import QUESTION_ANSWERING
from vlft.evaluation.scorers.retrieval import RETRIEVAL
from vlft.evaluation.scorers.scienceqa import SCIENCEQA, SCIENCEQA_LIKELIHOOD
from vlft.evaluation.scorers.short_answers import SHORT_ANSWERS

SCORERS: dict[str, Scorer] = {
    "caption_choice": CAPTION_CHOICE,
    "captioning": CAPTIONING,
    "classification": CLASSIFICATION,
    "mmeb": MMEB,
    "mmra": MMRA,
    "mmra_generate": MMRA_GENERATE,
    "multiple_choice": MULTIPLE_CHOICE,
    "option_likelihood": OPTION_LIKELIHOOD,
    "question_answering": QUESTION_ANSWERING,
    "retrieval": RETRIEVAL,
    "scienceqa": SCIENCEQA,
    "scienceqa_likelihood": SCIENCEQA_LIKELIHOOD,
    "short_answers": SHORT_ANSWERS,
}
"""Name to scorer."""
