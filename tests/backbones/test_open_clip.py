"""open_clip hosts are open_clip's models, and what cannot be had is refused in one line."""

import json
import subprocess
import sys

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlft.adapters import apply_adapter
from vlft.adapters.parts import merge_adapter
from vlft.backbones import build, count_towers
from vlft.backbones.open_clip import save_open_clip
from vlft.errors import BackboneError, MissingExtraError
from vlft.hub import section_of
from vlft.recipe.adapter import LoraAdapter
from vlft.recipe.backbone import OpenClip


def section(**fields):
    return OpenClip(type="open_clip", **fields)


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def texts():
    return open_clip.SimpleTokenizer(context_length=64)(["a red circle", "two dogs", "x"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A random host in open_clip's own format."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("open_clip")
    save_open_clip(build(section(config="tiny_open_clip")), folder)
    return folder


@pytest.fixture
def architecture(saved, tmp_path, monkeypatch):
    """The tiny architecture under a name that open_clip knows."""
    values = json.loads((saved / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "ViT-Tiny.json").write_text(json.dumps(values))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIG_PATHS", [tmp_path])
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {})
    open_clip.add_model_config(tmp_path / "ViT-Tiny.json")
    return "ViT-Tiny"


def embeddings(model, pixels, texts):
    with torch.no_grad():
        return model.eval()(pixel_values=pixels, input_ids=texts)


def test_the_embeddings_are_those_of_open_clip(saved, pixels, texts):
    own = open_clip.create_model(f"local-dir:{saved}").eval()
    assert isinstance(own.visual.transformer.resblocks[0].attn, torch.nn.MultiheadAttention)
    with torch.no_grad():
        image, text, _ = own(pixels, texts)
    found = embeddings(build(section(model=str(saved))).model, pixels, texts)
    torch.testing.assert_close(found.image_embeds, image)
    torch.testing.assert_close(found.text_embeds, text)
    assert found.image_embeds.norm(dim=-1) == pytest.approx(1)


def test_tokenizer_and_preprocessing_are_those_of_open_clip(saved):
    from PIL import Image

    backbone = build(section(model=str(saved)))
    images = [
        Image.linear_gradient("L").convert("RGB").resize(size) for size in ((90, 60), (48, 70))
    ]
    transform = open_clip.image_transform(
        48, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
    )
    found = backbone.processor.image_processor(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, torch.stack([transform(image) for image in images]))
    long = "a very long caption " * 40
    tokens = backbone.processor.tokenizer(
        [long, "short"], max_length=64, truncation=True, padding=False
    )
    own = open_clip.get_tokenizer(f"local-dir:{saved}")
    assert tokens["input_ids"] == own([long, "short"]).tolist()
    assert backbone.text_length == 64


def test_a_merged_adapter_is_written_in_the_format_of_open_clip(
    saved, architecture, pixels, texts, tmp_path
):
    adapter = LoraAdapter(type="lora", sites=("vision.attention", "text.mlp"), r=4)
    backbone = apply_adapter(build(section(model=str(saved))), adapter, {})
    for parameter in backbone.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    expected = embeddings(backbone.model, pixels, texts)
    out = tmp_path / "merged"
    save_open_clip(merge_adapter(backbone), out)

    names = open_clip.CLIP(**json.loads((out / "open_clip_config.json").read_text())["model_cfg"])
    assert load_file(out / "open_clip_model.safetensors").keys() == names.state_dict().keys()
    weights = str(out / "open_clip_model.safetensors")
    own = open_clip.create_model(architecture, pretrained=weights).eval()
    with torch.no_grad():
        image, text, _ = own(pixels, texts)
    torch.testing.assert_close(image, expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(text, expected.text_embeds, rtol=1e-4, atol=1e-5)

    reloaded = embeddings(
        build(section(model=f"open_clip:{architecture}", pretrained=weights)).model, pixels, texts
    )
    torch.testing.assert_close(reloaded.image_embeds, image)
    assert section_of(out) == section(model=str(out))


def test_checkpointing_reaches_the_blocks_of_open_clip(saved):
    model = build(section(model=str(saved))).model
    model.activation_checkpointing_enable()
    assert model.clip.visual.transformer.grad_checkpointing
    assert model.clip.transformer.grad_checkpointing
    model.activation_checkpointing_disable()
    assert not model.clip.transformer.grad_checkpointing


def test_disabling_an_adapter_in_bfloat16_leaves_the_base_as_it_was(saved, pixels, texts):
    """PEFT's own layer for ``nn.MultiheadAttention`` would round the base in every forward pass."""
    base = build(section(model=str(saved), dtype="bfloat16"))
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    adapter = LoraAdapter(type="lora", sites=("vision.attention", "text.attention"), r=4)
    model = apply_adapter(base, adapter, {}).model
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    for _ in range(3):
        embeddings(model, pixels.bfloat16(), texts)
    after = model.unload().state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("name", "total", "sites"),
    [
        ("ViT-B-32", 151_277_313, {"vision.attention", "vision.mlp", "text.attention", "text.mlp"}),
        ("ViT-B-16-SigLIP", 203_155_970, {"vision.attention", "text.attention", "projector"}),
        ("RN50", 102_007_137, {"text.attention", "text.mlp"}),
    ],
)
def test_architectures_of_open_clip_have_the_sites_of_their_towers(name, total, sites, monkeypatch):
    # the tokenizer of SigLIP comes from the Hub
    monkeypatch.setattr("open_clip.tokenizer.HFTokenizer.__init__", _no_tokenizer)
    backbone = build(section(model=name), device="meta")
    counts = count_towers(backbone)
    assert sum(count.total for count in counts) == total
    assert all(count.total for count in counts)
    assert sites <= set(backbone.sites)
    for parameter, _ in backbone.model.named_parameters():
        owners = [t for t, prefixes in backbone.towers.items() if parameter.startswith(prefixes)]
        assert len(owners) == 1, parameter


def _no_tokenizer(self, *args, **options):
    self.tokenizer = type("Tokenizer", (), {"pad_token_id": 1})


def pickled(folder):
    torch.save({}, folder / "weights.pt")
    return section(model="ViT-B-32", pretrained=str(folder / "weights.pt"))


def of_another_architecture(folder):
    save_file({"logit_scale": torch.zeros(())}, folder / "weights.safetensors")
    return section(model="ViT-S-32", pretrained=str(folder / "weights.safetensors"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: section(model="ViT-B32"),
            r"architecture 'ViT-B32'. Did you mean 'ViT-B-32'",
        ),
        (
            lambda folder: section(model="ViT-B-32", pretrained="laion2b_s34b_b97k"),
            r"Did you mean 'laion2b_s34b_b79k'\?",
        ),
        (
            lambda folder: section(model="ViT-B-32", pretrained="openai"),
            r"trained with QuickGELU.*use model: ViT-B-32-quickgelu",
        ),
        (
            lambda folder: section(model="ViT-B-32", pretrained="laion2b_s34b_b79k"),
            "could not be had from the Hub",
        ),
        (
            lambda folder: section(model="hf-hub:laion/no-such-model"),
            "could not be had from the Hub",
        ),
        (lambda folder: section(model=str(folder)), "has no open_clip_config.json"),
        (
            lambda folder: section(model="ViT-B-32", pretrained=str(folder / "no.safetensors")),
            "backbone.pretrained: there is no file",
        ),
        (pickled, "is no safetensors file, and other formats are not read"),
        (of_another_architecture, "does not hold the weights of this architecture"),
        (lambda folder: section(model="coca_ViT-B-32"), "CoCa models also write captions"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(make, message, tmp_path):
    with pytest.raises(BackboneError, match=message) as caught:
        build(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_error_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vlft\[openclip\]'"):
        build(section(config="tiny_open_clip"))


@pytest.mark.slow
def test_the_package_is_imported_for_its_hosts_only():
    code = "import sys, vlft.backbones, vlft.hub; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
