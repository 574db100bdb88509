"""MMEB's evaluation layout (arXiv 2410.05160): per data set one parquet split named ``test``.

Columns: qry_text (with the marker of the image), qry_img_path, tgt_text and tgt_img_path (lists of
equal length; the positive is element 0). Empty strings stand for "no image" and "no text". Paths
are below ``images/``.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlft.data.scenes.captions import dense_caption, short_name
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import save, write_image, write_parquet
from vlft.data.scenes.pair_questions import VIEWS
from vlft.data.scenes.question_draws import draw_question, question_types
from vlft.data.scenes.questions import TEXT_ONLY
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_in
from vlft.data.scenes.world import SHAPES

MARKER = "<|image_1|>\n"
NUM_CANDIDATES = 50  # most candidates per query; the real sets have up to 1,000

Row = dict[str, Any]
Candidate = tuple[str, str]  # text, image path


def write(folder: Path, world: World, indices: range) -> None:
    """Write six data sets of one query per index; the four meta-tasks are all there."""
    full = [draw_in(world, index, min_objects=world.max_objects) for index in indices]
    for name, rows in DATASETS.items():
        table = rows(folder / "images", name, full)
        write_parquet(table, folder / name / "test-00000-of-00001.parquet")


def classification(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """Fine shape of a lone object; every label is a candidate."""
    rows = []
    for scene in scenes:
        lone = draw_in(replace(scene.world, max_objects=1), scene.index)
        label = lone.objects[0].shape
        others = [(shape, "") for shape in SHAPES if shape != label]
        text = f"{MARKER}what shape does the image show?\n"
        rows.append(_row(text, _save(lone, images, name), [(label, ""), *others]))
    return rows


def question_answering(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """A question about the image; every option is a candidate."""
    rows = []
    for scene in scenes:
        types = [kind for kind in question_types(scene.world) if kind not in TEXT_ONLY]
        kind = Draws((scene.world.seed, scene.index, name)).pick(types, "type")
        asked, question = draw_question(scene.world, scene.index, kind)
        others = [(option, "") for option in question.options if option != question.answer]
        text = f"{MARKER}answer the question about the image. {question.text}\n"
        rows.append(_row(text, _save(asked, images, name), [(question.answer, ""), *others]))
    return rows


def image_to_text(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """Find the caption of an image."""
    pool = [(dense_caption(scene), "") for scene in scenes]
    rows = []
    for scene, caption in zip(scenes, pool, strict=True):
        candidates = [caption, *_others(pool, caption, scene, name)]
        text = f"{MARKER}find a caption that describes the image.\n"
        rows.append(_row(text, _save(scene, images, name), candidates))
    return rows


def text_to_image(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """Find the image of a caption."""
    target = f"{MARKER}represent the given image.\n"
    by_caption = {dense_caption(scene): (target, _save(scene, images, name)) for scene in scenes}
    pool = list(by_caption.values())
    rows = []
    for scene in scenes:
        caption = dense_caption(scene)
        candidates = [by_caption[caption], *_others(pool, by_caption[caption], scene, name)]
        rows.append(_row(f"find an image that matches the caption. {caption}\n", "", candidates))
    return rows


def image_to_image(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """Find the mirrored image; the other views of it are among the candidates."""
    target = f"{MARKER}represent the given image."  # without a line end, as in the real rows
    rows = []
    for scene in scenes:
        views = {view: seen(scene) for view, seen in VIEWS.items() if view != "same"}
        mirrored, *others = views.values()
        wrong = [view for view in others if _places(view) != _places(mirrored)]
        kept = (mirrored, *wrong)
        paths = [_save(view, images, name, f"_{number}") for number, view in enumerate(kept)]
        text = f"{MARKER}find the mirrored image.\n"
        candidates = [(target, path) for path in paths]
        rows.append(_row(text, _save(scene, images, name), candidates))
    return rows


def grounding(images: Path, name: str, scenes: Sequence[Scene]) -> list[Row]:
    """Find the part of an image that shows one object, among parts of all images."""
    target = f"{MARKER}represent the given part of the image."
    parts = {
        (scene.index, thing.name): (target, _save_cell(scene, thing, images, name))
        for scene in scenes
        for thing in scene.objects
    }
    rows = []
    for scene in scenes:
        thing, *others = Draws((scene.world.seed, scene.index, name)).shuffled(scene.objects)
        here = [parts[scene.index, other.name] for other in (thing, *others)]
        elsewhere = [
            part
            for (index, looks), part in parts.items()
            if index != scene.index and looks != thing.name
        ]
        text = f"{MARKER}find the part of the image that shows the {short_name(thing)}.\n"
        candidates = [*here, *_others(elsewhere, here[0], scene, name)][:NUM_CANDIDATES]
        rows.append(_row(text, _save(scene, images, name), candidates))
    return rows


DATASETS: dict[str, Callable[[Path, str, Sequence[Scene]], list[Row]]] = {
    "Scenes-CLS": classification,
    "Scenes-VQA": question_answering,
    "Scenes-i2t": image_to_text,
    "Scenes-t2i": text_to_image,
    "Scenes-i2i": image_to_image,
    "Scenes-VG": grounding,
}
"""Name of a data set to the function that makes its rows. The names are not those of real sets."""


def _row(text: str, image: str, candidates: Sequence[Candidate]) -> Row:
    return {
        "qry_text": text,
        "qry_img_path": image,
        "tgt_text": [text for text, _ in candidates],
        "tgt_img_path": [path for _, path in candidates],
    }


def _others(
    pool: Sequence[Candidate], positive: Candidate, scene: Scene, name: str
) -> list[Candidate]:
    """Draw distinct candidates that differ from the positive."""
    distinct = [candidate for candidate in dict.fromkeys(pool) if candidate != positive]
    draws = Draws((scene.world.seed, scene.index, name))
    return list(draws.shuffled(distinct, "candidates"))[: NUM_CANDIDATES - 1]


def _save(scene: Scene, images: Path, name: str, suffix: str = "") -> str:
    path = f"{name}/{scene.index:06}{suffix}.png"
    write_image(scene, images / path)
    return path


def _save_cell(scene: Scene, thing: SceneObject, images: Path, name: str) -> str:
    """Cut out the cell of an object; not its box, whose side would tell the size."""
    path = f"{name}/{scene.index:06}_{thing.color}_{thing.shape}.png"
    left, top = thing.column * scene.cell + thing.dx, thing.row * scene.cell + thing.dy
    save(render(scene).crop((left, top, left + scene.cell, top + scene.cell)), images / path)
    return path


def _places(scene: Scene) -> frozenset[SceneObject]:
    return frozenset(scene.objects)
