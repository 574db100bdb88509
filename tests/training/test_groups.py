"""Optimizer groups: rates of towers, and what decays."""

import pytest
import torch
from transformers import Trainer

from vlft.adapters import apply_adapter
from vlft.errors import AdapterError, UnknownNameError
from vlft.recipe.adapter import DehvfAdapter, LoraAdapter
from vlft.recipe.towers import Tower
from vlft.training.groups import parameter_groups

SECTION = DehvfAdapter(type="dehvf", groups=2, r=4, num_learned=4, vision_adapter_dim=2)
FAST = {"fuser": Tower(learning_rate=1.0, weight_decay=0.5), "vision": Tower(learning_rate=2.0)}


@pytest.fixture
def grouped(host):
    """Groups of a tiny LLaVA with DEHVF, each with the names of its parameters."""

    def make(**options):
        section = SECTION.model_copy(update=options)
        backbone = apply_adapter(host("tiny_llava"), section, FAST)
        names = {id(p): name for name, p in backbone.model.named_parameters()}
        decayed = set(Trainer.get_decay_parameter_names(None, backbone.model))
        groups = parameter_groups(
            backbone, FAST, learning_rate=0.1, weight_decay=0.02, decayed=decayed
        )
        return {
            group["name"]: (
                group["lr"],
                group["weight_decay"],
                {names[id(p)].rpartition(".default.")[2] for p in group["params"]},
            )
            for group in groups
        }

    return make


def test_a_fuser_has_a_rate_and_a_decay_of_its_own(grouped):
    groups = grouped()
    assert {name: group[:2] for name, group in groups.items()} == {
        "fuser.decayed": (1.0, 0.5),
        "fuser.undecayed": (1.0, 0),
        "vision.decayed": (2.0, 0.02),
    }


def test_gains_biases_norms_and_tables_of_a_fuser_do_not_decay(grouped):
    kept = grouped(query="hidden", max_images=2)["fuser.undecayed"][2]
    assert kept == {
        "fuser.gain", "fuser.granularity", "fuser.down.bias", "fuser.query.bias",
        "fuser.layer_ids.layer", "fuser.layer_ids.place", "fuser.layer_ids.net.0.bias",
        "fuser.layer_ids.net.2.bias", "fuser.layer_ids.net.3.weight", "fuser.layer_ids.net.3.bias",
    }  # fmt: skip


def test_the_rates_reach_the_optimizer_of_a_run(train, monkeypatch):
    from vlft.training.trainer import VlftTrainer

    made = []
    original = VlftTrainer.create_optimizer

    def spy(self, model=None):
        made.append(original(self, model))
        return made[-1]

    monkeypatch.setattr(VlftTrainer, "create_optimizer", spy)
    train(
        "adapter={type: dehvf, groups: 2, r: 4, num_learned: 4}",
        "towers.fuser.learning_rate=0.25",
        "training.max_steps=1",
        "training.lr_scheduler_type=constant",
    )
    assert {group["lr"] for group in made[-1].param_groups} == {0.25}


def test_only_dehvf_has_a_fuser(host):
    section = LoraAdapter(type="lora", sites=("language.attention",))
    with pytest.raises(AdapterError, match=r"towers\.fuser: only adapter\.type: dehvf has a fuser"):
        apply_adapter(host("tiny_llava"), section, {"fuser": Tower(learning_rate=1.0)})
    with pytest.raises(UnknownNameError, match="unknown tower of a image_text_to_text host 'text'"):
        apply_adapter(host("tiny_llava"), SECTION, {"text": Tower(learning_rate=1.0)})


def test_what_a_module_lists_does_not_decay_at_any_depth():
    from vlft.training.groups import undecayed

    class Gain(torch.nn.Module):
        undecayed = ("weight",)

    inner = torch.nn.Sequential(torch.nn.Linear(2, 2), Gain())
    assert undecayed(inner) == {"1.weight"}
    assert undecayed(Gain()) == {"weight"}
