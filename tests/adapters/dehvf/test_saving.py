"""DEHVF adapters on disk, beside each other, copied, and known to PEFT."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from peft.utils.peft_types import PeftType
from transformers import LlavaForConditionalGeneration

from tests.adapters.dehvf.conftest import logits_of, one, shake
from vlft.adapters.dehvf.config import NAME, DehvfConfig
from vlft.adapters.dehvf.model import DehvfModel
from vlft.adapters.registration import register
from vlft.errors import AdapterError


def test_it_cannot_be_merged(adapted):
    from vlft.adapters.parts import merge_adapter

    with pytest.raises(AdapterError, match="cannot be merged into its base"):
        merge_adapter(adapted())


def test_what_is_shared_is_saved_once_and_read_under_any_name(adapted, bare, inputs, tmp_path):
    from safetensors.torch import load_file

    backbone = adapted(query="hidden", vision_adapter_dim=3)
    expected = logits_of(backbone, inputs)
    backbone.model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    trained = sum(p.numel() for p in backbone.model.parameters() if p.requires_grad)
    assert sum(tensor.numel() for tensor in saved.values()) == trained
    assert not any("default" in name for name in saved)
    assert sum("val_up" in name for name in saved) == 1
    for name in ("default", "other"):
        for low_memory in (False, True):
            host = bare()
            model = PeftModel.from_pretrained(
                host.model, str(tmp_path), adapter_name=name, low_cpu_mem_usage=low_memory
            )
            assert torch.equal(logits_of(replace(host, model=model.eval()), inputs), expected)


def test_two_adapters_stand_side_by_side(adapted, inputs, tmp_path):
    backbone = adapted()
    first = logits_of(backbone, inputs)
    backbone.model.save_pretrained(tmp_path)
    with torch.no_grad():
        for name, parameter in backbone.model.named_parameters():
            if "vlft_dehvf_" in name:
                parameter.mul_(-1)
    second = logits_of(backbone, inputs)
    backbone.model.load_adapter(str(tmp_path), "other")
    assert torch.equal(logits_of(backbone, inputs), second)
    backbone.model.set_adapter("other")
    assert torch.equal(logits_of(backbone, inputs), first)
    trained = {n for n, p in backbone.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".other." in name for name in trained)
    backbone.model.set_adapter("default")
    backbone.model.delete_adapter("other")
    assert torch.equal(logits_of(backbone, inputs), second)


def test_a_copy_has_hooks_of_its_own(adapted, inputs):
    backbone = adapted()
    twin = replace(backbone, model=copy.deepcopy(backbone.model))
    before = logits_of(backbone, inputs)
    shake(twin, seed=9)
    assert torch.equal(logits_of(backbone, inputs), before)
    assert not torch.equal(logits_of(twin, inputs)[0], before[0])
    settings = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    asked = one(inputs, 2, 1)
    shake(twin, seed=0)
    answers = [one_of.model.generate(**asked, **settings) for one_of in (backbone, twin)]
    assert torch.equal(*answers)


def test_the_config_survives_pickle_and_json(adapted, tmp_path):
    config = adapted().model.peft_config["default"]
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  our own
    config.save_pretrained(tmp_path)
    assert DehvfConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_registration_is_idempotent_and_refuses_a_stranger():
    members = len(PeftType.__members__)
    again = register(NAME, config_cls=DehvfConfig, model_cls=DehvfModel, prefix="vlft_dehvf_")
    assert again is PeftType(NAME)
    assert again.value == NAME
    assert len(PeftType.__members__) == members
    with pytest.raises(AdapterError, match="has a method LORA of its own"):
        register("LORA", config_cls=DehvfConfig, model_cls=DehvfModel, prefix="x_")


STOCK = """
import sys
from peft import PeftConfig
try:
    PeftConfig.from_pretrained(sys.argv[1])
except (KeyError, ValueError) as error:
    print(type(error).__name__)
import vlft.adapters
print(PeftConfig.from_pretrained(sys.argv[1]).peft_type.value)
"""


def test_stock_peft_needs_our_import_first(adapted, tmp_path):
    adapted().model.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STOCK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["KeyError", NAME]


def test_a_host_of_another_size_is_refused(adapted, bare, tmp_path):
    adapted().model.save_pretrained(tmp_path)
    for part, field, value, words in (
        ("text_config", "hidden_size", 64, "language model of width 128, and this host's has 64"),
        ("text_config", "num_hidden_layers", 4, "language model of depth 2, and this host's has 4"),
        ("vision_config", "num_hidden_layers", 4, "vision tower of depth 2, and this host's has 4"),
    ):
        config = copy.deepcopy(bare().model.config)
        setattr(getattr(config, part), field, value)
        if field == "num_hidden_layers" and part == "text_config":
            config.text_config.layer_types = None
        with pytest.raises(AdapterError, match=words):
            PeftModel.from_pretrained(LlavaForConditionalGeneration(config), str(tmp_path))
