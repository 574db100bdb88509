"""The examples of docs/data.md, as real files: each is read to the end, images included."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from vlft.data import DATASETS, open_dataset
from vlft.data.images import open_image
from vlft.data.records import images_of
from vlft.recipe.data import DatasetSection
from vlft.recipe.fields import sections_in

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
SECTIONS = [
    yaml.safe_load(block)["data"]["train"]
    for block in re.findall(r"```yaml\n(data:.*?)```", PAGE, re.DOTALL)
]
READ = [section for section in SECTIONS if not section.get("path", "").startswith("hub:")]
PARSED = TypeAdapter(DatasetSection)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    skimage = pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    for name in ("chelsea.png", "rocket.jpg", "coffee.png", "astronaut.png"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", READ, ids=lambda example: example.get("path", example["type"]))
def test_each_example_is_read(folder, example):
    data = open_dataset(PARSED.validate_python(example))
    assert len(data) > 0
    for record in (data[index] for index in range(len(data))):
        for ref in images_of(record):
            image = open_image(ref, dataset=data.name, record_id=record.id)
            assert image.mode == "RGB"
            assert min(image.size) > 200  # the photographs themselves


def test_every_file_of_the_page_is_used_by_an_example():
    used = {one["path"] for section in READ for one in (section, *section.get("datasets", ()))
            if "path" in one}  # fmt: skip
    assert used == set(FILES)


def test_the_hub_example_fits_the_schema():
    (section,) = [PARSED.validate_python(one) for one in SECTIONS if one not in READ]
    assert section.split == "train[:90%]"


@pytest.mark.parametrize("kind", sections_in(DatasetSection))
def test_every_format_to_train_on_has_a_section(kind):
    assert kind in {*DATASETS, "mixture"}
    assert re.search(rf"^### `{kind}`", PAGE, re.MULTILINE)
