"""Evidence on DEHVF (docs/evidence/dehvf.md): appends to dehvf.jsonl there, and goes on with it.

    python scripts/study_dehvf.py [--workers 2]

Controls (``evidence/dehvf_controls.py``): a class planted in one vision group, and language layers
that need different groups. Claims (``evidence/dehvf_arms.py``): ways for images to reach a language
model, from one pre-trained start (``evidence/dehvf_start.py``), each at the best of three learning
rates. At the end, the tables of the page and its picture are written.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from statistics import mean, stdev

from evidence.dehvf_arms import ARMS, RATES, Arm, claim, shown, sweep
from evidence.dehvf_controls import GROUPS, layer_map, plant
from evidence.dehvf_questions import IMAGE_TYPES, TEXT_TYPES
from evidence.dehvf_start import VALUES, probes, start
from evidence.lines import EVIDENCE, STARTS, Lines, Task, mean_and_spread, table

from vlft.disk import replace_text

HEADLINE: tuple[Arm, Arm] = ("layer_id", "last_only")
HEADLINE_SEEDS, SEEDS = 5, 3
PROBES = STARTS / "dehvf" / "probes.json"


def controls() -> Iterator[Task]:
    """Yield the planted signals."""
    for seed in range(SEEDS):
        yield Task("control", "layer map", seed, layer_map, (seed,))
        for group in range(GROUPS):
            for query in ("layer_id", "last_only"):
                arm = f"planted in group {group + 1}: {query}"
                yield Task("control", arm, seed, plant, (group, query, seed))


def sweeps() -> Iterator[Task]:
    """Yield each arm at each learning rate, with the first seed."""
    for arm in ARMS:
        for rate in RATES:
            yield Task("claim", _at(arm, rate), 0, sweep, (arm, rate, 0))


def claims(lines: Lines) -> Iterator[Task]:
    """Yield each arm at its best learning rate."""
    for arm in ARMS:
        rate = best_rate(lines, arm)
        for seed in range(HEADLINE_SEEDS if arm in HEADLINE else SEEDS):
            yield Task("claim", arm, seed, claim, (arm, rate, seed))


def best_rate(lines: Lines, arm: Arm) -> float:
    """Return the learning rate with the best validation accuracy."""

    def validated(rate: float) -> float:
        return lines.value(_at(arm, rate), "validation accuracy")[0]

    return max(RATES, key=validated)


def _at(arm: str, rate: float) -> str:
    return f"{arm} at {rate:g}"


def report(lines: Lines) -> str:
    """Return the tables of the page."""
    names = tuple(json.loads(PROBES.read_text("utf-8"))[0])
    told = [
        [str(number), *(f"{layer[name]:.2f}" for name in names)]
        for number, layer in enumerate(json.loads(PROBES.read_text("utf-8")), start=1)
    ]
    planted = [
        [
            str(group + 1),
            _shown(lines, f"planted in group {group + 1}: layer_id", "accuracy"),
            *(
                _shown(lines, f"planted in group {group + 1}: layer_id", metric)
                for metric in (
                    "fusion weight", "fusion weight, keys", "fusion weight, values"
                )
            ),
            _shown(lines, f"planted in group {group + 1}: last_only", "accuracy"),
        ]
        for group in range(GROUPS)
    ]  # fmt: skip
    metrics = (*IMAGE_TYPES, "image questions", *TEXT_TYPES)
    arms = [
        [f"`{arm}`", f"{best_rate(lines, arm):g}", *(_shown(lines, arm, name) for name in metrics)]
        for arm in ARMS
    ]
    mapped = [
        [metric, _shown(lines, "layer map", metric)]
        for metric in (
            "accuracy", "accuracy, layer ids reversed", "weight of the needed group",
            "layers whose heaviest group is the needed one",
        )
    ]  # fmt: skip
    disturbed = [
        [
            what.removeprefix(", ") or "as they are",
            *(_shown(lines, "layer_id", f"{name}{what}") for name in metrics),
        ]
        for what in ("", ", images shuffled", ", layer ids reversed")
    ]
    weights = [
        [str(group), *(
            _shown(lines, "layer_id", f"weight of group {group}, {place}")
            for place in ("keys", "values")
        )]
        for group in range(1, GROUPS + 1)
    ]  # fmt: skip
    contrasts = [[arm, *_contrast(lines, arm)] for arm in ARMS if arm != "layer_id"]
    parts = (
        ("probes", ["layer", *names], told),
        ("planted", ["group", "accuracy", "weight", "keys", "values", "last_only"], planted),
        ("layer map", ["", ""], mapped),
        ("arms", ["arm", "rate", *metrics], arms),
        ("layer_id, disturbed", ["", *metrics], disturbed),
        ("layer_id, weights", ["group", "keys", "values"], weights),
        ("layer_id minus others, image questions", ["arm", "mean", "per seed"], contrasts),
    )
    return "\n".join(f"{name}\n\n{table(head, rows)}\n" for name, head, rows in parts)


def _contrast(lines: Lines, arm: str) -> tuple[str, str]:
    """Return what `layer_id` has more than an arm, in points, on paired seeds."""
    ours, theirs = (lines.value(one, "image questions") for one in ("layer_id", arm))
    apart = [100 * (ours[seed] - theirs[seed]) for seed in sorted(theirs)]
    return f"{mean(apart):+.1f}", " ".join(f"{value:+.1f}" for value in apart)


def _shown(lines: Lines, arm: str, metric: str) -> str:
    return mean_and_spread(list(lines.value(arm, metric).values()))


def draw(lines: Lines) -> None:
    """Draw probes, and accuracies of all arms by type of question."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
    layers = json.loads(PROBES.read_text("utf-8"))
    for name in VALUES:
        left.plot(range(1, len(layers) + 1), [layer[name] for layer in layers], "o-", label=name)
    left.set(xlabel="vision layer", ylabel="accuracy of a linear probe", ylim=(0, 1.03))
    left.legend(fontsize=7)
    types = (*IMAGE_TYPES, *TEXT_TYPES)
    width = 0.8 / len(ARMS)
    for number, arm in enumerate(ARMS):
        values = [list(lines.value(arm, name).values()) for name in types]
        right.bar(
            [place + number * width for place in range(len(types))],
            [mean(one) for one in values],
            width,
            yerr=[stdev(one) for one in values],
            label=arm,
        )
    right.set_xticks([place + 0.4 - width / 2 for place in range(len(types))], types, rotation=20)
    right.set(ylabel="accuracy (mean and deviation over seeds)", ylim=(0, 1.03))
    right.legend(fontsize=7, ncols=3)
    figure.savefig(EVIDENCE / "dehvf.png", dpi=110)


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workers", type=int, default=2, help="arms that run at a time")
    workers = parser.parse_args().workers
    lines = Lines("dehvf")
    lines.run(controls(), workers=workers)
    host = start()
    if not PROBES.is_file():
        replace_text(PROBES, json.dumps(list(probes(host.model.vision_tower))))
    for split in ("train", "validation", "test"):
        shown(split)  # before processes would each make them
    lines.run(sweeps(), workers=workers)
    lines.run(claims(lines), workers=workers)
    print(report(lines))
    draw(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
