from hypothesis import given
from hypothesis import strategies as st

from vlft.recipe.origins import DEFAULT, Node, Origin, leaves, merge, origins_of, plain
from vlft.recipe.yaml_file import parse_yaml

KEYS = st.sampled_from("abc")
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers(0, 3),
        lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
    max_size=3,
)


WRITTEN = Origin("file", "f.yaml", 1)


def tree(values, origin=WRITTEN) -> Node:
    if isinstance(values, dict):
        return Node({key: tree(value, origin) for key, value in values.items()}, origin)
    return Node(values, origin)


@given(TREES, TREES)
def test_merging_twice_is_merging_once(base, over):
    once = merge(tree(base), tree(over))
    assert plain(merge(once, tree(over))) == plain(once)
    assert plain(merge(tree(base), tree(base))) == base


@given(TREES, TREES)
def test_everything_of_the_upper_tree_survives_and_knows_its_file(base, over):
    lower, upper = Origin("file", "base.yaml", 1), Origin("file", "over.yaml", 1)
    merged = merge(tree(base, lower), tree(over, upper))
    result = dict(leaves(plain(merged)))
    above = dict(leaves(over))
    assert all(result[keys] == value for keys, value in above.items())
    origins = origins_of(plain(merged), merged)
    for keys in result:
        assert origins[".".join(keys)] == (upper if keys in above else lower)


def merged(base: str, over: str):
    def locate(line: int) -> Origin:
        return Origin("file", "f.yaml", line)

    return plain(merge(parse_yaml(base, locate=locate), parse_yaml(over, locate=locate)))


def test_a_section_of_another_type_replaces_the_old_one():
    base = "adapter: {type: lora, r: 8, sites: [a]}"
    assert merged(base, "adapter: {type: full}") == {"adapter": {"type": "full"}}


def test_a_section_of_the_same_or_no_type_is_merged():
    base = "adapter: {type: lora, r: 8}"
    assert merged(base, "adapter: {r: 4}") == {"adapter": {"type": "lora", "r": 4}}
    assert merged(base, "adapter: {type: lora, r: 4}") == {"adapter": {"type": "lora", "r": 4}}


def test_lists_null_and_empty_mappings_replace():
    assert merged("a: [1, 2]", "a: [3]") == {"a": [3]}
    assert merged("a: {b: 1}", "a: null") == {"a": None}
    assert merged("a: {b: 1}", "a: {}") == {"a": {}}
    assert merged("a: null", "a: {b: 1}") == {"a": {"b": 1}}


def test_what_was_not_written_is_a_default():
    root = parse_yaml("a: {b: 1}", locate=lambda line: Origin("file", "f.yaml", line))
    origins = origins_of({"a": {"b": 1, "c": 2}, "d": {}}, root)
    assert str(origins["a.b"]) == "f.yaml:1"
    assert origins["a.c"] is DEFAULT
    assert str(origins["d"]) == "default"
