"""Preparation on whole hosts: every family, with samples as training sees them."""

import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from vlft.adapters import apply_adapter, mutation
from vlft.adapters.base import Counted, Pair
from vlft.adapters.corda.cache import PreparedStore
from vlft.adapters.corda.covariance import LINEAR
from vlft.adapters.corda.plan import plan
from vlft.adapters.corda.prepare import prepare
from vlft.adapters.sites import resolve_modules
from vlft.backbones import build
from vlft.data.calibration import _trimmed, calibration_set, counted
from vlft.data.pipeline import open_samples
from vlft.errors import AdapterError, RunDirectoryError, SiteError
from vlft.objectives import build_objective
from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText, OpenClip, Siglip, Vision
from vlft.recipe.data import DataSection, Messages, Scenes
from vlft.recipe.objective import Classification, Contrastive, LanguageModeling

TASKS = {"generative": "captioning", "contrastive": "pairs", "vision": "classification"}
SHAPES = (
    "circle", "oval", "ring", "square", "bar", "frame",
    "triangle", "diamond", "arrow", "plus", "cross", "hash",
)  # fmt: skip
GENERATIVE = (
    "tiny_llava", "tiny_qwen2_5_vl", "tiny_qwen2_vl", "tiny_smolvlm", "tiny_idefics3",
    "tiny_paligemma", "tiny_gemma3", "tiny_internvl",
)  # fmt: skip
VISION = ("tiny_vit", "tiny_swin", "tiny_clip_vision")
HOSTS = {
    **{name: ImageTextToText(type="image_text_to_text", config=name) for name in GENERATIVE},
    "tiny_clip": Clip(type="clip", config="tiny_clip"),
    "tiny_siglip": Siglip(type="siglip", config="tiny_siglip"),
    "tiny_siglip2": Siglip(type="siglip", config="tiny_siglip2"),
    "tiny_open_clip": OpenClip(type="open_clip", config="tiny_open_clip"),
    **{name: Vision(type="vision", config=name, labels=SHAPES) for name in VISION},
}


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return {name: build(section) for name, section in HOSTS.items()}


@pytest.fixture
def host(built):
    def make(name):
        return replace(built[name], model=copy.deepcopy(built[name].model).eval())

    return make


def objective_of(backbone):
    if backbone.family == "generative":
        return build_objective(LanguageModeling(type="language_modeling"))
    if backbone.family == "vision":
        return build_objective(Classification(type="classification"))
    loss = "siglip" if backbone.type == "siglip" else "clip"
    return build_objective(Contrastive(type="contrastive", loss=loss))


def samples_of(backbone, num=6):
    scenes = Scenes(type="scenes", task=TASKS[backbone.family], num_samples=num, seed=1)
    return open_samples(backbone, DataSection(), scenes, None)


def shown_to(backbone, num=6, positions="all"):
    return calibration_set(
        backbone, samples_of(backbone, num), count=num, positions=positions, seed=0
    )


def prepared_on(backbone, section, *sets):
    objective = objective_of(backbone)
    return prepare(backbone, section, sets, lambda batch: objective.forward(backbone.model, batch))


def outputs(backbone, batch):
    with torch.no_grad():
        return objective_of(backbone).forward(backbone.model.eval(), batch)


def linear_sites(backbone):
    """Sites of which every module is linear; heads stand for themselves."""
    found = []
    for site in backbone.sites:
        if site == "head":
            continue
        modules = resolve_modules(backbone, CordaAdapter(type="corda", mode="ipm", sites=(site,)))
        linear = all(isinstance(backbone.model.get_submodule(path), LINEAR) for path in modules)
        if linear and site != "language.head":  # which may be tied to the embeddings
            found.append(site)
    return tuple(found)


