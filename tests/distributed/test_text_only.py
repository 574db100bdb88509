"""A step in which one rank has images and the other none neither hangs nor differs."""

import json

import pytest
from PIL import Image

RECIPE = """
seed: 3
backbone: {{type: assembled, config: tiny_llava}}
adapter: {adapter}
data:
  train: {{type: messages, path: {path}}}
  validation: {{type: messages, path: {held_out}}}
objective: {{type: language_modeling}}
training:
  global_batch_size: 2
  max_steps: 16
  learning_rate: 1e-3
  logging_steps: 1
  eval_strategy: steps
  eval_steps: 16
  save_strategy: 'no'
  dataloader_num_workers: 0
"""


LORA = "{type: lora, sites: [vision.attention, language.attention], r: 4}"
DEHVF = (
    "{type: dehvf, groups: 2, r: 4, num_learned: 4, max_images: 2, vision_adapter_dim: 2, "
    "memory_dropout: 0, vision_adapter_dropout: 0}"
)


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "config"),
    [
        pytest.param(LORA, "cpu_ddp", id="lora"),
        pytest.param(DEHVF, "cpu_ddp", id="dehvf"),
        pytest.param(DEHVF, "cpu_zero3", id="dehvf-zero3"),
        pytest.param(DEHVF, "cpu_zero2", id="dehvf-zero2", marks=pytest.mark.full),
    ],
)
def test_text_only_rank_trains_like_one_process(adapter, config, launch, losses, tmp_path):
    Image.new("RGB", (48, 48), "red").save(tmp_path / "red.png")
    records = []
    for number in range(16):
        seen = number % 2 == 0
        asked = "<image>what color is it?" if seen else "what color is the sky?"
        turns = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "red" if seen else "blue"},
        ]
        images = ["red.png"] if seen else []
        records.append({"id": f"r{number}", "messages": turns, "images": images})
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    held_out = tmp_path / "held_out.jsonl"  # two images on one rank, none on the other
    for record in records[:8:2]:
        record["messages"][0]["content"] = "<image><image>what color are they?"
        record["images"] = ["red.png", "red.png"]
    held_out.write_text(
        "".join(f"{json.dumps({**record, 'id': 'v' + record['id']})}\n" for record in records[:8])
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(path=path, held_out=held_out, adapter=adapter))

    # One record per rank and step: in two epochs of shuffled records every mixture comes up.
    one, two = tmp_path / "one", tmp_path / "two"
    launch(None, str(recipe), f"training.output_dir={one}")
    launch(config, str(recipe), f"training.output_dir={two}", timeout=120)
    assert len(losses(two)) == 16
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
