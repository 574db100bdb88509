"""MMRA's layout (arXiv 2407.17379): one parquet split named ``train``, as on the Hub.

Columns: Task, QA_type, question, image1, image2, options (the text of a Python dict, or null),
answer (a letter, or Yes / No).
"""

from pathlib import Path
from typing import Any

from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import write_parquet
from vlft.data.scenes.pairs import draw_pair, pair_types
from vlft.data.scenes.questions import YES_NO
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import World

LETTERS = "ABCD"


def write(folder: Path, world: World, indices: range) -> None:
    """Write one row per index; the subtasks take turns."""
    rows = [_row(world, index) for index in indices]
    path = folder / "data/train-00000-of-00001.parquet"
    write_parquet(rows, path)


def _row(world: World, index: int) -> dict[str, Any]:
    subtasks = pair_types(world)
    first, second, question = draw_pair(world, index, subtasks[index % len(subtasks)])
    row = {
        "Task": question.type,
        "question": question.text,
        "image1": render(first),
        "image2": render(second),
    }
    if question.options == YES_NO:
        answer = question.answer.capitalize()
        return row | {"QA_type": "True or false QA", "options": None, "answer": answer}
    order = Draws((world.seed, index, "mmra")).shuffled(question.options)
    options = dict(zip(LETTERS, order, strict=False))
    answer = LETTERS[order.index(question.answer)]
    return row | {"QA_type": "Choice QA", "options": str(options), "answer": answer}