def section_of(backbone, **options):
    options = {"mode": "ipm", "r": 2, "sites": linear_sites(backbone), **options}
    return CordaAdapter(type="corda", **options)


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_every_layer_of_every_tower_is_reached_and_step_zero_is_the_base(name, mode, host):
    backbone = host(name)
    kept = {"data": {"type": "scenes", "task": TASKS[backbone.family]}} if mode == "kpm" else {}
    section = section_of(backbone, mode=mode, calibration=kept)
    shown = shown_to(backbone)
    batch = next(iter(shown)).batch
    before = {path: p.detach().clone() for path, p in backbone.model.named_parameters()}
    expected = outputs(backbone, batch)

    found = prepared_on(backbone, section, shown)
    assert found.unseen == ()
    assert list(found.start) == resolve_modules(backbone, section)
    towers = {site.partition(".")[0] for site in section.sites}
    assert towers >= {"vision"}
    for path, parameter in backbone.model.named_parameters():
        assert torch.equal(parameter, before[path]), path
    assert not any(module._forward_pre_hooks for module in backbone.model.modules())

    mutation.take_out(backbone.model, found.start)
    adapted = apply_adapter(backbone, section, {})
    mutation.put_in(adapted.model, found.start)
    changed = outputs(adapted, batch)
    for key, value in expected.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(changed[key], value, rtol=1e-4, atol=2e-5)


def test_a_causal_language_model_is_prepared_on_texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    turn = '{"role": "%s", "content": "the sky is blue %d"}'
    line = '{"id": "%d", "messages": [' + turn + ", " + turn + "]}"
    path.write_text("\n".join(line % (n, "user", n, "assistant", n) for n in range(6)))
    backbone = build(CausalLM(type="causal_lm", config="tiny_llama"))
    samples = open_samples(backbone, DataSection(), Messages(type="messages", path=str(path)), None)
    shown = calibration_set(backbone, samples, count=4, positions="all", seed=0)
    section = section_of(backbone)
    found = prepared_on(backbone, section, shown)
    assert found.unseen == ()
    assert {note.calls for note in found.notes.values()} == {4}


# what counts


def test_positions_add_up(host):
    """Text and image positions together are all of them, and so are prompt and answer."""
    backbone = host("tiny_llava")
    section = section_of(backbone, sites=("language.mlp",), normalizer="none")
    tokens = {}
    for positions in ("all", "text", "image", "prompt"):
        found = prepared_on(backbone, section, shown_to(backbone, positions=positions))
        tokens[positions] = {note.tokens for note in found.notes.values()}
    assert all(len(found) == 1 for found in tokens.values())
    (every,), (text,), (image,), (prompt,) = tokens.values()
    assert image == 6 * 16
    assert text + image == every
    answers = sum(int((batch["labels"] != -100).sum()) for batch, _ in shown_to(backbone))
    assert prompt == every - answers


def test_masks_of_the_language_model_spare_the_tower(host):
    backbone = host("tiny_llava")
    section = section_of(backbone, sites=("vision.mlp", "language.mlp"))
    every = prepared_on(backbone, section, shown_to(backbone)).notes
    texts = prepared_on(backbone, section, shown_to(backbone, positions="text")).notes
    for path in every:
        assert (texts[path].tokens == every[path].tokens) == ("vision_tower" in path)


def test_masked_positions_do_not_matter_to_the_result(host, tmp_path):
    """Calibrating on prompts gives what the same samples give with other answers."""
    backbone = host("tiny_llava")
    section = section_of(backbone, sites=("language.attention",))
    starts = []
    for shift in (0, 7):
        changed = []
        for batch, mask in shown_to(backbone, positions="prompt"):
            ids = batch["input_ids"].clone()
            ids[batch["labels"] != -100] += shift
            changed.append(Counted({**batch, "input_ids": ids}, mask))
        starts.append(prepared_on(backbone, section, changed).start)
    for path, pair in starts[0].items():
        torch.testing.assert_close(starts[1][path].b @ starts[1][path].a, pair.b @ pair.a)


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_open_clip"])
def test_padding_of_texts_that_reaches_no_output_does_not_count(name, host):
    """open_clip pads every text; what follows its end token is no input of anything."""
    backbone = host(name)
    section = section_of(backbone, sites=("text.mlp",))
    shown = shown_to(backbone)
    texts = sum(
        int((batch["input_ids"] != 0).sum())
        if name == "tiny_open_clip"
        else batch["input_ids"].numel()
        for batch, _ in shown
    )
    found = prepared_on(backbone, section, shown)
    assert {note.tokens for note in found.notes.values()} == {texts}


def test_patches_that_fill_an_image_up_do_not_count(host):
    backbone = host("tiny_siglip2")
    shown = shown_to(backbone)
    batch, _ = next(iter(shown))
    padded = torch.nn.functional.pad(batch["pixel_values"], (0, 0, 0, 5))
    mask = torch.nn.functional.pad(batch["pixel_attention_mask"], (0, 5))
    trimmed = _trimmed({**batch, "pixel_values": padded, "pixel_attention_mask": mask})
    assert torch.equal(trimmed["pixel_values"], batch["pixel_values"])
    found = prepared_on(backbone, section_of(backbone, sites=("vision.mlp",)), [Counted(trimmed)])
    assert {n.tokens for n in found.notes.values()} == {int(batch["pixel_attention_mask"].sum())}


