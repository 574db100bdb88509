"""MMEB's texts, blank by blank: both row layouts give the same, as upstream's comments demand."""

from pathlib import Path

import pytest

from vlft.data.records import ImageRef, Item
from vlft.errors import EvaluationError
from vlft.evaluation.mmeb_texts import identity, plain_text, query_content, target_content

IMAGE = ImageRef(path=Path("NIGHTS/1.jpg"), root=Path("/images"))
MARK = "<|image_1|>"


def shown(content):
    """Write a content as one text, with [I] for the image."""
    return content.before + ("[I]" if content.item.image else "") + content.after


def query(shape, text, instruction=None, image=IMAGE):
    return shown(query_content(Item(text, image, instruction), shape, "q"))


def target(shape, text, instruction=None, image=IMAGE, *, captioned=False):
    item = Item(text, image, instruction)
    return shown(target_content(item, shape, "t", captioned=captioned))


@pytest.mark.parametrize(
    ("shape", "text", "instruction", "whole"),
    [
        # the mark goes, and one is put in front
        ("cls", "", f"{MARK}\nname the scene.\n", "[I]\nname the scene.\n\n"),
        ("cls", "a cat", f"{MARK}\nread the news:", "[I]\nread the news: a cat\n"),
        ("i2t", "", f"{MARK} find a caption", "[I]  find a caption\n"),
        # a line end comes before the stripped instruction
        ("qa", "what is it?", f"{MARK}\nanswer this: ", "[I]\nanswer this: what is it?\n"),
        ("qa", "what is it?", f"{MARK} answer this:", "[I]\nanswer this: what is it?\n"),
        ("i2i", "is red", f"{MARK}\nfind one that", "[I]\nfind one that is red\n"),
        # a blank before a line end goes, also inside of the text
        ("qa", "one \ntwo", f"{MARK}\nanswer:", "[I]\nanswer: one\ntwo\n"),
    ],
)
def test_v2_queries_with_an_image(shape, text, instruction, whole):
    assert query(shape, text, instruction) == whole


@pytest.mark.parametrize(
    ("shape", "whole"),
    [("t2i", "find: a cat \nhere\n"), ("t2i_dialogue", "find: a cat \nhere\n\n")],
)
def test_v2_queries_of_text_keep_their_blanks(shape, whole):
    assert query(shape, "a cat \nhere", "find:", None) == whole


@pytest.mark.parametrize(
    ("shape", "text", "captioned", "whole"),
    [
        ("t2i", "", False, "[I]\nshow this.\n"),
        ("i2i", "", False, "[I]\nshow this."),
        ("t2i", "a fact", True, "[I]\nshow this. a fact\n"),
        ("i2i", '"the dog"', True, '[I]\nshow this. "the dog"\n'),
        # as upstream: the blank goes before the line end is added
        ("t2i", "", True, "[I]\nshow this. \n"),
    ],
)
def test_v2_targets_with_an_image(shape, text, captioned, whole):
    found = target(shape, text, f"{MARK}\nshow this.", captioned=captioned)
    assert found == whole


@pytest.mark.parametrize("shape", ["cls", "qa", "i2t"])
def test_targets_of_text_are_as_they_are(shape):
    assert target(shape, "a cat ", "", None) == "a cat "
    assert target(shape, "a cat ", None, None) == "a cat "


@pytest.mark.parametrize("shape", ["cls", "qa", "i2t", "t2i", "t2i_dialogue", "i2i"])
def test_v1_texts_are_whole_already(shape):
    assert query(shape, f"{MARK}\nas it is \n") == "[I]\nas it is \n"
    assert query(shape, "as it is \n\n", image=None) == "as it is \n\n"


@pytest.mark.parametrize(
    ("shape", "v1", "instruction", "text"),
    [
        ("cls", f"{MARK}\nname it: a cat\n", f"{MARK}\nname it:", "a cat"),
        ("qa", f"{MARK}\nanswer: why?\n", f"{MARK}\nanswer:", "why?"),
        ("i2t", f"{MARK}\nfind a caption.\n", f"{MARK}\nfind a caption.", ""),
        ("i2i", f"{MARK}\nfind the part: dog\n", f"{MARK}\nfind the part:", "dog"),
    ],
)
def test_both_layouts_give_one_query(shape, v1, instruction, text):
    assert query(shape, v1) == query(shape, text, instruction)


def test_both_layouts_give_one_target():
    assert target("t2i", f"{MARK}\nshow it.\n") == target("t2i", "", f"{MARK}\nshow it.")
    assert target("i2i", f"{MARK}\nshow it.") == target("i2i", "", f"{MARK}\nshow it.")


def test_an_image_without_a_mark_comes_first():
    assert query("i2i", "find it.\n") == "[I] find it.\n"
    assert target("i2i", "") == "[I]"


def test_a_mark_without_an_image_is_left_out():
    assert query("t2i", f"{MARK}\nfind it.\n", image=None) == "\nfind it.\n"


def test_two_marks_for_one_image_are_refused():
    with pytest.raises(EvaluationError, match=r"^q: found 2 marks <\|image_1\|> in its text"):
        query("qa", f"{MARK} and {MARK}")


def test_the_text_alone_has_no_mark_and_no_outer_blanks():
    item = Item(f"{MARK}\nfind it.\n", IMAGE)
    assert plain_text(query_content(item, "i2i", "q")) == "find it."


def test_identity_is_the_text_the_path_or_both():
    item = Item('"the dog"', IMAGE)
    assert identity(item, "cls") == '"the dog"'
    assert identity(item, "t2i") == "NIGHTS/1.jpg"
    assert identity(item, "i2i") == "NIGHTS/1.jpg:the dog"
