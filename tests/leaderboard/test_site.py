import csv
import json
import subprocess
import sys

import pytest

from vlft.errors import EvaluationError
from vlft.leaderboard import Leaderboard, build

FILES = ["index.html", "leaderboard.csv", "leaderboard.json", "leaderboard.md"]


def test_a_site_holds_the_four_files_and_the_samples(tmp_path, example, references):
    site = build([example], tmp_path / "site", references=references)
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [*FILES, "samples"]
    board = Leaderboard.model_validate_json((tmp_path / "site" / FILES[2]).read_text("utf-8"))
    assert board == site.leaderboard
    assert [(table.benchmark, table.origin, len(table.rows)) for table in board.tables] == [
        ("scenes/question_answering", "vlft", 5),
        ("scenes/question_answering", "vlft", 2),
        ("scenes/question_answering", "vlft", 1),
        ("scenes/question_answering", "published", 2),
        ("scenes/retrieval", "vlft", 3),
    ]
    first = board.tables[0]
    assert [row.rank for row in first.rows] == [1, 2, 2, 4, 5]
    assert [entry.model.name for entry in first.superseded] == ["dune-wren-ia3"]
    assert [entry.model.name for entry in board.not_applicable] == ["amber-otter-lora"]
    for row in first.rows:
        assert row.entry.samples is not None
        lines = (tmp_path / "site" / row.entry.samples).read_text("utf-8").splitlines()
        assert json.loads(lines[1])["prediction"] == row.entry.model.name


def test_csv_and_json_hold_the_same_numbers(tmp_path, example):
    site = build([example], tmp_path / "site")
    with (tmp_path / "site" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["file"], row["protocol"]): row for row in csv.DictReader(file)}
    for table in site.leaderboard.tables:
        for row in table.rows:
            line = rows[row.entry.file, json.dumps(row.entry.key, sort_keys=True)]
            assert float(line["value"]) == row.entry.main.value
            assert line["rank"] == ("" if row.rank is None else str(row.rank))


def test_the_same_results_give_the_same_bytes(tmp_path, example):
    contents = []
    for name in ("one", "two"):
        build([example], tmp_path / name)
        contents.append([(tmp_path / name / file).read_bytes() for file in FILES])
    assert contents[0] == contents[1]


def test_other_files_of_the_folder_stay(tmp_path, example):
    site = tmp_path / "site"
    site.mkdir()
    (site / "CNAME").write_text("example.org", encoding="utf-8")
    (site / "index.html").write_text("old", encoding="utf-8")
    build([example], site)
    assert (site / "CNAME").read_text(encoding="utf-8") == "example.org"
    assert (site / "index.html").read_text(encoding="utf-8") != "old"


def test_a_site_below_the_results_is_not_read_again(tmp_path, example):
    first = build([example], example / "site")
    second = build([example], example / "site")
    assert first.leaderboard == second.leaderboard


def test_damaged_files_are_on_the_page_and_other_json_is_not(tmp_path, example):
    (example / "cut.json").write_text('{"schema_version": 1, "met', encoding="utf-8")
    (example / "config.json").write_text("{}", encoding="utf-8")
    site = build([example], tmp_path / "site")
    assert {one.file for one in site.skipped} == {"results/cut.json", "results/config.json"}
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "results/cut.json" in page
    assert "results/config.json" not in page


@pytest.mark.parametrize(("published", "count"), [("matching", 1), ("all", 2), ("none", 0)])
def test_published_tables_are_chosen(tmp_path, example, references, published, count):
    text = (references / "invented.yaml").read_text(encoding="utf-8")
    other = text.replace("scenes/question_answering", "some/other")
    (references / "other.yaml").write_text(other, encoding="utf-8")
    site = build([example], tmp_path / "site", references=references, published=published)
    assert sum(table.origin == "published" for table in site.leaderboard.tables) == count


def test_nothing_to_rank_is_an_error_and_writes_nothing(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"no results \(1 other JSON files\)"):
        build([folder], tmp_path / "site")
    (folder / "cut.json").write_text("{", encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"no result that can be used.*cut\.json"):
        build([folder], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_only_results_that_do_not_apply_make_a_page_too(tmp_path, result, write):
    lacking = result(status="not_applicable", metrics=(), reason="the host reads text only")
    write(tmp_path / "results", lacking)
    site = build([tmp_path / "results"], tmp_path / "site")
    assert site.leaderboard.tables == ()
    assert "text only" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_leaderboards_are_built_without_torch():
    code = (
        "import sys, vlft.leaderboard, vlft.cli.leaderboard;"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
