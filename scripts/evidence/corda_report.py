"""Tables and the picture of the CorDA study."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import get_args

from evidence.corda_arms import GOAL, RANK, STEPS, Arm
from evidence.corda_text import DOMAINS, Domain
from evidence.corda_truncation import RANKS
from evidence.lines import EVIDENCE, Lines

ARMS: tuple[Arm, ...] = get_args(Arm)

RATES = (1e-3, 3e-3, 1e-2, 3e-2)

VALIDATION_SEED = 0
"""Its validation items choose rates; it is in no other number."""

SEEDS, HEADLINE_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)

HEADLINE: tuple[Arm, ...] = ("lora", "pissa", "ipm")

STEPS_TO = "steps to the goal"
AREA = "validation accuracy over all steps"


def at(arm: Arm, rate: float) -> str:
    """Return the name that an arm's lines have at a rate."""
    return f"{arm} at {rate:g}"


def fastest_rate(lines: Lines, arm: Arm) -> float:
    """Return the rate that learns best over all steps with the validation seed."""
    return max(RATES, key=lambda rate: lines.value(at(arm, rate), AREA)[VALIDATION_SEED])


def keeping_rate(lines: Lines, arm: Arm) -> float:
    """Return the rate that keeps most facts of those that reach the goal, with that seed.

    Where none does, the one of highest accuracy.
    """

    def rank(rate: float) -> tuple[float, float]:
        name = at(arm, rate)
        learned = lines.value(name, "validation accuracy")[VALIDATION_SEED]
        return min(learned, GOAL), lines.value(name, "facts recalled")[VALIDATION_SEED]

    return max(RATES, key=rank)


def values(lines: Lines, name: str, metric: str, seeds: Sequence[int]) -> list[float]:
    """Return a metric by seed."""
    found = lines.value(name, metric)
    return [found[seed] for seed in seeds]


def report(lines: Lines) -> str:
    """Return the tables of the page."""
    parts = [
        ("starts", *_starts(lines)),
        *((f"truncation, {domain}", *_truncation(lines, domain)) for domain in DOMAINS),
        ("ipm", *_learning(lines)),
        ("ipm minus others, steps to the goal", *_fewer_steps(lines)),
        ("steps to the goal by rate", *_by_rate(lines, STEPS_TO, digits=0)),
        ("accuracy by rate", *_by_rate(lines, "accuracy")),
        ("facts recalled by rate", *_by_rate(lines, "facts recalled")),
        ("loss on grammar by rate", *_by_rate(lines, "loss on grammar")),
        ("kpm", *_keeping(lines)),
        ("area under the front", *_fronts(lines)),
    ]
    return "\n".join(f"{name}\n\n{_table(head, rows)}\n" for name, head, rows in parts)


Table = tuple[list[str], list[list[str]]]


def _starts(lines: Lines) -> Table:
    metrics = ("loss on facts", "loss on grammar", "facts recalled", "loss on values")
    return ["", *metrics], [
        [str(seed), *(f"{lines.value('start', metric)[seed]:.3f}" for metric in metrics)]
        for seed in lines.value("start", metrics[0])
    ]


def _truncation(lines: Lines, domain: Domain) -> Table:
    other = next(one for one in DOMAINS if one != domain)
    whole = lines.value("truncation", f"{domain}: whole")
    cuts = ("plain", *(f"{cut} on {one}" for one in (domain, other) for cut in ("ASVD", "context")))
    rows = []
    for cut in cuts:
        losses = [
            list(lines.value("truncation", f"{domain}: {cut}, {rank}").values()) for rank in RANKS
        ]
        rows.append([cut, *(_told(one) for one in losses)])
    return [f"whole: {mean(whole.values()):.3f}", *map(str, RANKS)], rows


def _learning(lines: Lines) -> Table:
    metrics = (STEPS_TO, AREA, "accuracy")
    rows = []
    for arm in HEADLINE:
        rate = fastest_rate(lines, arm)
        found = [values(lines, at(arm, rate), metric, HEADLINE_SEEDS) for metric in metrics]
        digits = (0, 3, 3)
        told = [_told(one, digits=places) for one, places in zip(found, digits, strict=True)]
        rows.append([f"`{arm}`", f"{rate:g}", *told])
    return ["arm", "rate", *metrics], rows


