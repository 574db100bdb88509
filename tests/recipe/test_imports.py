"""Reading recipes stays light: no torch, transformers or peft, and quickly."""

import json
import subprocess
import sys

HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy", "PIL")

PROGRAM = """
import json, sys
from vlft.recipe import load_recipe, validate
from vlft.recipe.json_schema import json_schema
from vlft.recipe.launch import Launch
from vlft.recipe.show import as_dict, as_text
loaded = load_recipe("tiny/lora_scenes", ["training.extra={label_smoothing_factor: 0.1}"])
validate(loaded.recipe, Launch(world_size=2, through_launcher=True))
as_text(loaded), as_dict(loaded), json_schema()
try:
    load_recipe("tiny/lora_scenes", ["training.learning_rat=1", "training.extra={optimm: 1}"])
except Exception as error:
    print(type(error).__name__)
print(json.dumps(sorted(sys.modules)))
"""


def test_nothing_heavy_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    error, modules = done.stdout.splitlines()
    assert error == "RecipeError"
    assert not set(HEAVY) & set(json.loads(modules))
