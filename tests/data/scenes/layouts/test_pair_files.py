"""NegCLIP's TSV and image-text pairs."""

import ast
import csv
import json

from vlft.data.readers.pairs import PairsDataset
from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.layouts import write_layout
from vlft.data.scenes.scene import World, draw_in
from vlft.data.scenes.truth import holds
from vlft.recipe.data import Pairs


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_negclip_has_the_columns_and_types_of_the_real_file(written, shared):
    real = table(shared("aro/negclip_valid_head.tsv"))
    ours = table(written("negclip") / "negclip.tsv")
    assert list(ours[0]) == list(real[0])
    for row in (*real, *ours):
        assert int(row[""]) >= 0
        assert all(type(caption) is str for caption in ast.literal_eval(row["neg_caption"]))
        assert [type(number) for number in ast.literal_eval(row["neg_image"])] == [int] * 3


def test_hard_captions_are_false_and_neighbors_are_other_rows(written):
    rows = table(written("negclip") / "negclip.tsv")
    for number, row in enumerate(rows):
        scene = draw_in(World(), number, min_objects=2)
        assert (int(row[""]), row["title"]) == (number, dense_caption(scene))
        hard = ast.literal_eval(row["neg_caption"])
        assert hard
        assert not any(holds(scene, caption) for caption in hard)
        neighbors = ast.literal_eval(row["neg_image"])
        assert len({*neighbors, number}) == 4
        assert all(0 <= neighbor < len(rows) for neighbor in neighbors)
        assert (written("negclip") / row["filepath"]).is_file()


def test_neighbors_share_an_object_where_rows_do(tmp_path):
    folder = write_layout("negclip", tmp_path, num_samples=200)
    rows = table(folder / "negclip.tsv")
    sharing = 0
    for row in rows:
        names = {" ".join(words) for words in _names(row["title"])}
        nearest = rows[ast.literal_eval(row["neg_image"])[0]]
        sharing += any(name in nearest["title"] for name in names)
    assert sharing > 0.9 * len(rows)


def _names(title):
    words = title.replace(".", "").split()
    return [words[i + 3 : i + 5] for i, word in enumerate(words) if word == "a"]


def test_pairs_are_the_same_rows_in_both_files_and_our_reader_reads_them(written):
    folder = written("pairs")
    rows = table(folder / "pairs.tsv")
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    assert rows == [json.loads(line) for line in lines]
    records = PairsDataset(Pairs(type="pairs", path=str(folder / "pairs.tsv")))
    assert len(records) == len(rows) == 44
    assert records[0].text == rows[0]["title"]
