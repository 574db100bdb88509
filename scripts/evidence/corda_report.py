"""Tables and the picture of the CorDA study."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, stdev
from typing import Any, get_args

from evidence.corda_arms import GOAL, STEPS, Arm
from evidence.corda_text import DOMAINS, Domain
from evidence.corda_truncation import CONTROLS, RANKS
from evidence.lines import EVIDENCE, Lines, mean_and_spread, table

ARMS: tuple[Arm, ...] = get_args(Arm)

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

VALIDATION_SEED = 0
"""Its validation items choose rates; it is in no other number."""

SEEDS, HEADLINE_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)

HEADLINE: tuple[Arm, ...] = ("lora", "pissa", "ipm")

COSTS, KEPT = 0.05, 0.5
"""Ranks at which plain SVD costs less are left out of controls; and how much of its gain the
context-oriented decomposition may keep with the wrong domain."""

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
        ("controls", *_verdicts(lines)),
        ("ipm", *_learning(lines)),
        ("ipm minus others, steps to the goal", *_fewer_steps(lines)),
        ("steps to the goal by rate", *_by_rate(lines, STEPS_TO, digits=0)),
        ("accuracy by rate", *_by_rate(lines, "accuracy")),
        ("facts recalled by rate", *_by_rate(lines, "facts recalled")),
        ("loss on grammar by rate", *_by_rate(lines, "loss on grammar")),
        ("kpm", *_keeping(lines)),
        *(
            (f"{metric} at an accuracy of {GOAL}", *_at_goal(lines, metric))
            for metric in ("facts recalled", "loss on grammar")
        ),
        ("area under the front", *_fronts(lines)),
    ]
    return "\n".join(f"{name}\n\n{table(head, rows)}\n" for name, head, rows in parts)


Table = tuple[list[str], list[list[str]]]


def _starts(lines: Lines) -> Table:
    metrics = (*(f"loss on {domain}" for domain in DOMAINS), "facts recalled", "loss on values")
    return ["", *metrics], [
        [str(seed), *(f"{lines.value('start', metric)[seed]:.3f}" for metric in metrics)]
        for seed in sorted(lines.value("start", metrics[0]))
    ]


def _cuts(domain: Domain) -> list[str]:
    """Return the names of all cuts, those calibrated on a domain itself first."""
    calibrated = [domain, *(one for one in DOMAINS if one != domain)]
    own, *others = (f"{cut} on {one}" for one in calibrated for cut in ("ASVD", "context"))
    return ["plain", own, others[0], "least error", *others[1:]]


def _losses(lines: Lines, domain: Domain, cut: str, rank: int) -> list[float]:
    arm = cut if cut == "least error" else "truncation"
    return list(lines.value(arm, f"{domain}: {cut}, {rank}").values())


def _truncation(lines: Lines, domain: Domain) -> Table:
    whole = mean(lines.value("truncation", f"{domain}: whole").values())
    return [f"whole: {whole:.3f}", *map(str, RANKS)], [
        [cut, *(mean_and_spread(_losses(lines, domain, cut, rank)) for rank in RANKS)]
        for cut in _cuts(domain)
    ]


def _verdicts(lines: Lines) -> Table:
    """Return, for each domain and rank, the order of losses, and what the wrong domain leaves."""
    rows = []
    for domain in CONTROLS:
        wrong = next(one for one in CONTROLS if one != domain)
        whole = mean(lines.value("truncation", f"{domain}: whole").values())
        for rank in RANKS:
            cuts = ("plain", f"ASVD on {domain}", f"context on {domain}", f"context on {wrong}")
            losses = [_losses(lines, domain, cut, rank) for cut in cuts]
            ordered = sum(one > two > three for one, two, three, _ in zip(*losses, strict=True))
            plain, scaled, context, misled = map(mean, losses)
            gains = (plain - scaled, plain - context, plain - misled)
            told = ["-", "-"]  # too little is lost for a verdict
            if plain - whole >= COSTS:
                passes = (context < scaled < plain, gains[2] <= KEPT * gains[1])
                told = ["passed" if one else "failed" for one in passes]
            seeds = f"{ordered} of {len(losses[0])}"
            rows.append([domain, str(rank), *(f"{gain:+.3f}" for gain in gains), seeds, *told])
    head = ["", "rank", "ASVD", "context", "context, wrong", "seeds in order"]
    return [*head, "truncation", "wrong domain"], rows


def _learning(lines: Lines) -> Table:
    metrics = (STEPS_TO, AREA, "accuracy")
    rows = []
    for arm in HEADLINE:
        rate = fastest_rate(lines, arm)
        found = [values(lines, at(arm, rate), metric, HEADLINE_SEEDS) for metric in metrics]
        digits = (0, 3, 3)
        told = [
            mean_and_spread(one, digits=places) for one, places in zip(found, digits, strict=True)
        ]
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
            *(
                mean_and_spread(values(lines, at(arm, rate), metric, SEEDS), digits=digits)
                for rate in RATES
            ),
        ]
        for arm in ARMS
    ]


def _keeping(lines: Lines) -> Table:
    metrics = ("accuracy", "facts recalled", "loss on values", "loss on grammar", "loss on code")
    rows = []
    for arm in ARMS:
        rate = keeping_rate(lines, arm)
        told = [mean_and_spread(values(lines, at(arm, rate), metric, SEEDS)) for metric in metrics]
        rows.append([f"`{arm}`", f"{rate:g}", *told])
    return ["arm", "rate", *metrics], rows


def _at_goal(lines: Lines, metric: str) -> Table:
    rows = []
    lora = [at_goal(lines, "lora", metric, seed) for seed in SEEDS]
    for arm in ARMS:
        found = [at_goal(lines, arm, metric, seed) for seed in SEEDS]
        apart = [ours - theirs for ours, theirs in zip(found, lora, strict=True)]
        rows.append(
            [
                f"`{arm}`",
                mean_and_spread(found),
                f"{mean(apart):+.3f}",
                " ".join(f"{one:+.3f}" for one in apart),
            ]
        )
    return ["arm", metric, "minus `lora`", "per seed"], rows


def at_goal(lines: Lines, arm: Arm, metric: str, seed: int) -> float:
    """Return a metric where accuracy gets to the goal, on a line between two rates."""
    points = [
        tuple(lines.value(at(arm, rate), name)[seed] for name in ("accuracy", metric))
        for rate in RATES
    ]
    for (less, before), (more, after) in pairwise(points):
        if less < GOAL <= more:
            return before + (GOAL - less) / (more - less) * (after - before)
    raise AssertionError(f"{arm} misses the goal at all rates, or reaches it at the lowest")


def _fronts(lines: Lines) -> Table:
    rows = []
    lora = [front_area(lines, "lora", seed) for seed in SEEDS]
    for arm in ARMS:
        areas = [front_area(lines, arm, seed) for seed in SEEDS]
        apart = [ours - theirs for ours, theirs in zip(areas, lora, strict=True)]
        rows.append([f"`{arm}`", mean_and_spread(areas), " ".join(f"{one:+.3f}" for one in apart)])
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


def draw(lines: Lines) -> None:
    """Draw losses of cut models, steps to the goal by rate, and learning against forgetting."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8.4), layout="constrained")
    for domain, plot in zip(DOMAINS, axes[0], strict=True):
        _draw_truncation(lines, domain, plot)
    for arm in ARMS:
        found = [values(lines, at(arm, rate), STEPS_TO, SEEDS) for rate in RATES]
        axes[1][0].errorbar(
            RATES,
            [mean(one) for one in found],
            [stdev(one) for one in found],
            marker="o",
            label=arm,
        )
        for metric, plot in zip(("facts recalled", "loss on grammar"), axes[1][1:], strict=True):
            x, y = (
                [mean(values(lines, at(arm, rate), one, SEEDS)) for rate in RATES]
                for one in ("accuracy", metric)
            )
            plot.plot(x, y, "o-", label=arm)
            plot.set(xlabel="accuracy on the new task (a point for each rate)", ylabel=metric)
    axes[1][0].set(
        xscale="log",
        xlabel="learning rate",
        ylabel=f"steps to an accuracy of {GOAL} (at most {STEPS})",
    )
    axes[1][2].axhline(mean(lines.value("start", "loss on grammar").values()), color="0.6")
    axes[1][2].set(ylim=(1.5, 2.5))  # higher rates lose more than anyone would take
    for plot in axes[1]:
        plot.legend(fontsize=8)
    figure.savefig(EVIDENCE / "corda.png", dpi=90)


def _draw_truncation(lines: Lines, domain: Domain, plot: Any) -> None:
    whole = mean(lines.value("truncation", f"{domain}: whole").values())
    plot.axhline(whole, color="0.6", label="whole")
    styles = ("k-", "C1-", "C0-", "C2-", "C1--", "C0--", "C1:", "C0:")
    for cut, style in zip(_cuts(domain), styles, strict=True):
        losses = [mean(_losses(lines, domain, cut, rank)) for rank in RANKS]
        plot.plot(RANKS, losses, style, marker=".", label=cut)
    highest = mean(_losses(lines, domain, "plain", RANKS[0]))
    plot.set(
        xlabel="components kept of 128",
        ylabel=f"held-out loss on {domain}",
        ylim=(whole - 0.1, 1.2 * highest),
    )
    plot.legend(fontsize=7)
