"""How fast the generated world is drawn, on one core.

    python scripts/bench_scenes.py

Draws new scenes and makes their PIL images (goal: at least 300 images/s at 64 pixels), and, for
comparison, makes whole samples of the data set with their images.
"""

import json
import statistics
import time
from collections.abc import Callable

from vlft.data.images import open_image
from vlft.data.records import images_of
from vlft.data.scenes import SceneDataset, draw_scene, render
from vlft.recipe.data.scenes import Scenes

GOAL = 300  # images/s per core at 64 pixels
NUM_IMAGES = 1000  # per round
NUM_ROUNDS = 5


def main() -> None:
    """Measure each way to get an image; print images/s, median over rounds."""
    rates = {
        "scene and image, 48 px": measure(lambda i: render(draw_scene(0, i))),
        "scene and image, 64 px": measure(lambda i: render(draw_scene(0, i, image_size=64))),
        "scene and image, 64 px, 4 objects, jitter": measure(
            lambda i: render(draw_scene(0, i, max_objects=4, jitter=True, image_size=64))
        ),
        "scene and image, 224 px": measure(lambda i: render(draw_scene(0, i, image_size=224))),
        "question sample with image, 64 px": measure(sample("question_answering")),
        "caption sample with image, 64 px": measure(sample("captioning")),
    }
    for name, rate in rates.items():
        print(f"{name:<45}{rate:>9.0f} images/s")
    reached = rates["scene and image, 64 px"] >= GOAL
    print(f"goal of {GOAL} images/s at 64 px: {'reached' if reached else 'MISSED'}")
    print(json.dumps({"benchmark": "scenes", "images_per_second": rates}))


def measure(draw: Callable[[int], object]) -> float:
    """Return images/s, the median over rounds of new indices each."""
    rates = []
    for number in range(NUM_ROUNDS):
        start = time.perf_counter()
        for index in range(number * NUM_IMAGES, (number + 1) * NUM_IMAGES):
            draw(index)
        rates.append(NUM_IMAGES / (time.perf_counter() - start))
    return statistics.median(rates)


def sample(task: str) -> Callable[[int], object]:
    """Return what makes sample ``i`` of a task and draws its image."""
    section = {"type": "scenes", "task": task, "image_size": 64}
    records = SceneDataset(
        Scenes.model_validate(section | {"num_samples": NUM_ROUNDS * NUM_IMAGES})
    )

    def make(index: int) -> None:
        for image in images_of(records[index]):
            open_image(image, dataset=records.name, record_id=str(index))

    return make


if __name__ == "__main__":
    main()
