"""How well a short text answers, as published metrics define it: one pair of texts, 0 to 1.

Every function takes what the model said and all accepted answers; a sample counts by its nearest
answer. The order of the answers has no influence.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite

NUM_VQA_ANSWERS = 10
"""Answers that people gave to each question of VQA and VizWiz."""

ANLS_THRESHOLD = 0.5
RELAXED_TOLERANCE = 0.05

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?\s*")
_ARTICLES = frozenset({"a", "an", "the"})
_COUNTED = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0"} | {word: str(value) for value, word in enumerate(_COUNTED.split())}
_VQA_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_CONTRACTIONS = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd
how'll how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't o'clock oughtn't
shan't should've shouldn't that's there'd there're there's they'd they'll they're they've 'twas
wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd who'll
who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
_WITH_APOSTROPHE = {word.replace("'", ""): word for word in _CONTRACTIONS.split()}


def vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of agreement with ten people, full at three of them.

    Antol et al., "VQA: Visual Question Answering", 2015 (arXiv 1505.00468): the mean of
    min(1, matches / 3) over the ten sets of nine answers. Both sides are normalized as by
    ``vqa_normalized``.

    Args:
        prediction: What the model said.
        answers: Exactly ``NUM_VQA_ANSWERS``.
    """
    assert len(answers) == NUM_VQA_ANSWERS, f"{len(answers)} answers"
    said = vqa_normalized(prediction)
    matches = sum(vqa_normalized(answer) == said for answer in answers)
    # A set of nine lacks one of the matching answers, or one of the others.
    without_match = matches * min(1, (matches - 1) / 3) if matches else 0
    with_all = (NUM_VQA_ANSWERS - matches) * min(1, matches / 3)
    return (without_match + with_all) / NUM_VQA_ANSWERS


def vqa_normalized(text: str) -> str:
    """Return a text as the official evaluation of VQA compares it.

    Letter case, articles, punctuation and full stops outside of numbers go; number words become
    digits; contractions get their apostrophe (visualqa.org/evaluation.html). A mark beside a blank
    goes, as does every mark in a text with a comma inside of a number; others become blanks. The
    official program leaves texts as they are where all ten answers are equal; here they are
    normalized too, as chat models write capitals and full stops.
    """
    text = re.sub(r"\s", " ", text).strip()
    glued = re.search(r"\d,\d", text) is not None
    found = text
    for mark in _VQA_MARKS:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if beside_blank or glued else " ")
    found = re.sub(r"\.(?!\d)", "", found)
    words = (_NUMBERS.get(word, word) for word in found.lower().split())
    return " ".join(_WITH_APOSTROPHE.get(word, word) for word in words if word not in _ARTICLES)


def anls(prediction: str, answers: Sequence[str]) -> float:
    """Return the normalized Levenshtein similarity to the nearest answer; up to a half it is 0.

    Biten et al., "Scene Text Visual Question Answering", 2019 (arXiv 1905.13648), equation 1, with
    its threshold of 0.5 on the distance. Letter case and repeated blanks do not count.
    """
    said = _folded(prediction)
    return max(_similarity(said, _folded(answer)) for answer in answers)


def relaxed_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 for a number within 5 % of an answer, or for the same text; else 0.

    Methani et al., "PlotQA", 2020 (arXiv 1909.00997), as ChartQA (arXiv 2203.10244) uses it.
    Per cent are read as hundredths and commas as separators of thousands; an answer of 0 is met by
    0 alone.
    """
    return float(any(_relaxed(prediction, answer) for answer in answers))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the F1 score of shared words with the nearest answer.

    Rajpurkar et al., "SQuAD", 2016 (arXiv 1606.05250), section 6: letter case, punctuation and
    articles do not count.
    """
    said = Counter(_squad_words(prediction))
    return max(_f1(said, Counter(_squad_words(answer))) for answer in answers)


TEXT_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {
    "anls": anls,
    "relaxed_accuracy": relaxed_accuracy,
    "token_f1": token_f1,
    "vqa_accuracy": vqa_accuracy,
}
"""What judges a short answer beside exact match. ``vqa_accuracy`` needs ten answers."""


def levenshtein(one: str, other: str) -> int:
    """Return the smallest number of inserted, deleted or replaced characters between two texts."""
    if len(one) < len(other):
        one, other = other, one
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, start=1):
        above, row[0] = row[0], number
        for place, another in enumerate(other, start=1):
            kept = above + (character != another)
            above, row[place] = row[place], min(kept, row[place] + 1, row[place - 1] + 1)
    return row[-1]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _similarity(one: str, other: str) -> float:
    longest = max(len(one), len(other))
    if longest == 0:
        return 1.0
    distance = levenshtein(one, other) / longest
    return 1 - distance if distance < ANLS_THRESHOLD else 0.0


def _relaxed(prediction: str, answer: str) -> bool:
    said, right = _number(prediction), _number(answer)
    if said is None or right is None:
        return _folded(prediction) == _folded(answer)
    return abs(said - right) <= RELAXED_TOLERANCE * abs(right)


def _number(text: str) -> float | None:
    text = text.strip().removesuffix(".")
    scale = 0.01 if text.endswith("%") else 1.0
    text = text.removesuffix("%")
    try:
        value = float(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    except ValueError:
        return None
    return value * scale if isfinite(value) else None


def _squad_words(text: str) -> list[str]:
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return [word for word in bare.split() if word not in _ARTICLES]


def _f1(said: Counter[str], right: Counter[str]) -> float:
    if not said or not right:  # no word is a right answer to no word
        return float(said == right)
    shared = (said & right).total()
    return 2 * shared / (said.total() + right.total())
