import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlft.errors import RecipeError
from vlft.recipe.origins import Origin, find, plain
from vlft.recipe.yaml_file import flow, parse_yaml, read_yaml, write_yaml

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
    st.sampled_from(["1e-4", "no", "on", "null", "~", "None", "true", "0x10", ".5", "12:30", "<<"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "yes", "1e3", "x y"]), inner, max_size=3),
    ),
    max_leaves=8,
)


def parse(text: str):
    return plain(parse_yaml(text, locate=lambda line: Origin("file", "f.yaml", line)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("2e+3", 2000),
        ("1e3", 1000),
        ("1.0e3", 1000.0),
        ("-.5", -0.5),
        ("+3", 3),
        ("010", 10),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        # Text here, although YAML 1.1 makes booleans, numbers or dates of it:
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2024-05-01", "2024-05-01"),
        ("1e", "1e"),
        ("'1e-4'", "1e-4"),
        ("'None'", "None"),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    found = parse(text)
    assert found == value
    assert type(found) is type(value)


@given(VALUES)
@settings(deadline=None, max_examples=60)
def test_what_is_written_reads_back_equal(value):
    assert parse(write_yaml({"value": value})) == {"value": value}
    assert parse(flow(value)) == value


def test_every_key_knows_its_line(write):
    path = write("a: 1\n# comment\nb:\n  c: [1,\n    2]\n  d:\n    e: x\n")
    root = read_yaml(path, shown="f.yaml")
    lines = {
        keys: find(root, keys).origin.line for keys in [("a",), ("b",), ("b", "c"), ("b", "d", "e")]
    }
    assert lines == {("a",): 1, ("b",): 3, ("b", "c"): 4, ("b", "d", "e"): 7}
    assert find(root, ("b", "c", 1)).origin.line == 5


def test_numbers_keep_their_spelling(write):
    root = read_yaml(write("lr: 1e-4\n"), shown="f.yaml")
    assert find(root, ("lr",)).text == "1e-4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a is given twice (first on line 1)"),
        ("s:\n  k: 1\n  k: 1\n", "f.yaml:3: s.k is given twice (first on line 2)"),
        ("a: {b: 1, b: 2}\n", "f.yaml:1: a.b is given twice"),
        ("a: 1\n  b: 2\n", "f.yaml:2: not valid YAML"),
        ("a:\n\tb: 1\n", "a tab where spaces are expected"),
        ("a: @x\n", "in quotes"),
        ("a: *x\n", "in quotes"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: None\n", "f.yaml:1: a = None: write null"),
        ("1: x\n", "f.yaml:1: the file: keys are text"),
        ("s:\n  [a]: x\n", "f.yaml:2: s: keys are text"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "f.yaml:3: merge keys (<<) are not part of recipes"),
        ("a: &a [*a]\n", "refers to the value it stands in"),
        ("a: !!python/name:os.system x\n", "tags such as"),
        ("a: !!int abc\n", "f.yaml:1: a: "),
        ("a: \x07\n", "not valid YAML"),
        ("a: " + "[" * 1000 + "]" * 1000, "nested too deeply"),
        ("", "is empty; expected sections"),
        ("# only a comment\n", "is empty; expected sections"),
        ("[1, 2]\n", "holds a list"),
        ("text\n", "holds text"),
    ],
)
def test_bad_files_name_file_line_and_key(write, text, message):
    path = write(text)
    with pytest.raises(RecipeError) as error:
        read_yaml(path, shown="f.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_aliases_are_plain_copies():
    assert parse("a: &x {b: [1]}\nc: *x\n") == {"a": {"b": [1]}, "c": {"b": [1]}}


def test_other_encodings_and_missing_files_are_said_to_be_so(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: \xe9\n".encode("latin-1"))
    with pytest.raises(RecipeError, match="not UTF-8"):
        read_yaml(latin, shown="latin.yaml")
    with pytest.raises(RecipeError, match=r"gone\.yaml: cannot be read"):
        read_yaml(tmp_path / "gone.yaml", shown="gone.yaml")
