"""LLaVA's training layout: ``llava.json``, a list of records with ``conversations``; ``images/``.

Records without an image are text-only questions; they have no key ``image``, as in LLaVA's mix.
"""

from pathlib import Path
from typing import Any

from vlft.data.scenes.layouts.dialogues import CAPTION, draw_dialogue
from vlft.data.scenes.layouts.files import write_image, write_json
from vlft.data.scenes.question_draws import question_types
from vlft.data.scenes.scene import World

IMAGE = "<image>\n"


def write(folder: Path, world: World, indices: range) -> None:
    """Write one record per index: captions and all question types take turns."""
    write_json([_record(folder, world, index) for index in indices], folder / "llava.json")


def _record(folder: Path, world: World, index: int) -> dict[str, Any]:
    kinds = (CAPTION, *question_types(world))
    scenes, prompt, answer = draw_dialogue(world, index, kinds[index % len(kinds)])
    record: dict[str, Any] = {"id": f"scene-{index}"}
    if scenes:
        record["image"] = f"images/{index:06}.png"
        write_image(scenes[0], folder / record["image"])
        prompt = IMAGE + prompt
    turns = (("human", prompt), ("gpt", answer))
    return record | {"conversations": [{"from": role, "value": text} for role, text in turns]}
