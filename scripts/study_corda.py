"""Evidence on CorDA (docs/evidence/corda.md): appends to corda.jsonl there, and goes on with it.

    python scripts/study_corda.py [--workers 2]

Controls (``evidence/corda_truncation.py``): weights cut by three decompositions, calibrated on the
right and on the wrong domain. Claims (``evidence/corda_arms.py``): a new task learned from
pre-trained starts (``evidence/corda_start.py``) at several learning rates, and facts forgotten by
it. At the end, the tables of the page and its picture are written.
"""

import argparse
import sys
from collections.abc import Iterator

from evidence.corda_arms import STARTS_MADE, learned
from evidence.corda_report import (
    ARMS,
    HEADLINE,
    HEADLINE_SEEDS,
    RATES,
    SEEDS,
    VALIDATION_SEED,
    at,
    draw,
    fastest_rate,
    report,
)
from evidence.corda_start import pretrained
from evidence.corda_truncation import least_error, truncation
from evidence.lines import Lines, Task


def starts() -> Iterator[Task]:
    """Yield the pre-trained models."""
    for seed in range(STARTS_MADE):
        yield Task("control", "start", seed, pretrained, (seed,))


def controls() -> Iterator[Task]:
    """Yield the cut models."""
    for seed in range(STARTS_MADE):
        yield Task("control", "truncation", seed, truncation, (seed,))
        yield Task("control", "least error", seed, least_error, (seed,))


def fronts() -> Iterator[Task]:
    """Yield each arm at each learning rate."""
    for seed in (VALIDATION_SEED, *SEEDS):
        for arm in ARMS:
            for rate in RATES:
                yield Task("claim", at(arm, rate), seed, learned, (arm, rate, seed))


def headline(lines: Lines) -> Iterator[Task]:
    """Yield further seeds of the arms whose steps are compared, at their best rates."""
    for arm in HEADLINE:
        rate = fastest_rate(lines, arm)
        for seed in HEADLINE_SEEDS:
            yield Task("claim", at(arm, rate), seed, learned, (arm, rate, seed))


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workers", type=int, default=2, help="arms that run at a time")
    workers = parser.parse_args().workers
    lines = Lines("corda")
    lines.run(starts(), workers=workers)  # before processes would each train them
    lines.run(controls(), workers=workers)
    lines.run(fronts(), workers=workers)
    lines.run(headline(lines), workers=workers)
    print(report(lines))
    draw(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