def test_counted_positions_of_a_batch():
    ids, labels = torch.tensor([[5, 9, 9, 6, 7]]), torch.tensor([[-100, -100, -100, -100, 7]])
    batch, image = {"input_ids": ids, "labels": labels}, torch.tensor([9])
    assert counted(batch, "all", image) is None
    assert counted(batch, "image", image).tolist() == [[False, True, True, False, False]]
    assert counted(batch, "text", image).tolist() == [[True, False, False, True, True]]
    assert counted(batch, "prompt", image).tolist() == [[True, True, True, True, False]]


def test_a_tower_has_its_own_calibration_mode_and_rank(host):
    backbone = host("tiny_llava")
    own = {"mode": "kpm", "r": 3, "calibration": {"data": {"type": "scenes"}, "samples": 2}}
    section = section_of(
        backbone,
        sites=("vision.mlp", "language.mlp", "language.attention"),
        overrides={"language.mlp": {"r": 5}, "vision": own, "language": {"r": 4}},
    )
    assert len(section.calibrations) == 2
    found = prepared_on(backbone, section, shown_to(backbone), shown_to(backbone, num=2))
    for path, note in found.notes.items():
        is_vision, is_mlp = "vision_tower" in path, ".mlp." in path
        expected = ("kpm", 3, 2) if is_vision else ("ipm", 5 if is_mlp else 4, 6)
        assert (note.mode, note.r, note.calls) == expected
        assert found.start[path].scale == 1.0
    alone = prepared_on(
        backbone, section_of(backbone, sites=("vision.mlp",), **own), shown_to(backbone, num=2)
    )
    for path, pair in alone.start.items():
        product = found.start[path].b @ found.start[path].a
        torch.testing.assert_close(product, pair.b @ pair.a)


# merged projections


def test_a_merged_projection_is_shared_or_split(host):
    backbone = host("tiny_qwen2_5_vl")
    pattern = r".*visual\.blocks\.0\.attn\.qkv"
    shown = shown_to(backbone)
    (path,) = resolve_modules(backbone, section_of(backbone, sites=(), target_modules=pattern))
    rows, columns = backbone.model.get_submodule(path).weight.shape
    assert rows == 3 * columns
    for merged, rank in (("shared", 2), ("split", 6)):
        section = section_of(backbone, sites=(), target_modules=pattern, merged_qkv=merged)
        found = prepared_on(backbone, section, shown)
        assert found.notes[path].r == rank
        a, b, _ = found.start[path]
        assert a.shape == (rank, columns)
        assert b.shape == (rows, rank)
        adapted = apply_adapter(host("tiny_qwen2_5_vl"), section, {})
        mutation.put_in(adapted.model, found.start)
        config = adapted.model.peft_config["default"]
        assert mutation.scale_of(config, path) == found.start[path].scale == 1.0
    blocks = b.reshape(3, columns, 3, 2).abs().amax(dim=(1, 3))
    assert torch.equal(blocks > 0, torch.eye(3, dtype=torch.bool))


class Interleaved(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.query_key_value = nn.Linear(8, 24)
        self.qkv = nn.Linear(8, rows)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("query_key_value", "its rows alternate between query, key and value: use shared"),
        ("qkv", "its 16 outputs are not three times its 8 inputs: use shared"),
    ],
)
def test_a_merged_projection_that_cannot_be_split_is_refused(path, said, host):
    backbone = replace(host("tiny_llava"), model=Interleaved(16), sites={}, towers={})
    section = CordaAdapter(type="corda", mode="ipm", r=2, target_modules=path, merged_qkv="split")
    with pytest.raises(AdapterError, match=f"adapter.merged_qkv: split cannot.*{said}"):
        plan(section, [path], backbone)
    shared = section.model_copy(update={"merged_qkv": "shared"})
    assert plan(shared, [path], backbone)[path].r == 2


# mistakes


