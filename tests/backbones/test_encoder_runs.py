"""Runs of contrastive and vision hosts load in a fresh process with the outputs they ended with."""

import json
import subprocess
import sys

import pytest
import torch

PAIRS = "data.train={type: scenes, task: pairs, num_samples: 32, seed: 5}"
SHAPES = "[circle, oval, ring, square, bar, frame, triangle, diamond, arrow, plus, cross, hash]"
SITES = "[vision.attention, vision.mlp, text.attention, text.mlp]"
CONTRASTIVE = [PAIRS, f"adapter={{type: lora, sites: {SITES}, r: 4}}"]
VISION = [
    "data.train={type: scenes, task: classification, num_samples: 32, seed: 5}",
    "objective={type: classification, label_smoothing: 0.1}",
    "adapter={type: lora, sites: [vision.attention, vision.mlp], r: 4}",
    "towers={head: {train: full}}",
]
HOSTS = {
    "siglip": ["backbone={type: siglip, config: tiny_siglip}", "objective.loss=siglip"],
    "siglip2": ["backbone={type: siglip, config: tiny_siglip2}", "objective.loss=siglip"],
    "open_clip": ["backbone={type: open_clip, config: tiny_open_clip}"],
    **{
        name: [f"backbone={{type: vision, config: tiny_{name}, labels: {SHAPES}}}"]
        for name in ("vit", "swin", "clip_vision")
    },
}
FULL = ["adapter={type: full}", "towers={}"]
RUNS = {
    **{f"{name}-lora": host for name, host in HOSTS.items()},
    **{f"{name}-full": [*HOSTS[name], *FULL] for name in ("siglip", "open_clip", "vit")},
}
PROBE = """
import torch
from PIL import Image
from vlft.evaluation.capabilities import capabilities_of

def probe(backbone):
    images = [Image.linear_gradient("L").convert("RGB"), Image.new("RGB", (70, 50), (200, 30, 40))]
    model = capabilities_of(backbone)
    if backbone.family == "vision":
        return [list(model.classes), model.classify(images).tolist()]
    texts = ["a red circle is left of a blue square", "the image shows a small striped arrow"]
    return [model.embed_images(images).tolist(), model.embed_texts(texts).tolist()]
"""
RELOAD = f"""{PROBE}
import json, sys
import vlft
print(json.dumps({{path: probe(vlft.load(path)) for path in sys.argv[1:]}}))
"""


def probe(backbone):
    here = {}
    exec(PROBE, here)  # the same few lines on both sides
    return here["probe"](backbone)


@pytest.fixture(scope="module")
def finished(train, tmp_path_factory):
    """Train every host, and note what its model gives right before it is written."""
    from vlft.training import fit

    folder, outputs = tmp_path_factory.mktemp("runs"), {}
    export = fit.export
    for name, overrides in RUNS.items():

        def noted(trainer, run_dir, *, name=name, **options):
            outputs[name] = probe(trainer.backbone)
            export(trainer, run_dir, **options)

        family = VISION if "type: vision" in overrides[0] else CONTRASTIVE
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit, "export", noted)
            train(*family, *overrides, family="contrastive", run_dir=folder / name)
    return folder, outputs


@pytest.mark.slow
def test_a_fresh_process_gives_what_the_training_ended_with(finished):
    folder, outputs = finished
    paths = [str(folder / name) for name in outputs]
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, *paths], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for name, expected in outputs.items():
        got = found[str(folder / name)]
        if isinstance(expected[0][0], str):
            assert got[0] == expected[0]
            got, expected = got[1:], expected[1:]
        torch.testing.assert_close(
            torch.tensor(got), torch.tensor(expected), rtol=1e-4, atol=1e-5, msg=name
        )


@pytest.mark.slow
def test_a_fully_trained_open_clip_loads_with_open_clip_itself(finished):
    import open_clip
    from PIL import Image

    folder, outputs = finished
    run_dir = folder / "open_clip-full"
    model = open_clip.create_model(f"local-dir:{run_dir}").eval()
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    image = transform(Image.new("RGB", (70, 50), (200, 30, 40)))[None]
    text = open_clip.get_tokenizer(f"local-dir:{run_dir}")(
        ["the image shows a small striped arrow"]
    )
    with torch.no_grad():
        found = [model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)]
    for side in (0, 1):
        torch.testing.assert_close(found[side][0], torch.tensor(outputs["open_clip-full"][side][1]))


@pytest.mark.slow
def test_predict_names_the_likeliest_classes(finished, tmp_path, capsys):
    from PIL import Image

    from vlft.cli.predict import run
    from vlft.errors import EvaluationError

    folder, _ = finished
    image = str(tmp_path / "a.png")
    Image.new("RGB", (60, 60), (220, 20, 20)).save(image)
    run(str(folder / "vit-lora"), "", [image], max_new_tokens=8)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[-5:]]
    values = [float(value) for _, value, _ in rows]
    assert values == sorted(values, reverse=True)
    assert all(name in SHAPES for _, _, name in rows)
    with pytest.raises(EvaluationError, match="a classifier needs an image"):
        run(str(folder / "vit-lora"), "", [], max_new_tokens=8)
    with pytest.raises(EvaluationError, match="--prompt"):
        run(str(folder / "siglip-lora"), "", [image], max_new_tokens=8)
