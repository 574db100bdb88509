"""The page in a real headless Chromium, opened from a file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from vlft.leaderboard import build
from vlft.results import Metric

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

LARGEST_PICTURE = 400_000  # bytes


class Opened(NamedTuple):
    """A page with all that it asked for and said."""

    page: object
    requests: list[str]
    said: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Debian's Chromium, headless, with a fresh profile."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture
def site(tmp_path, example, references) -> Path:
    """The page of the example."""
    build([example], tmp_path / "site", references=references)
    return tmp_path / "site"


@pytest.fixture
def open_page(browser):
    """Open a site in a window of some size."""
    contexts = []

    def opened(
        site: Path, *, width=1360, height=1000, scheme="light", scale=1, anchor=""
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            device_scale_factor=scale,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        requests, said = [], []
        context.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto((site / "index.html").as_uri() + anchor)
        return Opened(page, requests, said)

    yield opened
    for context in contexts:
        context.close()


def models(page, table=0):
    """Names in the visible rows of a table, from top to bottom."""
    rows = page.locator("table.board").nth(table).locator("tbody.entry:visible .name")
    return rows.all_inner_texts()


def heading(page, name, table=0):
    return page.locator("table.board").nth(table).get_by_role("button", name=name, exact=True)


BY_RANK = [
    "amber-otter-lora",
    "brisk-heron-dora",
    "cedar-lynx-full",
    "dune-wren-ia3",
    "ember-vole-base",
]


def test_a_heading_sorts_its_table_and_no_other(site, open_page):
    page = open_page(site).page
    assert models(page) == BY_RANK
    others = models(page, 1)
    heading(page, "Trained").click()
    by_size = ["cedar-lynx-full", "amber-otter-lora", "brisk-heron-dora", "dune-wren-ia3"]
    assert models(page)[:4] == by_size
    assert page.locator("th[aria-sort]").first.get_attribute("aria-sort") == "descending"
    heading(page, "Trained").click()
    assert models(page)[-4:] == by_size[::-1]
    assert models(page, 1) == others
    heading(page, "Rank").click()
    assert models(page) == BY_RANK
    heading(page, "Rank").click()
    amber, brisk, cedar, dune, ember = BY_RANK  # brisk and cedar share a rank
    assert models(page) == [ember, dune, brisk, cedar, amber]
    heading(page, "Model").click()
    assert models(page) == sorted(BY_RANK)


def test_rows_without_a_value_come_last_in_both_orders(site, open_page):
    page = open_page(site).page
    retrieval = page.locator("table.board").count() - 1
    without = "grove-finch-clip-lora"
    assert models(page, retrieval)[1] == without
    for _ in range(2):
        heading(page, "Trained", retrieval).click()
        assert models(page, retrieval)[-1] == without


def test_limited_results_stand_in_a_table_of_their_own_that_says_why(site, open_page):
    page = open_page(site).page
    card = page.locator(".card", has_text="fjord-newt-pissa")
    assert card.locator(".name").all_inner_texts() == ["fjord-newt-pissa"]
    assert "limited" in card.locator("h3").inner_text()
    assert "part of the data" in card.inner_text()


def test_the_filter_hides_rows_tables_and_benchmarks(site, open_page):
    page = open_page(site).page
    assert page.locator("#status").inner_text() == "13 rows"
    page.get_by_role("searchbox").fill("LORA otter")
    assert models(page) == ["amber-otter-lora"]
    assert page.locator(".benchmark:visible h2").all_inner_texts() == [
        "scenes/question_answering generated world"
    ]
    assert page.locator("#status").inner_text() == "2 of 13 rows"
    page.get_by_role("searchbox").fill("nobody")
    assert page.locator("tbody.entry:visible").count() == 0
    assert page.locator("#nothing").is_visible()
    page.get_by_role("searchbox").fill("")
    assert page.locator("#status").inner_text() == "13 rows"


def test_a_benchmark_is_chosen_and_the_address_keeps_the_choice(site, open_page):
    page = open_page(site).page
    page.get_by_label("Benchmark").select_option(label="scenes/retrieval")
    assert page.locator("#status").inner_text() == "3 of 13 rows"
    assert page.locator(".card:visible").count() == 1
    page.get_by_role("searchbox").fill("clip-lora")
    # asked of the page itself: the driver learns of a changed address a moment later
    address = page.evaluate("location.hash")
    assert address == "#q=clip-lora&benchmark=scenes%2Fretrieval"  # holds when others come along
    again = open_page(site, anchor=address).page
    assert again.locator("#status").inner_text() == "1 of 13 rows"
    assert again.get_by_role("searchbox").input_value() == "clip-lora"


def test_a_link_opens_the_samples_of_its_row(site, open_page):
    page = open_page(site).page
    row = page.locator("tbody.entry", has_text="brisk-heron-dora").first
    row.locator("td a", has_text="samples").first.click()
    page.wait_for_url(re.compile(r"/samples/.*\.samples\.jsonl$"))
    lines = page.locator("pre").inner_text().splitlines()
    assert json.loads(lines[1])["prediction"] == "brisk-heron-dora"


def test_a_row_opens_and_closes_by_keyboard(site, open_page):
    page = open_page(site).page
    opener = page.get_by_role("button", name="amber-otter-lora").first
    panel = page.locator(f"#{opener.get_attribute('aria-controls')}")
    assert not panel.is_visible()
    opener.focus()
    page.keyboard.press("Enter")
    assert panel.is_visible()
    assert opener.get_attribute("aria-expanded") == "true"
    assert "0.8720703125" in panel.inner_text()
    assert "relation" in panel.inner_text()  # a group
    page.keyboard.press("Space")
    assert not panel.is_visible()
    heading(page, "Model").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert models(page) == sorted(BY_RANK, reverse=True)


def test_the_page_asks_for_nothing_but_itself_and_says_nothing(site, open_page):
    opened = open_page(site)
    heading(opened.page, "Value").click()
    opened.page.get_by_role("searchbox").fill("a")
    opened.page.get_by_role("button", name="amber-otter-lora").first.click()
    assert opened.requests == [(site / "index.html").as_uri()]
    assert opened.said == []


def test_a_name_that_is_a_script_is_shown_and_not_run(tmp_path, result, write, open_page):
    name = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    write(tmp_path / "results", result(name))
    build([tmp_path / "results"], tmp_path / "site")
    opened = open_page(tmp_path / "site")
    assert models(opened.page) == [name]
    assert opened.page.title() == "Leaderboard"
    # and if it ever came through, the page's own policy would stop it
    opened.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: \"document.title='run'\"}))"
    )
    assert opened.page.title() == "Leaderboard"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1360])
def test_no_window_is_too_narrow_and_texts_stand_out(site, open_page, width, scheme):
    page = open_page(site, width=width, height=800, scheme=scheme).page
    page.get_by_role("button", name="amber-otter-lora").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in (".value", ".rank", ".name", "h1", ".about", ".more dt", ".badge.warn"):
        assert contrast(page, name) >= 4.5, name


@pytest.mark.parametrize("width", [390, 740, 833, 1100, 1250, 1280, 1366, 1440])
def test_no_table_of_one_run_is_wider_than_its_card(tmp_path, result, write, open_page, width):
    facts = {"trained_parameters": 1_110_912, "visual_tokens_per_image": 16}
    write(tmp_path / "results", result("runs/tiny/pretrain_scenes", 459, 2048, recorded=facts))
    build([tmp_path / "results"], tmp_path / "site")
    page = open_page(tmp_path / "site", width=width).page
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(one => one.scrollWidth <= one.clientWidth)"
    )


@pytest.mark.parametrize("width", [360, 1360])
def test_many_groups_with_many_metrics_stay_in_their_panel(
    tmp_path, result, write, open_page, width
):
    numbers = tuple(Metric(name=f"ndcg_exponential@{k}", value=0.5, n=9) for k in range(24))
    groups = {f"Data-Set-{number}": numbers for number in range(42)}
    write(tmp_path / "results", result(groups=groups))
    build([tmp_path / "results"], tmp_path / "site")
    page = open_page(tmp_path / "site", width=width).page
    page.get_by_role("button", name="otter").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panel, across = page.locator(".panel").bounding_box(), page.locator(".across").bounding_box()
    assert across["x"] >= panel["x"]
    assert across["x"] + across["width"] <= panel["x"] + panel["width"]
    # no two headings lie on each other, as they would in columns that are too narrow
    heads = [one.bounding_box() for one in page.locator(".across thead th").all()]
    ends = [head["x"] + head["width"] for head in heads]
    assert all(end <= head["x"] + 1 for end, head in zip(ends, heads[1:], strict=False))
    assert len({head["y"] for head in heads}) == 1


CONTRAST = """
(selector) => {
  const element = document.querySelector(selector);
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  let found;
  for (let back = element; back; back = back.parentElement) {
    found = channels(getComputedStyle(back).backgroundColor);
    if (found.length === 3 || found[3] > 0) break;
  }
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((one) => {
      const share = one / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [luminance(channels(getComputedStyle(element).color)), luminance(found)].sort(
    (a, b) => a - b
  );
  return (high + 0.05) / (low + 0.05);
}
"""
"""Contrast of a text and what is behind it (WCAG 2.2, contrast ratio)."""


def contrast(page, selector):
    return page.evaluate(CONTRAST, selector)


def test_pictures_of_the_page_are_small_enough_for_the_docs(site, open_page, tmp_path):
    """docs/images/leaderboard.png was taken here: run with --basetemp to keep it."""
    shots = (
        ("leaderboard", {"width": 1360, "height": 1200}),
        ("phone", {"width": 390, "height": 844, "scale": 2}),
        ("dark", {"width": 1360, "height": 1100, "scheme": "dark"}),
    )
    for name, window in shots:
        page = open_page(site, **window).page
        page.get_by_role("button", name="brisk-heron-dora").first.click()
        page.mouse.move(0, 0)
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path)
        assert 10_000 < path.stat().st_size < LARGEST_PICTURE


def test_without_scripts_everything_is_shown(site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.locator("tr.more").first.is_visible()
    assert not page.locator("form.tools").is_visible()
    context.close()
