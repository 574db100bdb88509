"""What is quantized and what never is, and that arithmetic stays close to the exact weights."""

import copy
import sys

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build, count_towers
from vlft.backbones.quantization import is_quantized, quantize, quantized_linears
from vlft.data.pipeline import collator, open_samples
from vlft.errors import AdapterError, BackboneError, MissingExtraError
from vlft.objectives import build_objective
from vlft.recipe.adapter import LoraAdapter, PeftAdapter
from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText, OpenClip, Siglip, Vision
from vlft.recipe.conflicts.host import QUANTIZABLE
from vlft.recipe.data import DataSection, Scenes
from vlft.recipe.objective import Contrastive
from vlft.recipe.training import TrainingSection

PLAIN = TrainingSection()
IDS = torch.arange(20, 44).view(2, 12)


def llama(**options) -> CausalLM:
    return CausalLM(type="causal_lm", config="tiny_llama", **options)


def quantized(section, training=PLAIN):
    torch.manual_seed(0)
    return quantize(build(section), section, training)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_head_embeddings_projector_and_other_towers_keep_their_weights(kind):
    section = ImageTextToText(type="image_text_to_text", config="tiny_llava", quantization=kind)
    before = count_towers(build(section))
    host = quantized(section)
    model = host.model
    assert type(model.model.language_model.layers[0].mlp.up_proj).__module__.startswith("bitsand")
    for kept in (model.lm_head, model.model.multi_modal_projector, model.model.vision_tower):
        assert not is_quantized(kept)
    assert [tower.total for tower in count_towers(host)] == [tower.total for tower in before]


@pytest.mark.parametrize(("kind", "close"), [("nf4", 0.25), ("int8", 0.02)])
def test_each_layer_computes_nearly_what_its_exact_weights_do(kind, close):
    torch.manual_seed(0)
    section = llama(quantization=kind)
    exact = build(section)
    approximate = quantize(build_like(exact), section, PLAIN)
    x = torch.randn(4, 16, 128)
    for path in quantized_linears(exact, section):
        if path.endswith("down_proj"):
            continue  # another width
        expected = exact.model.get_submodule(path)(x)
        found = approximate.model.get_submodule(path)(x)
        assert (found - expected).norm() < close * expected.norm()


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize(
    "section",
    [
        Siglip(type="siglip", config="tiny_siglip2"),
        OpenClip(type="open_clip", config="tiny_open_clip"),
    ],
    ids=["siglip2", "open_clip"],
)
def test_hosts_that_cast_to_the_type_of_a_weight_see_their_inputs_whole(section, kind):
    """Read from a quantized weight that type would be an integer, and pixels would be lost."""
    data = Scenes(type="scenes", task="pairs", num_samples=4)
    towers = ("vision", "text")
    few = section.model_copy(update={"quantization": kind, "quantized_towers": towers})
    exact, rough = (quantized(one) for one in (section, few))
    samples = open_samples(exact, DataSection(), data, None)
    batch = collator(exact)([samples[index] for index in range(4)])
    objective = Contrastive(type="contrastive", loss="clip")
    expected, found = (
        build_objective(objective).forward(host.model.eval(), batch) for host in (exact, rough)
    )
    for name in ("image_embeds", "text_embeds"):
        assert torch.cosine_similarity(found[name], expected[name]).min() > 0.9, name


def build_like(backbone):
    return type(backbone)(**{**vars(backbone), "model": copy.deepcopy(backbone.model)})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float16])
def test_the_storage_type_does_not_change_a_bit(dtype):
    torch.manual_seed(0)
    section = llama(quantization="nf4")
    host = build(section)
    other = build_like(host)
    expected = quantize(host, section, PLAIN).model(IDS).logits
    found = quantize(other, section, PLAIN, storage=dtype).model
    assert found.model.layers[0].mlp.up_proj.weight.dtype == dtype
    assert torch.equal(found(IDS).logits, expected)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["DORA", *QUANTIZABLE])
def test_every_method_that_is_allowed_learns_on_quantized_layers(kind, method):
    if (kind, method) == ("int8", "DORA"):
        pytest.skip("refused, see below")
    sites = ("language.attention",)
    options = {"IA3": {"feedforward_modules": []}, "ADALORA": {"total_step": 10, "tinit": 0}}
    if method in ("DORA", "LORA"):
        section = LoraAdapter(type="lora", sites=sites, r=4, use_dora=method == "DORA")
    else:
        section = PeftAdapter(
            type="peft", peft_type=method, sites=sites, options=options.get(method, {})
        )
    adapted = apply_adapter(quantized(llama(quantization=kind)), section, {})
    adapted.model.train()
    trained = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(8):
        loss = adapted.model(input_ids=IDS, labels=IDS).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]


def test_validation_between_steps_leaves_gradients_whole():
    """bitsandbytes has a layout for CPUs without a backward pass; it must not be entered."""
    host = quantized(llama(quantization="nf4"))
    adapted = apply_adapter(host, LoraAdapter(type="lora", sites=("language.mlp",), r=4), {})

    def gradients():
        adapted.model.train()
        adapted.model(input_ids=IDS, labels=IDS).loss.backward()
        found = [p.grad.clone() for p in adapted.model.parameters() if p.grad is not None]
        adapted.model.zero_grad()
        return found

    before = gradients()
    adapted.model.eval()
    with torch.no_grad():
        adapted.model(IDS)
    for expected, found in zip(before, gradients(), strict=True):
        torch.testing.assert_close(found, expected)
    linears = [m for m in adapted.model.modules() if type(m).__name__ == "Linear4bit"]
    assert not any(getattr(m, "support_avx512bf16_for_cpu", False) for m in linears)


def test_patterns_that_hit_quantized_layers_are_refused_by_name():
    host = quantized(llama(quantization="int8"))
    pattern = r".*q_proj"
    with pytest.raises(AdapterError, match=r"LOHA cannot compute with the quantized layer 'model"):
        apply_adapter(host, PeftAdapter(type="peft", peft_type="LOHA", target_modules=pattern), {})
    for options, phrase in (
        ({"init_lora_weights": "pissa"}, "PiSSA changes the weights"),
        ({"use_dora": True}, "loses the scales of the int8 layer"),
    ):
        with pytest.raises(AdapterError, match=phrase):
            apply_adapter(host, LoraAdapter(type="lora", target_modules=pattern, **options), {})


def test_a_missing_package_gives_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vlft\[quantization\]'"):
        quantized(llama(quantization="nf4"))


def test_a_checkpoint_that_is_stored_quantized_is_refused(tmp_path):
    build(llama()).model.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    stored = '{"quantization_config": {"quant_method": "bitsandbytes"},' + config[1:]
    (tmp_path / "config.json").write_text(stored)
    with pytest.raises(BackboneError, match=r"holds quantized weights.*name the original"):
        build(CausalLM(type="causal_lm", model=str(tmp_path)))


def test_other_hosts_are_quantized_too():
    clip = Clip(
        type="clip", config="tiny_clip", quantization="nf4", quantized_towers=("text", "vision")
    )
    assert len(quantized_linears(build(clip), clip)) == 24
    vit = Vision(
        type="vision", config="tiny_vit", quantization="int8", quantized_towers=("vision",)
    )
    assert is_quantized(quantized(vit).model)
