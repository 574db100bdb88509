"""ScienceQA's layout (arXiv 2209.09513).

    problems.json                   id to record
    pid_splits.json                 split to ids, the "mini" ones included
    captions.json                   captions of the questions that have an image
    images/{split}/{id}/image.png

The four kinds of context take turns: image, image and hint, hint alone, neither. A hint beside an
image is a fact about shapes; a hint alone is the scene in words, and enough to answer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlft.data.scenes.captions import article, dense_caption
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import write_image, write_json
from vlft.data.scenes.question_draws import draw_question, few_options, question_types
from vlft.data.scenes.questions import TEXT_ONLY, YES_NO, Question
from vlft.data.scenes.scene import Scene, World
from vlft.data.scenes.world import SHAPES

CONTEXTS = ("image", "image and hint", "hint", "neither")

_SUBJECTS = {
    "natural science": ("color", "size", "texture", "compare", "same_color", "same_texture"),
    "social science": ("position", "row", "column", "relation", "count", "exists"),
    "language science": ("shape", "coarse_shape", *TEXT_ONLY),
}
"""Subject to question types; which goes where is arbitrary, but all nine score columns fill."""

_TOPICS = {
    "attributes": ("color", "size", "texture"),
    "comparison": ("compare", "same_color", "same_texture"),
    "location": ("position", "row", "column", "relation"),
    "number": ("count", "exists"),
    "shapes": ("shape", "coarse_shape"),
    "words": TEXT_ONLY,
}
"""Topic to question types; a topic belongs to one subject, as in the real data."""

_TOLD = ("color", "shape", "coarse_shape", "size", "texture")
"""Types that the dense caption of any scene answers."""

_SPLITS = ("train", "train", "train", "val", "test")


def write(folder: Path, world: World, indices: range) -> None:
    """Write one problem per index; of five in a row, three are for training."""
    problems: dict[str, dict[str, Any]] = {}
    told: dict[str, str] = {}
    for number, index in enumerate(indices):
        pid = str(number + 1)
        split = _SPLITS[number // len(CONTEXTS) % len(_SPLITS)]
        context = CONTEXTS[number % len(CONTEXTS)]
        scene, problems[pid] = _problem(world, index, split, context)
        if problems[pid]["image"]:
            write_image(scene, folder / "images" / split / pid / "image.png")
            told[pid] = dense_caption(scene)
    write_json(problems, folder / "problems.json")
    write_json(_pid_splits(problems), folder / "pid_splits.json")
    write_json({"captions": told}, folder / "captions.json")


def _problem(world: World, index: int, split: str, context: str) -> tuple[Scene, dict[str, Any]]:
    draws = Draws((world.seed, index, "scienceqa"))
    asked = {
        "image": [name for name in question_types(world) if name not in TEXT_ONLY],
        "image and hint": ["coarse_shape"],
        "hint": _TOLD,
        "neither": TEXT_ONLY,
    }[context]
    scene, question = draw_question(world, index, draws.pick(asked, "type"))
    choices = few_options(question, draws, number=2 + draws.below(4, "number"))
    fact = _fact(question, draws)
    record = {
        "question": question.text,
        "choices": list(choices),
        "answer": choices.index(question.answer),
        "hint": {"hint": dense_caption(scene), "image and hint": fact}.get(context, ""),
        "image": "image.png" if context.startswith("image") else None,
        "task": "yes or no" if question.options == YES_NO else "closed choice",
        "grade": f"grade{1 + draws.below(12, 'grade')}",
        "subject": _of(question.type, _SUBJECTS),
        "topic": _of(question.type, _TOPICS),
        "category": question.type,
        "skill": question.type,
        "lecture": " ".join(f"{article(fine)} is {coarse}." for fine, coarse in SHAPES.items()),
        "solution": dense_caption(scene) if context != "neither" else fact,
        "split": split,
    }
    return scene, record


def _of(question_type: str, table: Mapping[str, Sequence[str]]) -> str:
    return next(name for name, types in table.items() if question_type in types)


def _fact(question: Question, draws: Draws) -> str:
    """Tell the kind of one shape: of one in the question, if it names any."""
    named = [fine for fine in SHAPES if fine in question.text.replace("?", " ").split()]
    fine = draws.pick(named or tuple(SHAPES), "fact")
    return f"{article(fine)} is {SHAPES[fine]}."


def _pid_splits(problems: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return the ids of each split; a mini split is the first tenth."""
    splits: dict[str, list[str]] = {}
    for split in ("train", "val", "test"):
        pids = [pid for pid, record in problems.items() if record["split"] == split]
        splits[split] = pids
        splits[f"mini{split}"] = pids[: -(-len(pids) // 10)]
    splits["trainval"] = splits["train"] + splits["val"]
    return splits
