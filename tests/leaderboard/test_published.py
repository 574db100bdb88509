import pytest

from vlft.errors import EvaluationError, RecipeError
from vlft.leaderboard import leaderboard
from vlft.leaderboard.published import beside, published_in, references_in
from vlft.recipe.shipped import shipped_root


def test_rows_carry_their_source_and_their_table(references):
    first, second = references_in(references)
    assert first.model.name == "Mirage-7B"
    assert (first.main.value, first.main.n) == (0.9, 2048)
    assert first.groups["color"][0].value == 0.95
    assert (first.source, first.url) == ("Invented et al., table 2", "https://example.org/paper")
    assert second.trained_parameters == 12000
    assert first.key == second.key
    assert first.key["decoding"] == "greedy"


@pytest.mark.parametrize("name", ["", "gone"])
def test_a_folder_without_published_tables_is_told(tmp_path, name):
    with pytest.raises(EvaluationError, match="no published table"):
        references_in(tmp_path / name)


def test_published_rows_rank_among_themselves_only(references, entry):
    key = {"made_by": "vlft", "benchmark": "scenes/question_answering", "decoding": "greedy"}
    board = leaderboard([entry("ours", 0.8, key=key), *references_in(references)])
    assert [[row.rank for row in table.rows] for table in board.tables] == [[1], [1, 2]]
    assert board.tables[1].note is not None
    assert "not measured by vlft" in board.tables[1].note


def test_a_source_that_states_our_protocol_still_has_a_table_of_its_own(tmp_path, entry):
    stated = {"prompt_format": "p", "extraction": "e", "decoding": "d", "tie_rule": None}
    path = tmp_path / "a.yaml"
    path.write_text(
        "benchmark: made/up\nmetric: accuracy\nsource: S\n"
        "protocol: {prompt_format: p, extraction: e, decoding: d, tie_rule: null}\n"
        "rows: [{model: M, value: 0.9}]\n",
        encoding="utf-8",
    )
    _, published = leaderboard([entry(key=stated), *published_in(path, "a.yaml")]).tables
    assert [row.rank for row in published.rows] == [1]
    assert published.note is not None
    assert "of a table here" in published.note
    _, published = leaderboard(
        [entry(key=stated | {"decoding": "x"}), *published_in(path, "a.yaml")]
    ).tables
    assert published.note is not None
    assert "of a table here" not in published.note


def test_two_sources_are_never_ranked_together(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            f"benchmark: made/up\nmetric: accuracy\nsource: {name}\nprotocol: {{decoding: d}}\n"
            "rows: [{model: M, value: 0.9}]\n",
            encoding="utf-8",
        )
    assert len(leaderboard(references_in(tmp_path)).tables) == 2


def test_a_row_may_have_a_metric_of_its_own(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "benchmark: made/up\nmetric: accuracy\nsource: S\nprotocol: {}\n"
        "rows: [{model: M, value: 0.9}, {model: M, value: 0.3, metric: macro_accuracy}]\n",
        encoding="utf-8",
    )
    tables = leaderboard(published_in(path, "a.yaml")).tables
    assert sorted(table.metric for table in tables) == ["accuracy", "macro_accuracy"]


def test_published_tables_stand_beside_what_was_measured(references, entry):
    published = references_in(references)
    assert beside(published, [entry(key={"benchmark": "other"})]) == []
    changed = "scenes/question_answering:data.num_samples=20"
    assert beside(published, [entry(key={"benchmark": changed})]) == published


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric: a", "is no published table"),
        ("benchmark: [", "not valid YAML"),
        (
            "benchmark: b\nmetric: m\nsource: s\nprotocol: {}\nrows: [{model: M, values: 1}]",
            "Did you mean 'value'",
        ),
        ("benchmark: b\nmetric: m\nsource: s\nprotocol: {}\nrows: []", "rows"),
        ("benchmark: b\nmetric: m\nsource: s\nprotocol: {}\nrows: [{model: M, value: x}]", "value"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((EvaluationError, RecipeError), match=message) as caught:
        published_in(path, "a.yaml")
    assert "\n" not in str(caught.value)
    assert "a.yaml" in str(caught.value)


def test_every_shipped_table_is_read_and_holds_shares():
    entries = references_in(shipped_root("eval") / "references")
    assert entries
    for entry in entries:
        assert entry.source
        assert 0 <= entry.main.value <= 1 or "cider" in entry.main.name.lower(), entry.file


COLUMNS = {"NAT": 2252, "SOC": 889, "LAN": 1100}, {"G1-6": 2724, "G7-12": 1517}


@pytest.mark.parametrize("sizes", COLUMNS)
def test_scienceqa_columns_add_up_to_the_whole_by_the_sizes_of_the_test_split(sizes):
    path = shipped_root("eval") / "references" / "scienceqa.yaml"
    entries = published_in(path, path.name)
    assert len(entries) == 13
    for entry in entries:
        shares = {name: entry.groups[f"bin/{name}"][0].value for name in sizes}
        mean = sum(size * shares[name] for name, size in sizes.items()) / 4241
        slack = 0.012 if entry.model.name in ("Human", "Random") else 0.00015
        assert mean == pytest.approx(entry.main.value, abs=slack), entry.model.name


def test_every_benchmark_of_the_four_has_published_rows():
    names = {entry.benchmark for entry in references_in(shipped_root("eval") / "references")}
    assert {name.partition("/")[0] for name in names} == {"aro", "mmeb", "mmra", "scienceqa"}
    assert {name for name in names if name.startswith("aro/")} == {
        "aro/coco_order", "aro/flickr30k_order", "aro/vg_attribution", "aro/vg_relation"
    }  # fmt: skip
