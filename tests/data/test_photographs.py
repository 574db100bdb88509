"""Real input: photographs bundled with scikit-image, with captions of our own, into tiny hosts."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vlft.data import open_dataset
from vlft.data.audit import audit
from vlft.data.collate import ConversationCollator, PairCollator
from vlft.data.encode import ConversationEncoder
from vlft.data.encode_pair import PairEncoder
from vlft.data.encoded import EncodedDataset
from vlft.recipe.data import LlavaJson, Pairs
from vlft.types import BATCH_KEYS

CAPTIONS = {
    "astronaut.png": "A smiling astronaut in an orange suit before a flag and a model shuttle.",
    "chelsea.png": "The face of a tabby cat that looks past the camera.",
    "coffee.png": "A cup of espresso on a saucer with a spoon.",
    "rocket.jpg": "A rocket on its pad between two towers at dusk.",
    "retina.jpg": "The back of an eye with its vessels.",
    "hubble_deep_field.jpg": "Galaxies of many shapes on black sky.",
    "camera.png": "A man in a coat looks into a camera on a tripod.",  # gray
    "horse.png": "The outline of a horse.",  # black and white
    "logo.png": "A snake in the shape of a logo.",  # with transparency
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder with the photographs: some as they are, some saved again as JPEG."""
    skimage = pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    source = Path(skimage.__file__).parent / "data"
    folder = tmp_path_factory.mktemp("photographs")
    names = {}
    for name, caption in CAPTIONS.items():
        image = Image.open(source / name)
        if name in ("coffee.png", "camera.png"):
            name = name.replace(".png", ".jpg")
        image.save(folder / name)
        names[name] = caption
    return folder, names


def model_inputs(batch):
    return {key: value for key, value in batch.items() if key not in BATCH_KEYS}


def test_llava_json_to_logits(photographs, host):
    folder, captions = photographs
    records = [
        {
            "id": name,
            "image": name,
            "conversations": [
                {"from": "human", "value": "<image>\nDescribe the photograph."},
                {"from": "gpt", "value": caption},
            ],
        }
        for name, caption in captions.items()
    ]
    records.append(
        {
            "id": "both",
            "image": ["rocket.jpg", "chelsea.png"],
            "conversations": [
                {"from": "human", "value": "Which of <image> and <image> shows an animal?"},
                {"from": "gpt", "value": "The second."},
            ],
        }
    )
    (folder / "train.json").write_text(json.dumps(records))
    backbone = host("tiny_llava")
    section = LlavaJson(type="llava_json", path=str(folder / "train.json"))
    data = EncodedDataset(open_dataset(section), ConversationEncoder(backbone.processor))
    reports = audit(
        (data[i] for i in range(len(data))), processor=backbone.processor, model=backbone.model
    )
    assert [report.num_images for report in reports] == [1] * len(captions) + [2]
    for report, caption in zip(reports, captions.values(), strict=False):
        assert f"<assistant>[[{caption}</s>]]" in report.text
    loader = DataLoader(
        data, batch_size=5, num_workers=2, collate_fn=ConversationCollator(backbone.processor)
    )
    seen = 0
    for batch in loader:
        logits = backbone.model(**model_inputs(batch)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())
        loss.backward()
        assert torch.isfinite(loss)
        seen += batch["num_images"]
    assert seen == len(captions) + 2
    assert all(p.grad is not None for p in backbone.model.model.multi_modal_projector.parameters())


def test_tsv_to_embeddings(photographs, host):
    folder, captions = photographs
    lines = ["filepath\ttitle", *(f"{name}\t{caption}" for name, caption in captions.items())]
    (folder / "train.tsv").write_text("\n".join(lines))
    backbone = host("tiny_clip")
    section = Pairs(type="pairs", path=str(folder / "train.tsv"))
    data = EncodedDataset(
        open_dataset(section, on_bad_record="skip"), PairEncoder(backbone.processor)
    )
    batch = next(
        iter(DataLoader(data, batch_size=len(data), collate_fn=PairCollator(backbone.processor)))
    )
    assert batch["record_ids"] == [f"line {number}" for number in range(2, len(captions) + 2)]
    with torch.no_grad():
        outputs = backbone.model.eval()(**model_inputs(batch))
    similarity = outputs.image_embeds @ outputs.image_embeds.T
    assert outputs.text_embeds.shape == outputs.image_embeds.shape == (len(captions), 64)
    # Different photographs arrive as different images.
    assert (similarity.fill_diagonal_(0) < 0.9999).all()


def test_pixels_are_those_of_the_host_processor(photographs, host):
    folder, _ = photographs
    processor = host("tiny_clip").processor
    (folder / "one.tsv").write_text("filepath\ttitle\nchelsea.png\ta cat")
    data = open_dataset(Pairs(type="pairs", path=str(folder / "one.tsv")))
    sample = PairEncoder(processor)(data[0], dataset=data.name)
    with Image.open(folder / "chelsea.png") as image:
        expected = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    assert torch.equal(sample.image_inputs["pixel_values"], expected)
