import json

import pytest

from vlft.cli.leaderboard import run
from vlft.errors import EvaluationError, RunDirectoryError, UnknownNameError


def test_the_command_tells_what_it_wrote_and_what_it_left_out(tmp_path, example, capsys):
    (example / "cut.json").write_text('{"schema_version": 1, "met', encoding="utf-8")
    (example / "config.json").write_text("{}", encoding="utf-8")
    run([str(example)], out=str(tmp_path / "site"))
    printed = capsys.readouterr()
    assert "rows: 11, tables: 4, files left out: 2" in printed.out
    assert f"written: {tmp_path / 'site' / 'index.html'}" in printed.out
    assert printed.err.splitlines() == [
        "left out: results/config.json: no result of vlft, no report of MMEB, no result of "
        "lmms-eval",
        "cannot be used: results/cut.json: is cut off or no JSON (line 1): remove it and evaluate "
        "again",
    ]


def test_other_files_are_told_together_and_damaged_ones_last(tmp_path, example, capsys):
    for number in range(5):
        (example / f"a{number}.json").write_text("{}", encoding="utf-8")
        (example / f"b{number}.json").write_text('{"schema_version": 1, "m', encoding="utf-8")
    run([str(example)], out=str(tmp_path / "site"))
    first, *bad = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "left out: results/a0.json, results/a1.json, results/a2.json and 2 more: no result of vlft"
    )
    assert [line.split(":")[:2] for line in bad] == [
        ["cannot be used", f" results/b{number}.json"] for number in range(5)
    ]


def test_options_are_handed_on(tmp_path, example, references):
    site = tmp_path / "site"
    run(
        [str(example)],
        out=str(site),
        published="none",
        references=str(references),
        samples="link",
    )
    board = json.loads((site / "leaderboard.json").read_text(encoding="utf-8"))
    assert {table["origin"] for table in board["tables"]} == {"vlft"}
    link = board["tables"][0]["rows"][0]["entry"]["samples"]
    assert (site / link).is_file()
    assert not (site / "samples").exists()


def test_an_unknown_value_is_answered_with_the_nearest(tmp_path, example):
    with pytest.raises(UnknownNameError, match="Did you mean 'copy'"):
        run([str(example)], out=str(tmp_path), samples="copi")
    with pytest.raises(UnknownNameError, match="--published"):
        run([str(example)], out=str(tmp_path), published="some")


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="is not there"):
        run([str(tmp_path / "none")], out=str(tmp_path / "site"))


@pytest.mark.parametrize("samples", ["copy", "none"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, example, samples):
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        with pytest.raises(RunDirectoryError, match=r"cannot be written to .*--out"):
            run([str(example)], out=str(tmp_path / out), samples=samples)
