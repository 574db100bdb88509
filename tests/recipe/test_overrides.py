import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.errors import RecipeError
from vlft.recipe.origins import Origin, plain
from vlft.recipe.overrides import override_layer, parse_override
from vlft.recipe.yaml_file import flow, parse_yaml

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10),
    st.lists(st.integers() | st.text("abc", max_size=3), max_size=3),
)


@given(VALUES)
def test_a_value_reads_the_same_here_and_in_a_file(value):
    spelled = flow(value)
    in_file = parse_yaml(f"key: {spelled}\n", locate=lambda line: Origin("file", "f", line))
    assert plain(override_layer([f"key={spelled}"])) == plain(in_file) == {"key": value}


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        (["a.b=1"], {"a": {"b": 1}}),
        (["a.b=1e-4", "a.c=[x, 2]"], {"a": {"b": 1e-4, "c": ["x", 2]}}),
        (["a.b=null"], {"a": {"b": None}}),
        (["a=''"], {"a": ""}),
        (["a=x=y"], {"a": "x=y"}),
        (["a=hub:user/name@main"], {"a": "hub:user/name@main"}),
        (["a={b: 1}", "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["a=1", "a=2"], {"a": 2}),
        (["a.b=1", "a=null"], {"a": None}),
        (["adapter.r=8", "adapter.type=lora"], {"adapter": {"r": 8, "type": "lora"}}),
        ([], {}),
    ],
)
def test_later_overrides_go_over_earlier_ones(overrides, values):
    assert plain(override_layer(overrides)) == values


def test_an_override_says_where_it_comes_from():
    _, node = parse_override("a.b=1")
    assert str(node.origin) == "command line"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.bf16", "expected key=value"),
        ("a.b=", "has no value; write a.b=null"),
        ("a.b=   ", "has no value"),
        ("=1", "is not a key"),
        ("a..b=1", "is not a key"),
        ("a b=1", "is not a key"),
        ("--training.bf16=true", "write training.bf16=true, without dashes"),
        ("extends=x.yaml", "`extends` belongs in the file"),
        ("a=[1, 2", "command line: not valid YAML"),
        ("a=@x", "in quotes"),
        ("a=None", "write null"),
        ("a={b: 1, b: 2}", "b is given twice"),
    ],
)
def test_what_cannot_be_read_is_quoted(text, message):
    with pytest.raises(RecipeError) as error:
        override_layer([text])
    assert message in str(error.value)
    assert str(error.value).startswith("command line: ")
    assert "\n" not in str(error.value)
