"""``messages.jsonl``, one conversation per line, and ``images/``.

A line has ``messages`` (role, content) and ``images`` (paths); each ``<image>`` in a content is the
next path. Captions, all question types and questions about two images take turns.
"""

from pathlib import Path
from typing import Any

from vlft.data.scenes.layouts.dialogues import CAPTION, draw_dialogue
from vlft.data.scenes.layouts.files import write_image, write_jsonl
from vlft.data.scenes.pairs import pair_types
from vlft.data.scenes.question_draws import question_types
from vlft.data.scenes.scene import World

IMAGE = "<image>\n"


def write(folder: Path, world: World, indices: range) -> None:
    """Write one conversation per index."""
    rows = [_record(folder, world, index) for index in indices]
    write_jsonl(rows, folder / "messages.jsonl")


def _record(folder: Path, world: World, index: int) -> dict[str, Any]:
    kinds = (CAPTION, *question_types(world), *pair_types(world))
    scenes, prompt, answer = draw_dialogue(world, index, kinds[index % len(kinds)])
    paths = [f"images/{index:06}_{number}.png" for number in range(len(scenes))]
    for scene, path in zip(scenes, paths, strict=True):
        write_image(scene, folder / path)
    turns = (("user", IMAGE * len(paths) + prompt), ("assistant", answer))
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"id": f"scene-{index}", "messages": messages, "images": paths}
