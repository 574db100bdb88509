from vlft.cli.report import text_table

LONG = "custom/vqa:" + "data.path=somewhere/else/" * 8


def test_nothing_is_cut_however_long():
    assert LONG in text_table(("name", "n"), [(LONG, 1)])


def test_brackets_are_no_markup():
    assert "data.questions=[relation]" in text_table(
        ("name", "n"), [("data.questions=[relation]", 1)]
    )
    assert "[red]" in text_table(("name", "n"), [("[red]",), ("a", 1)])


def test_numbers_stand_below_each_other():
    lines = text_table(("name", "n"), [("a", 1), ("longer", 100)]).splitlines()
    assert [len(line) for line in lines] == [len("longer  100")] * 3


def test_a_row_of_one_cell_is_a_heading_of_any_width():
    assert text_table(("metric", "n"), [(LONG,), ("  a", 10), ("other",), ("  b", 2)]) == (
        f"metric   n\n{LONG}\n  a     10\nother\n  b      2"
    )


def test_a_cell_has_one_line():
    assert len(text_table(("name", "n"), [("a\nb", 1), ("c\nd",)]).splitlines()) == 3
