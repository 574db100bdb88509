import pytest

from vlft.data import open_dataset
from vlft.errors import EvaluationError
from vlft.evaluation.driver import score_samples
from vlft.evaluation.rehearsal import FEW, rehearse
from vlft.evaluation.scorers.question_answering import QUESTION_ANSWERING
from vlft.types import Classifies, Generates


@pytest.fixture
def records(questions):
    return list(open_dataset(questions.data))


@pytest.mark.parametrize("needed", [1, FEW + 1])
def test_what_only_all_records_define_is_no_mistake(questions, records, needed):
    def judge(samples, spec):
        if len(samples) < needed:
            raise EvaluationError("too few")

    rehearse(QUESTION_ANSWERING, records, questions, Generates, judge)


def test_a_few_records_are_enough_where_nothing_is_wrong(questions, records):
    judged = []
    rehearse(QUESTION_ANSWERING, records, questions, Generates, lambda s, _: judged.append(len(s)))
    assert judged == [FEW]


def test_a_mistake_is_told(questions, records):
    wrong = questions.model_copy(update={"metric": "accurate"})
    with pytest.raises(EvaluationError, match="Did you mean 'accuracy'"):
        rehearse(QUESTION_ANSWERING, records, wrong, Generates, score_samples)


def test_classes_of_a_classifier_are_not_made_up(questions):
    rehearse(QUESTION_ANSWERING, [], questions, Classifies, score_samples)
