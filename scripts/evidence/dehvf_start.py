"""The shared start of the DEHVF study: a vision tower and a language model that never met.

The tower's layers really differ. At its top it has to tell shapes, and of each object how it stands
to the other one and what that is; while its states there are drawn together with those of the same
scene in other colors and textures, which it tells from its second layer. The language model reads
captions, and answers questions about them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, one_hot
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from evidence.dehvf_questions import (
    IMAGE,
    PENULTIMATE,
    VISION_LAYERS,
    VOCABULARY,
    draw_readings,
    images_of,
    seen,
)
from evidence.descent import descent
from evidence.lines import STARTS
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.scene import Scene, World, draw_in, relation
from vlft.data.scenes.world import COLORS, KINDS, RELATIONS, SHAPES, SIZES, TEXTURES
from vlft.disk import replace_file

WIDTH, PATCHES, DETAIL_LAYER = 64, 16, 2
TOWER_STEPS, TEXT_STEPS = 1500, 1000
BATCH, RATE, DECAY = 64, 2e-3, 0.01
INVARIANCE = 60.0
"""Weight of drawing states of recolored scenes together: at the end; 0 for the first 30 %."""

VALUES = {
    "shape": tuple(SHAPES), "color": tuple(COLORS), "texture": TEXTURES, "size": SIZES,
    "coarse shape": tuple(KINDS), "relation to the other": (None, *RELATIONS),
    "shape of the other": tuple(SHAPES),
}  # fmt: skip
"""What can be asked of the patch of an object."""

DETAILS = ("color", "texture")
AT_TOP = ("shape", "size", "relation to the other", "shape of the other")

Labels = dict[str, Int[Tensor, "scenes patches"]]


def vision_config() -> CLIPVisionConfig:
    """Return the tower: 8 layers; an object fills a patch."""
    return CLIPVisionConfig(
        image_size=48, patch_size=12, hidden_size=WIDTH, intermediate_size=128,
        num_hidden_layers=VISION_LAYERS, num_attention_heads=4,
    )  # fmt: skip


def untrained_host() -> Any:
    """Return the LLaVA of the study: 8 vision and 8 language layers."""
    text = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=192, num_hidden_layers=8,
        num_attention_heads=4,
    )  # fmt: skip
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision_config(), text_config=text, image_token_index=IMAGE,
            image_seq_length=PATCHES, vision_feature_layer=PENULTIMATE,
        )
    )  # fmt: skip


def start() -> Any:
    """Return the pre-trained host; it is trained when it is not there yet."""
    path = STARTS / "dehvf" / "start.safetensors"
    torch.manual_seed(0)
    host = untrained_host()
    if not path.is_file():
        _learn_to_see(host.model.vision_tower)
        _learn_to_read(host)
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: one.clone() for name, one in host.state_dict().items()}
        replace_file(path, lambda target: save_file(state, target))
    host.load_state_dict(load_file(path))
    return host.eval()


def probes(tower: nn.Module) -> Iterator[dict[str, float]]:
    """Yield, for each layer, how often a linear probe of an object's patch tells what it shows.

    Least squares on 4,000 scenes, told on 2,000 held-out ones.
    """
    train, test = _Scenes.drawn(4000, seed=2), _Scenes.drawn(2000, seed=3, held_out=True)
    with torch.no_grad():
        states = [
            tower(seen(scenes.images), output_hidden_states=True).hidden_states[1:]
            for scenes in (train, test)
        ]
    for layer in zip(*states, strict=True):
        known, asked = (layer_norm(state, (WIDTH,))[:, 1:].flatten(0, 1) for state in layer)
        yield {
            name: _probe(known, train.labels[name], asked, test.labels[name], len(values))
            for name, values in VALUES.items()
        }


def _probe(known: Tensor, labels: Tensor, asked: Tensor, truth: Tensor, classes: int) -> float:
    labels, truth = labels.flatten(), truth.flatten()
    x, y = _with_one(known[labels >= 0]), one_hot(labels[labels >= 0], classes).double()
    ridge = 1e-4 * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
    found = (_with_one(asked[truth >= 0]) @ weight).argmax(-1)
    return (found == truth[truth >= 0]).double().mean().item()


def _with_one(x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width_and_one"]:
    return nn.functional.pad(x.double(), (0, 1), value=1.0)


class _Scenes(NamedTuple):
    """Scenes, themselves and recolored; labels are -1 where a patch shows no object."""

    images: Tensor
    recolored: Tensor
    labels: Labels
    counts: Int[Tensor, " scenes"]

    @classmethod
    def drawn(cls, count: int, *, seed: int, held_out: bool = False) -> "_Scenes":
        world = World(seed=seed, split="held_out" if held_out else "train")
        scenes = [draw_in(world, index) for index in range(count)]
        labels = {name: torch.full((count, PATCHES), -1) for name in VALUES}
        for number, scene in enumerate(scenes):
            for place, values in _told(scene):
                for name, value in values.items():
                    labels[name][number, place] = VALUES[name].index(value)
        counts = torch.tensor([len(scene.objects) - 1 for scene in scenes])
        return cls(images_of(scenes), images_of(list(map(_recolored, scenes))), labels, counts)


def _told(scene: Scene) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the patch of each object and what it shows."""
    for thing in scene.objects:
        values: dict[str, Any] = {
            "shape": thing.shape, "color": thing.color, "texture": thing.texture,
            "size": thing.size, "coarse shape": thing.kind, "relation to the other": None,
        }  # fmt: skip
        for other in scene.objects:
            if other is not thing:
                values["relation to the other"] = relation(thing, other)
                values["shape of the other"] = other.shape
        yield thing.row * scene.world.grid + thing.column, values