@pytest.mark.parametrize("place", ["r", "overrides.language.mlp.r", "overrides.language.r"])
def test_a_rank_above_the_smaller_side_is_refused(place):
    llama = build(CausalLM(type="causal_lm", config="tiny_llama"), device="meta")
    most = llama.model.config.hidden_size
    name = place.removeprefix("overrides.").removesuffix("r").removesuffix(".")
    options = {"overrides": {name: {"r": most + 1}}} if name else {"r": most + 1}
    section = CordaAdapter(
        type="corda", mode="ipm", **{"r": 2, "sites": ("language.mlp",), **options}
    )
    said = (
        rf"adapter\.{re.escape(place)}: {most + 1} is above the smaller side of .*at most {most} "
    )
    with pytest.raises(AdapterError, match=said):
        apply_adapter(llama, section, {}, on_meta=True)


def test_what_is_no_linear_layer_is_refused(host):
    backbone = host("tiny_llava")
    section = section_of(backbone, sites=(), target_modules=r".*patch_embedding")
    with pytest.raises(SiteError, match=r"corda cannot wrap .*patch_embedding.*Conv2d"):
        prepared_on(backbone, section, shown_to(backbone))


def test_a_tied_weight_is_refused(host):
    backbone = host("tiny_gemma3")
    section = section_of(backbone, sites=("language.head",))
    with pytest.raises(SiteError, match=r"'lm_head' is also that of .*embed_tokens' \(tied\)"):
        prepared_on(backbone, section, shown_to(backbone))


def test_an_override_of_no_layer_is_refused(host):
    backbone = host("tiny_llava")
    section = section_of(backbone, sites=("projector",), overrides={"vision": {"r": 2}})
    with pytest.raises(AdapterError, match=r"adapter\.overrides\.vision: no layer .* is there"):
        plan(section, resolve_modules(backbone, section), backbone)


def test_kpm_needs_data_of_its_own_where_site_and_tower_are_put_together(host):
    backbone = host("tiny_llava")
    own = {"mode": "kpm", "calibration": {"data": {"type": "scenes"}}}
    overrides = {"language": own, "language.mlp": {"calibration": {"samples": 16}}}
    section = section_of(
        backbone, sites=("language.mlp", "language.attention"), overrides=overrides
    )
    with pytest.raises(AdapterError, match=r"adapter\.mode: kpm keeps .* for .*mlp\.\w+ none"):
        plan(section, resolve_modules(backbone, section), backbone)


def test_attention_that_reads_its_weights_itself_is_refused(host):
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2)})
    backbone = replace(host("tiny_llava"), model=attention, sites={}, towers={})
    section = CordaAdapter(type="corda", mode="ipm", r=2, target_modules=r"attn\.out_proj")
    with pytest.raises(AdapterError, match=r"cannot sit on 'attn\.out_proj'"):
        plan(section, ["attn.out_proj"], backbone)


def test_factors_of_another_model_are_refused(host):
    backbone = host("tiny_llava")
    path = resolve_modules(backbone, section_of(backbone, sites=("projector",)))[0]
    pair = Pair(torch.zeros(2, 3), torch.zeros(5, 2), 1.0)
    with pytest.raises(RunDirectoryError, match="for a weight of 5 by 3, and this host's has"):
        mutation.take_out(backbone.model, {path: pair})
    with pytest.raises(RunDirectoryError, match="name gone, which this host lacks"):
        mutation.take_out(backbone.model, {"gone": pair})


# what is kept


def test_the_store_gives_back_what_it_was_given(host, tmp_path):
    backbone = host("tiny_llava")
    found = prepared_on(
        backbone, section_of(backbone, sites=("projector",), lora_alpha=6), shown_to(backbone)
    )
    store, key = PreparedStore(tmp_path / "a" / "b"), {"weights": "w", "data": "d"}
    assert store.find(key) is None
    assert store.changed(key) is None
    path = store.save(key, found)
    again = store.find(key)
    assert again.notes == found.notes
    assert again.unseen == ()
    for layer, pair in found.start.items():
        assert torch.equal(again.start[layer].a, pair.a)
        assert torch.equal(again.start[layer].b, pair.b)
        assert again.start[layer].scale == pair.scale == 3.0
    assert store.changed({"weights": "w", "data": "other"}) == ("data",)
    assert store.changed({"weights": "x", "data": "y"}) is None
    path.write_bytes(path.read_bytes()[:100])  # cut off by a crash
    assert store.find(key) is None
    assert store.changed(key) is None
