"""SigLIP hosts see texts as in pre-training, and their own temperature and bias are in the loss."""

import math

import pytest
import torch
from PIL import Image
from torch.nn.functional import logsigmoid

from vlft.backbones import build
from vlft.data.collate import PairCollator
from vlft.data.encode_pair import PairEncoder, TextEncoder
from vlft.data.records import ImageRef, Pair
from vlft.errors import BackboneError
from vlft.evaluation.capabilities import ContrastiveModel
from vlft.hub import section_of
from vlft.objectives import build_objective
from vlft.recipe.backbone import Siglip
from vlft.recipe.objective import Contrastive
from vlft.training.groups import parameter_groups

NAMES = ("tiny_siglip", "tiny_siglip2")
TEXTS = ["a red circle", "the image shows a large striped blue square and a small green arrow"]


@pytest.fixture(scope="module")
def hosts():
    torch.manual_seed(0)
    return {name: build(Siglip(type="siglip", config=name)) for name in NAMES}


def batch_of(backbone, max_length=None):
    records = [
        Pair(str(n), ImageRef(data=_png((60 + 20 * n, 48))), text) for n, text in enumerate(TEXTS)
    ]
    encode = PairEncoder(
        backbone.processor, text_length=backbone.text_length, max_length=max_length
    )
    samples = encode.many(records, dataset="d")
    return PairCollator(backbone.processor, text_length=backbone.text_length)(samples)


def _png(size):
    import io

    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_texts_fill_the_tower_and_padding_is_not_hidden(name, hosts):
    backbone = hosts[name]
    batch = batch_of(backbone)
    tokenizer = backbone.processor.tokenizer
    assert batch["input_ids"].shape == (2, 64)
    assert "attention_mask" not in batch
    expected = tokenizer(TEXTS, padding="max_length", max_length=64, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    cut = batch_of(backbone, max_length=4)["input_ids"]
    assert cut.shape == (2, 64)
    assert (cut[:, 3] == tokenizer.eos_token_id).all()
    assert (cut[:, 4:] == tokenizer.pad_token_id).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_text_alone_has_the_embedding_that_it_has_in_a_batch(name, hosts):
    model = ContrastiveModel(hosts[name])
    together = model.embed_texts(TEXTS)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(model.embed_texts([text])[0], together[row])


@pytest.mark.parametrize("name", NAMES)
def test_training_and_evaluation_embed_alike(name, hosts):
    backbone = hosts[name]
    with torch.no_grad():
        outputs = build_objective(Contrastive(type="contrastive", loss="siglip")).forward(
            backbone.model.eval(), batch_of(backbone)
        )
    model = ContrastiveModel(backbone)
    torch.testing.assert_close(outputs["text_embeds"], model.embed_texts(TEXTS))
    images = [
        Image.linear_gradient("L").resize(size).convert("RGB") for size in ((60, 48), (80, 48))
    ]
    torch.testing.assert_close(outputs["image_embeds"], model.embed_images(images))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_transformers_with_the_learned_scale_and_bias(name, hosts):
    backbone = hosts[name]
    assert backbone.model.logit_scale.item() == pytest.approx(math.log(10))
    assert backbone.model.logit_bias.item() == -10
    batch = batch_of(backbone)
    objective = build_objective(Contrastive(type="contrastive", loss="siglip", logit_bias=3.0))
    inputs = {k: v for k, v in batch.items() if isinstance(v, torch.Tensor)}
    with torch.no_grad():
        own = backbone.model(**inputs, return_loss=True).loss
        loss = objective.loss(objective.forward(backbone.model, batch), batch, None).total
    torch.testing.assert_close(loss, own)


def test_the_scale_of_the_sigmoid_loss_has_no_limit():
    """Released SigLIP models scale by up to 118, more than CLIP may."""
    embeds = torch.eye(3)
    objective = build_objective(Contrastive(type="contrastive", loss="siglip"))
    outputs = {
        "image_embeds": embeds,
        "text_embeds": embeds,
        "logit_scale": torch.tensor(4.7),
        "logit_bias": torch.tensor(-100.0),
    }
    expected = -logsigmoid(torch.tensor(4.7).exp() - 100) - 2 * logsigmoid(torch.tensor(100.0))
    torch.testing.assert_close(objective.loss(outputs, {}, None).total, expected)


def test_flexible_resolution_keeps_the_shape_of_an_image(hosts):
    encode = hosts["tiny_siglip2"].processor.image_processor
    shapes = encode([Image.new("RGB", (96, 24)), Image.new("RGB", (48, 48))], return_tensors="pt")
    assert shapes["spatial_shapes"].tolist() == [[2, 8], [4, 4]]
    assert shapes["pixel_values"].shape == (2, 16, 3 * 12 * 12)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_the_same_host(name, hosts, tmp_path):
    hosts[name].model.save_pretrained(tmp_path)
    hosts[name].processor.save_pretrained(tmp_path)
    section = section_of(tmp_path)
    assert section == Siglip(type="siglip", model=str(tmp_path))
    loaded = ContrastiveModel(build(section))
    model = ContrastiveModel(hosts[name])
    torch.testing.assert_close(loaded.embed_texts(TEXTS), model.embed_texts(TEXTS))
    images = [Image.linear_gradient("L").convert("RGB")]
    torch.testing.assert_close(loaded.embed_images(images), model.embed_images(images))
    assert loaded.backbone.local_parts == ()


def test_scale_and_bias_do_not_decay(hosts):
    backbone = hosts["tiny_siglip"]
    names = {name for name, _ in backbone.model.named_parameters()}
    groups = parameter_groups(backbone, {}, learning_rate=1e-3, weight_decay=0.1, decayed=names)
    kept = {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    assert kept == {id(backbone.model.logit_scale), id(backbone.model.logit_bias)}


def test_a_clip_is_refused(clip_folder):
    with pytest.raises(BackboneError, match=r"a 'clip' model cannot be used.*siglip, siglip2"):
        build(Siglip(type="siglip", model=str(clip_folder)))


def test_without_a_length_of_the_host_texts_keep_their_own(hosts):
    rows = TextEncoder(hosts["tiny_siglip"].processor.tokenizer)(TEXTS)
    assert len(rows[0]) < len(rows[1]) < 64