def _recolored(scene: Scene) -> Scene:
    """Return the scene with other colors and textures."""
    attempt = 0
    while True:
        draws = Draws((scene.world.seed, scene.index, "recolored", attempt))
        things = tuple(
            replace(
                thing,
                color=draws.pick(tuple(COLORS), "color", number),
                texture=draws.pick(TEXTURES, "texture", number),
            )
            for number, thing in enumerate(scene.objects)
        )
        if len({thing.name for thing in things}) == len(things):
            return replace(scene, objects=things)
        attempt += 1


def _learn_to_see(tower: Any) -> None:
    scenes = _Scenes.drawn(20_000, seed=1)
    heads = nn.ModuleDict(
        {name: nn.Linear(WIDTH, len(VALUES[name])) for name in (*AT_TOP, *DETAILS)}
    )
    count = nn.Linear(WIDTH, 2)
    trained = [*tower.parameters(), *heads.parameters(), *count.parameters()]
    step_down = descent(trained, rate=RATE, steps=TOWER_STEPS, decay=DECAY)
    generator = torch.Generator().manual_seed(0)
    for step in range(TOWER_STEPS):
        chosen = torch.randint(len(scenes.images), (BATCH,), generator=generator)
        both = torch.cat([scenes.images[chosen], scenes.recolored[chosen]])
        states = tower(seen(both), output_hidden_states=True).hidden_states
        normed = [layer_norm(state, (WIDTH,)) for state in states]
        top, detail = normed[-1][:BATCH], normed[DETAIL_LAYER][:BATCH]
        loss = cross_entropy(count(top[:, 0]), scenes.counts[chosen])
        for name, state in [
            *((name, top) for name in AT_TOP),
            *((name, detail) for name in DETAILS),
        ]:
            loss = loss + cross_entropy(
                heads[name](state[:, 1:]).flatten(0, 1),
                scenes.labels[name][chosen].flatten(),
                ignore_index=-1,
            )
        apart = sum((state[:BATCH] - state[BATCH:]).square().mean() for state in normed[-2:]) / 2
        ramp = max(0.0, (step / TOWER_STEPS - 0.3) / 0.7)
        step_down(loss + INVARIANCE * ramp * apart)


def _learn_to_read(host: Any) -> None:
    ids, labels = draw_readings(16_000, seed=11, questions=6)
    model, head = host.model.language_model, host.lm_head
    trained = [*model.parameters(), *head.parameters()]
    step_down = descent(trained, rate=RATE, steps=TEXT_STEPS, decay=DECAY)
    generator = torch.Generator().manual_seed(0)
    for _ in range(TEXT_STEPS):
        chosen = torch.randint(len(ids), (BATCH // 2,), generator=generator)
        states = model(input_ids=ids[chosen]).last_hidden_state
        asked = labels[chosen] >= 0
        step_down(cross_entropy(head(states[asked]), labels[chosen][asked]))
