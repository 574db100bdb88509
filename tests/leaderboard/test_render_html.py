import re
from html.parser import HTMLParser

import pytest

from vlft.leaderboard import Number, leaderboard
from vlft.leaderboard.render_html import render_html

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Tags with their attributes, and what is open at the end."""

    VOID = ("meta", "link", "input", "img", "br", "wbr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data):
        self.text.append(data)

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page(entries, descriptions=None):
    return Page(render_html(leaderboard(entries), descriptions or {}))


def test_every_tag_is_closed_and_every_id_is_there_once(entry, references):
    from vlft.leaderboard.published import references_in

    found = page([entry("a"), entry("b", key={"decoding": "x"}), *references_in(references)])
    assert found.open == []
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in found.tags:
        for name in ("aria-controls", "aria-labelledby"):
            assert attrs.get(name) in (None, *ids)


def test_whatever_results_hold_is_text(entry):
    spoiled = entry(
        EVIL,
        key={"benchmark": EVIL, "decoding": EVIL, EVIL: EVIL},
        source=EVIL,
        url="javascript:alert(3)",
        file=EVIL,
        weights=EVIL,
        adapter={EVIL: EVIL},
        recorded={EVIL: {EVIL: [EVIL]}},
        notes=(EVIL,),
        date=EVIL,
        groups={EVIL: (Number(name=EVIL, value=1.0),)},
        samples=f"{EVIL}.jsonl",
    )
    lacking = entry(EVIL, status="not_applicable", reason=EVIL, key={"benchmark": EVIL})
    found = page([spoiled, lacking], {EVIL: EVIL})
    assert len(found.of("script")) == 1
    assert found.of("img") == []
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    assert "javascript:alert(3)" not in [attrs.get("href") for attrs in found.of("a")]
    assert EVIL in "".join(found.text)


def test_nothing_is_loaded_from_anywhere(entry):
    text = render_html(leaderboard([entry(url="https://example.org/paper")]), {})
    found = Page(text)
    assert not [attrs for _, attrs in found.tags if attrs.get("src")]
    assert [attrs["href"] for attrs in found.of("link")] == ["data:,"]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    (policy,) = (a["content"] for a in found.of("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_a_source_with_a_web_address_is_a_link(entry):
    found = page([entry(url="https://example.org/paper")])
    assert "https://example.org/paper" in [attrs.get("href") for attrs in found.of("a")]


def test_tables_have_headings_and_buttons_to_sort_by(entry):
    found = page([entry("a", 0.5, low=0.4, high=0.6, date="2026-11-20")])
    columns = [attrs for attrs in found.of("th") if attrs.get("scope") == "col"]
    assert [attrs.get("aria-sort") for attrs in columns][:2] == ["ascending", None]
    assert len([attrs for attrs in found.of("button") if attrs["class"] == "sort"]) == len(columns)
    assert [attrs for attrs in found.of("th") if attrs.get("scope") == "row"]
    assert found.of("caption") == [{}]
    assert ("html", {"lang": "en"}) in found.tags


def test_cells_hold_exact_values_to_sort_by(entry):
    facts = {"trained_parameters": 412_672}
    found = page([entry("a", 1 / 3, recorded=facts), entry("b", 0.25)])
    values = [attrs["data-value"] for attrs in found.of("td") if "data-value" in attrs]
    assert str(1 / 3) in values
    assert "412672" in values


def test_a_link_to_samples_survives_any_name(entry):
    found = page([entry(samples="../runs/a b#1?/x.jsonl")])
    assert "../runs/a%20b%231%3F/x.jsonl" in [attrs.get("href") for attrs in found.of("a")]


def test_the_generated_world_is_marked(entry):
    found = page([entry(key={"benchmark": "scenes/x"})], {"scenes/x": "What it asks."})
    text = "".join(found.text)
    assert "generated world" in text
    assert "nothing about real images" in text
    assert "What it asks." in text
    assert "generated world" not in "".join(page([entry()]).text)


@pytest.mark.parametrize("benchmarks", [["a b", "a-b", "a/b"], ["x" * 300, "x" * 301]])
def test_benchmarks_with_names_alike_have_anchors_of_their_own(entry, benchmarks):
    found = page([entry(key={"benchmark": name}) for name in benchmarks])
    anchors = [attrs["id"] for attrs in found.of("section") if attrs.get("class") == "benchmark"]
    assert len(set(anchors)) == len(benchmarks)


def test_of_very_many_groups_the_largest_are_shown(entry):
    groups = {f"group {n}": (Number(name="accuracy", value=0.5, n=n),) for n in range(150)}
    text = "".join(page([entry(groups=groups)]).text)
    assert "The 100 largest of 150 groups; leaderboard.json has all of them." in text
    assert text.index("group 50") < text.index("group 149")
    assert "group 49" not in text
    few = "".join(page([entry(groups=dict(list(groups.items())[:100]))]).text)
    assert "group 0" in few
    assert "largest" not in few


def test_a_name_breaks_behind_the_marks_of_a_path(entry):
    text = render_html(leaderboard([entry("runs/<b>/my_run")]), {})
    assert "runs/<wbr>&lt;b&gt;/<wbr>my_<wbr>run</span>" in text


def test_a_protocol_without_the_usual_fields_shows_its_own(entry):
    key = {"made_by": "MMEB report", "data_sets": "the 36"}
    assert "Protocol: the 36" in "".join(page([entry(key=key)]).text)


def test_the_newest_date_is_a_date(entry):
    found = page([entry("a", date="unknown"), entry("b", date="2026-11-20T10:00:00")])
    assert "newest 2026-11-20" in "".join(found.text)


def test_intervals_are_drawn_on_one_scale(entry):
    found = page(
        [entry("a", 0.9, low=0.8, high=1.0), entry("b", 0.5, low=0.4, high=0.6)],
    )
    circles = [float(attrs["cx"]) for attrs in found.of("circle")]
    lines = [attrs for attrs in found.of("line") if attrs["class"] == "span"]
    # from 0.4 to 1.0 over 86 pixels, after a margin of 5
    assert circles == [round(5 + 86 * 0.5 / 0.6, 1), round(5 + 86 * 0.1 / 0.6, 1)]
    assert [float(lines[0]["x2"]), float(lines[1]["x1"])] == [91.0, 5.0]
