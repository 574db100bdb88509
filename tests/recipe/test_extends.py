import pytest

from vlft.errors import RecipeError
from vlft.recipe.extends import read_layers
from vlft.recipe.origins import find, plain


def test_the_file_goes_over_its_base_and_origins_tell_them_apart(write):
    write("training: {learning_rate: 1e-4, bf16: true}\n", "_base/base.yaml")
    path = write("extends: ../_base/base.yaml\ntraining:\n  bf16: false\n", "mine/recipe.yaml")
    root = read_layers(path)
    assert plain(root) == {"training": {"learning_rate": 1e-4, "bf16": False}}
    assert str(find(root, ("training", "learning_rate")).origin) == "_base/base.yaml:1"
    assert str(find(root, ("training", "bf16")).origin) == "mine/recipe.yaml:3"


def test_of_several_bases_the_later_holds(write):
    write("a: 1\nb: 1\n", "one.yaml")
    write("b: 2\n", "two.yaml")
    assert plain(read_layers(write("extends: [one.yaml, two.yaml]\nc: 3\n"))) == {
        "a": 1,
        "b": 2,
        "c": 3,
    }


def test_bases_extend_relative_to_themselves(write):
    write("a: 1\n", "deep/down/root.yaml")
    write("extends: down/root.yaml\nb: 2\n", "deep/middle.yaml")
    assert plain(read_layers(write("extends: deep/middle.yaml\n"))) == {"a": 1, "b": 2}


def test_the_same_base_twice_is_no_circle(write):
    write("a: 1\n", "root.yaml")
    write("extends: root.yaml\nb: 2\n", "left.yaml")
    write("extends: root.yaml\nc: 3\n", "right.yaml")
    path = write("extends: [left.yaml, right.yaml]\n")
    assert plain(read_layers(path)) == {"a": 1, "b": 2, "c": 3}


def test_a_shipped_recipe_is_a_base_by_its_name(write):
    path = write("extends: _base/generative\n")
    assert plain(read_layers(path))["objective"] == {"type": "language_modeling"}


def test_a_file_of_ones_own_wins_over_a_shipped_name(write):
    write("a: 1\n", "_base/generative.yaml")
    assert plain(read_layers(write("extends: _base/generative.yaml\n"))) == {"a": 1}


def test_a_circle_is_printed_as_a_chain(write):
    write("extends: c.yaml\n", "b.yaml")
    write("extends: [a.yaml]\n", "c.yaml")
    path = write("seed: 1\nextends: b.yaml\n", "a.yaml")
    with pytest.raises(RecipeError) as error:
        read_layers(path)
    assert "c.yaml:1: extends in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml" in str(error.value)


def test_a_file_cannot_extend_itself(write):
    with pytest.raises(RecipeError, match=r"recipe\.yaml -> recipe\.yaml"):
        read_layers(write("extends: recipe.yaml\n"))


def test_a_missing_base_names_where_it_was_looked_for(write):
    with pytest.raises(RecipeError) as error:
        read_layers(write("seed: 1\nextends: _base/generativ.yaml\n"))
    message = str(error.value)
    assert message.startswith("recipe.yaml:2: extends = _base/generativ.yaml: there is no file")
    assert "_base/generative" in message


@pytest.mark.parametrize("value", ["3", "{a: b}", "[1]", "[[a]]"])
def test_extends_takes_names_only(write, value):
    with pytest.raises(RecipeError, match="expected a file or shipped recipe, or a list"):
        read_layers(write(f"extends: {value}\n"))


def test_a_broken_base_is_named_with_its_own_line(write):
    write("a: 1\na: 2\n", "base.yaml")
    with pytest.raises(RecipeError, match=r"^base\.yaml:2: a is given twice"):
        read_layers(write("extends: base.yaml\n"))
