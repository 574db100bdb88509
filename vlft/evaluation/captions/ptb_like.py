"""Words of a caption as COCO's evaluation splits them: the Penn Treebank's rules, in Python.

COCO's evaluation (arXiv 1504.00325) runs the PTB tokenizer of Stanford CoreNLP 3.4.1 with lower
case, and drops punctuation. The rules here were found by observing that program; they give its
tokens for captions, and nearly always for other English (eval/captions/README.md has the figures).
Some look odd and are kept, since scores depend on them: brackets stay, as ``-lrb-`` and ``-rrb-``
(the official list of punctuation has them in capitals, and by then all is lower case), as do
``!!``, ``&`` and ``%``; a single letter keeps the full stop behind it.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

_CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
_HYPHENS = "\N{HYPHEN}\N{NON-BREAKING HYPHEN}"

_DROPPED = frozenset([*".?!,:;'`\"", "...", *("-" * n for n in range(1, 5)), _CURLY, *_HYPHENS])
"""Punctuation that the official list drops; what it calls by other names is translated to these."""

_LAST = "\uffff"
"""Characters behind it (most emoji) are no text to the official program."""

_ABBREVIATIONS = """
adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bhd bldg blvd brig bros calif capt cf
cie cmdr co col colo conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla
fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj
mar md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla
penn pfc ph plc ppte ppty pres prof pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq
sfc sgt spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm
wyo
"""
"""Words that keep their full stop."""

_NUMBERED = "art ca fig figs no nos op p pp prop"
"""Words that keep it before a number."""

_STARTERS = """
A About According Additionally After An As At But Earlier He Her Here However If In It Last Many
More Now Once One Other Our She Since So Some Such That The Their Then There These They This We
What When While Yet You
"""
"""Words before which a full stop behind a letter ends the sentence."""

_WHOLE = "c'est c'mon dunkin' ma'am nat'l nor'easter s'mores"
"""Words with an apostrophe that are not split."""

_TRANSLATED = str.maketrans(
    {
        "\N{SOFT HYPHEN}": "",
        **dict.fromkeys("\u2018\u201b\u2039\u203a", "`"),  # single quotes but the apostrophe
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),  # double quotes
        **dict.fromkeys("\u2013\u2014\u2015\u2026", " "),  # dashes, ellipsis: dropped in the end
        **dict.fromkeys("¤₠€", "$"),
        "£": "#",
        "¢": " cents ",
        **{mark: f" {mark} " for mark in "¹²³"},  # they are digits to Python
        "½": " 1/2 ",
        "¼": " 1/4 ",
        "¾": " 3/4 ",
        "⅓": " 1/3 ",
        "⅔": " 2/3 ",
    }
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}
_ENTITY = re.compile(rf"&({'|'.join(_ENTITIES)});", re.IGNORECASE)
_BRACKETS = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
}

_LETTER = r"(?:[^\W\d_]|[\u0300-\u036f])"
_SIGN = r"(?:[^\W_]|[\u0300-\u036f])"  # a letter or digit
_END = rf"(?!{_SIGN})"
_WORD = rf"{_SIGN}+(?:[-{_HYPHENS}]{_SIGN}+)*(?:/{_SIGN}+(?:[-{_HYPHENS}]{_SIGN}+)*){{0,2}}"
_QUOTE = f"['{_CURLY}]"
_SHORT = rf"(?:s|m|d|ll|re|ve|n|em){_END}"  # what is cut off at an apostrophe
_URL = r"[^\s\"<>|()\[\]{}]"
_HALF = r"(?![-'`]?\w)"  # behind a word that is split

_RULES = [
    re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    for pattern, ignore_case in [
        # words that are split, and what is cut off them
        (rf"(can)not{_HALF}|(gon|wan)na{_HALF}|(got)ta{_HALF}|(gim|lem)me{_HALF}", True),
        (rf"({_SIGN}+)n{_QUOTE}t{_END}", True),
        (rf"n{_QUOTE}t{_END}", True),
        (rf"{_QUOTE}(?:{_SHORT}|(?:till?|cause){_END})", True),
        (rf"('t)(?:is|was){_END}", True),
        (rf"{_QUOTE}\d\d(?:s{_END}|(?![\w'{_CURLY}`\"]))|{_QUOTE}n{_QUOTE}", True),
        # words with an apostrophe: o'clock, d'or, ma'am, Hawai'i, y'all
        (rf"[dlno]{_QUOTE}(?!{_SHORT}){_LETTER}{{2,}}(?:-{_SIGN}+)*", True),
        (rf"(?:{'|'.join(_WHOLE.split())}|qu{_QUOTE}{_LETTER}+){_END}", True),
        (rf"{_LETTER}*[aeiou]{_QUOTE}(?!{_SHORT})[aeiou]{_LETTER}*", True),
        (rf"(?:ol|[djl]|y(?=.{_LETTER})){_QUOTE}(?!{_SHORT})", True),
        # words with hyphens, slashes, underscores, full stops or & inside
        (_WORD, False),
        (rf"{_SIGN}+(?:_{_SIGN}+)+", False),
        (rf"{_LETTER}+(?:[.!?]{_LETTER}+)+(?:-{_SIGN}+)*", False),
        (r"[A-Z]+(?:&[A-Z]+)+|[A-Z]{1,2}\$|[cC]\+\+|[cCfF]#", False),
        # words that end with a full stop
        (rf"(?:{_LETTER}\.)+(?!{_LETTER})(?:-(?:{_LETTER}\.)+|-{_WORD})?", False),
        (rf"(?:ph\.d|{'|'.join(_ABBREVIATIONS.split())})\.(?:-{_WORD})?", True),
        (rf"((?:{'|'.join(_NUMBERED.split())})\.)[\d,]", True),
        # numbers, and 3.5-inch
        (r"[-+]?(?:\d*(?:[.,:]\d+)+|\d+)", False),
        (rf"\d+[.,]\d+(?:-{_LETTER}+)+", False),
        # addresses, @names, #tags, <tags>, faces
        (rf"(?:https?://|www\.){_URL}+(?<![.,;:!?'-])", True),
        (rf"[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|edu|gov)/{_URL}*", True),
        (r"[^\s\"<>|()@'`]{1,64}@[\w-]+(?:\.[\w-]+)*", False),
        (rf"@{_LETTER}\w*|\#{_LETTER}{_SIGN}*", False),
        (r"</?[A-Za-z][\w.@-]*/?>", False),
        (r"(?:>?[:;=][-'`]?[()\[\]DPp|\\]|:[3O]|[xX]D|\^_\^|-_-|o_O|T_T)(?!\w)", False),
        # runs of a mark, and any other character
        (r"[!?]+|\*+|_+|\#+|@+|<<|>>|-+|\.\.\.", False),
        (r".", False),
    ]
]
"""The longest match holds, of two the first. Of a rule with a group, only the group is the word:
what it needs behind that counts for the length."""


def ptb_like(text: str) -> list[str]:
    """Return the words of a caption in lower case."""
    text = _ENTITY.sub(lambda found: f" {_ENTITIES[found[1].lower()]} ", text)
    chunks = text.translate(_TRANSLATED).split()
    words: list[str] = []
    for chunk, after in pairwise([*chunks, ""]):
        if len(chunk) == 2 and chunk[1] == "." and after in _STARTING:
            words += _words(chunk[0])
        elif chunk[-1] == "." and after[:1].isdecimal():
            words += _words(f"{chunk}0")[:-1] if _NUMBERED_END.search(chunk) else _words(chunk)
        else:
            words += _words(chunk)
    return words


_STARTING = frozenset(_STARTERS.split())

_CUT = re.compile(f"n{_CURLY}t|{_CURLY}(?:s|m|d|ll|re|ve)", re.IGNORECASE)
"""Curly apostrophes that the official program makes straight; those inside of words stay."""

_NUMBERED_END = re.compile(rf"(?:^|\W)(?:{'|'.join(_NUMBERED.split())})\.$", re.IGNORECASE)


@lru_cache(maxsize=1 << 16)
def _words(chunk: str) -> tuple[str, ...]:
    """Return the words of a text without blanks."""
    return tuple(_tokens(chunk))


def _tokens(chunk: str) -> Iterator[str]:
    place = 0
    while place < len(chunk):
        matches = [found for rule in _RULES if (found := rule.match(chunk, place))]
        longest = max(matches, key=re.Match.end)
        token = longest[longest.lastindex or 0]
        place += len(token)
        yield from _written(token)


def _written(token: str) -> Iterator[str]:
    """Yield a token as the official program writes it, unless it writes nothing."""
    if token in _DROPPED:
        return
    if len(token) == 1 and (token > _LAST or unicodedata.category(token)[0] in "MC"):
        return
    if _CUT.fullmatch(token):
        token = token.replace(_CURLY, "'")
    yield "".join(_BRACKETS.get(letter, letter) for letter in token).lower()