def _fewer_steps(lines: Lines) -> Table:
    def steps(arm: Arm) -> list[float]:
        return values(lines, at(arm, fastest_rate(lines, arm)), STEPS_TO, HEADLINE_SEEDS)

    rows = []
    for arm in HEADLINE:
        if arm != "ipm":
            apart = [ours - theirs for ours, theirs in zip(steps("ipm"), steps(arm), strict=True)]
            share = mean(apart) / mean(steps(arm))
            told = " ".join(f"{one:+.0f}" for one in apart)
            rows.append([f"`{arm}`", f"{mean(apart):+.0f}", f"{share:+.0%}", told])
    return ["against", "mean", "share", "per seed"], rows


def _by_rate(lines: Lines, metric: str, *, digits: int = 3) -> Table:
    return ["arm", *(f"{rate:g}" for rate in RATES)], [
        [
            f"`{arm}`",
            *(_told(values(lines, at(arm, rate), metric, SEEDS), digits=digits) for rate in RATES),
        ]
        for arm in ARMS
    ]


def _keeping(lines: Lines) -> Table:
    metrics = ("accuracy", "facts recalled", "loss on values", "loss on grammar")
    rows = []
    for arm in ARMS:
        rate = keeping_rate(lines, arm)
        told = [_told(values(lines, at(arm, rate), metric, SEEDS)) for metric in metrics]
        rows.append([f"`{arm}`", f"{rate:g}", *told])
    return ["arm", "rate", *metrics], rows


def _fronts(lines: Lines) -> Table:
    rows = []
    lora = [front_area(lines, "lora", seed) for seed in SEEDS]
    for arm in ARMS:
        areas = [front_area(lines, arm, seed) for seed in SEEDS]
        apart = [ours - theirs for ours, theirs in zip(areas, lora, strict=True)]
        rows.append([f"`{arm}`", _told(areas), " ".join(f"{one:+.3f}" for one in apart)])
    return ["arm", "area", "minus `lora`, per seed"], rows


def front_area(lines: Lines, arm: Arm, seed: int) -> float:
    """Return the share of (accuracy, facts recalled) that some rate of an arm is no worse than."""
    points = sorted(
        (
            tuple(
                lines.value(at(arm, rate), metric)[seed]
                for metric in ("accuracy", "facts recalled")
            )
            for rate in RATES
        ),
        reverse=True,
    )
    area, height = 0.0, 0.0
    for width, tall in points:
        area += width * max(0.0, tall - height)
        height = max(height, tall)
    return area


def _told(found: Sequence[float], *, digits: int = 3) -> str:
    spread = f" ± {stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{mean(found):.{digits}f}{spread}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["--"] * len(head), *rows))


def draw(lines: Lines) -> None:
    """Draw losses of cut models, steps to the goal by rate, and learning against forgetting."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(12, 8.4), layout="constrained")
    for domain, plot in zip(DOMAINS, axes[0], strict=True):
        other = next(one for one in DOMAINS if one != domain)
        plot.axhline(
            mean(lines.value("truncation", f"{domain}: whole").values()), color="0.6", label="whole"
        )
        for cut, style in (
            ("plain", "k-"), (f"ASVD on {domain}", "C1-"), (f"context on {domain}", "C0-"),
            (f"ASVD on {other}", "C1--"), (f"context on {other}", "C0--"),
        ):  # fmt: skip
            losses = [
                mean(lines.value("truncation", f"{domain}: {cut}, {rank}").values())
                for rank in RANKS
            ]
            plot.plot(RANKS, losses, style, marker="o", label=cut)
        plot.set(xlabel="components kept of 128", ylabel=f"held-out loss on {domain}")
        plot.legend(fontsize=8)
    left, right = axes[1]
    for arm in ARMS:
        found = [values(lines, at(arm, rate), STEPS_TO, SEEDS) for rate in RATES]
        left.errorbar(
            RATES,
            [mean(one) for one in found],
            [stdev(one) for one in found],
            marker="o",
            label=arm,
        )
        x, y = (
            [mean(values(lines, at(arm, rate), metric, SEEDS)) for rate in RATES]
            for metric in ("accuracy", "facts recalled")
        )
        right.plot(x, y, "o-", label=arm)
    left.set(
        xscale="log",
        xlabel="learning rate",
        ylabel=f"steps to an accuracy of {GOAL} (at most {STEPS})",
        title=f"rank {RANK}: learning",
    )
    right.set(
        xlabel="accuracy on the new task",
        ylabel="facts recalled",
        title="learning and forgetting, one point for each rate",
    )
    for plot in (left, right):
        plot.legend(fontsize=8)
    figure.savefig(EVIDENCE / "corda.png", dpi=100)
