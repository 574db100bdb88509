import pytest

from vlft.leaderboard.samples import linked


@pytest.fixture
def sampled(tmp_path, entry):
    folder = tmp_path / "runs" / "a b#1"
    folder.mkdir(parents=True)
    path = folder / "made-up.samples.jsonl"
    path.write_text('{"id": "1"}\n', encoding="utf-8")
    return entry(samples=str(path))


def test_a_copy_lies_beside_the_page_under_a_name_of_its_content(tmp_path, sampled, entry):
    site = tmp_path / "site"
    link = linked(sampled, site, "copy").samples
    assert link is not None
    assert link.startswith("samples/made-up-")
    assert (site / link).read_text(encoding="utf-8") == '{"id": "1"}\n'
    other = tmp_path / "made-up.samples.jsonl"
    other.write_text('{"id": "2"}\n', encoding="utf-8")
    second = linked(entry(samples=str(other)), site, "copy").samples
    assert second != link
    assert linked(sampled, site, "copy").samples == link
    assert len(list((site / "samples").iterdir())) == 2


def test_a_link_leads_from_the_page_to_where_the_file_lies(tmp_path, sampled):
    link = linked(sampled, tmp_path / "site", "link").samples
    assert link == "../runs/a b#1/made-up.samples.jsonl"
    assert not (tmp_path / "site").exists()


def test_samples_can_be_left_out(tmp_path, sampled):
    assert linked(sampled, tmp_path / "site", "none").samples is None
    assert not (tmp_path / "site").exists()
