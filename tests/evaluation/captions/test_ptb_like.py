"""Words of captions: what the official program gives, as observed, and the program itself."""

import shutil
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.evaluation.captions.java import ptb_java
from vlft.evaluation.captions.ptb_like import ptb_like

HAS_JAVA = shutil.which("java") is not None and find_spec("pycocoevalcap") is not None

TRICKY = {
    "": "",
    " . ": "",
    "A man riding a wave on top of a surfboard.": "a man riding a wave on top of a surfboard",
    "a cat , a dog;and a bird:here - there -- now...": "a cat a dog and a bird here there now",
    "A man's dog isn't John's.": "a man 's dog is n't john 's",
    "it\u2019s a boy\u2019s toy, don\u2019t they?": "it 's a boy 's toy do n't they",
    "I can't, cannot, won't": "i ca n't can not wo n't",
    "they'd've we'll I'm you're": "they 'd 've we 'll i 'm you 're",
    "gonna wanna gotta gimme lemme dunno": "gon na wan na got ta gim me lem me dunno",
    "'tis 'twas 'em the '90s 1950's 1950s": "'t is 't was 'em the '90s 1950 's 1950s",
    "rock 'n' roll at 5 o'clock, ma'am": "rock 'n' roll at 5 o'clock ma'am",
    "the dogs' bowls": "the dogs bowls",
    "a \"STOP\" sign, 'stop', ``stop'' \u201cstop\u201d": "a stop sign stop stop stop",
    "black-and-white x-ray T-shirt": "black-and-white x-ray t-shirt",
    "a man (in red) [left] {up}": "a man -lrb- in red -rrb- -lsb- left -rsb- -lcb- up -rcb-",
    "No way!! Really?! Yes!": "no way !! really ?! yes",
    "Mr. Smith of St. Louis, etc.": "mr. smith of st. louis etc.",
    "the U.S. at 5 p.m., e.g. here": "the u.s. at 5 p.m. e.g. here",
    "plan B. of team c. The dog": "plan b. of team c the dog",
    "no. 5 is no. five (No. 3)": "no. 5 is no five -lrb- no. 3 -rrb-",
    "a dog. The cat.": "a dog the cat",
    "$4.50 and 50% off 3,000 at 10:30am": "$ 4.50 and 50 % off 3,000 at 10:30 am",
    "\u00a35, 5\u20ac, 5\u00a2, 2\u00bd": "# 5 5 $ 5 cents 2 1/2",
    "1/2 a pizza, 24/7, 3/4-inch, 2-3": "1/2 a pizza 24/7 3/4-inch 2-3",
    "a dog/cat w/ hat and/or w/o": "a dog/cat w / hat and/or w/o",
    "#45 is #fun @home *bold* a_b _a": "# 45 is #fun @home * bold * a_b _ a",
    "AT&T & r&b, C++": "at&t & r & b c++",
    "see www.example.com or http://x.org/a.": "see www.example.com or http://x.org/a",
    "\u00fcber \u65e5\u672c": "\u00fcber \u65e5\u672c",
    "I \u2665 NY \U0001f600!": "i \u2665 ny",
    "a \u2013 b \u2014 c\u2026 d": "a b c d",
    "one\ntwo\tthree": "one two three",
    '5\'10" tall 6"': "5 10 tall 6",
    "smile :) or :-( <3": "smile :-rrb- or :--lrb- < 3",
    "word.word a.b 1.5 .5 5.": "word.word a.b 1.5 .5 5",
    "salt &amp; pepper": "salt & pepper",
    "<image> a<br> </s>": "<image> a <br> </s>",
}


@pytest.mark.parametrize(("text", "words"), TRICKY.items())
def test_words_are_those_of_the_official_program(text, words):
    assert ptb_like(text) == words.split()


@pytest.mark.skipif(not HAS_JAVA, reason="needs Java and the package pycocoevalcap")
def test_the_official_program_says_the_same():
    assert dict(zip(TRICKY, map(" ".join, ptb_java(list(TRICKY))), strict=True)) == TRICKY


@given(st.text(max_size=40))
def test_any_text_has_words_without_blanks(text):
    words = ptb_like(text)
    assert all(word and word == "".join(word.split()) for word in words)
    # neither what surrounds a caption nor how its words are set apart matters
    assert ptb_like(f"\n {' '.join(text.split())}  ") == words


@given(st.lists(st.sampled_from(["a", "Dog", "isn't", "U.S.", "x-ray", "5", "(", "1,000"])))
def test_words_apart_are_split_one_by_one(words):
    assert ptb_like(" ".join(words)) == [word for text in words for word in ptb_like(text)]


def test_a_long_output_without_blanks_takes_no_time():
    assert len(ptb_like("a," * 20_000)) == 20_000
