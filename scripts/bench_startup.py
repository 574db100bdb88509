"""Bar B8: how long the command line takes to answer, and that it does so without torch.

    python scripts/bench_startup.py

Goals: ``vlft --help`` within 0.3 s, ``vlft show RECIPE`` within 0.8 s (medians of 9, warm page
cache). These are absolute by nature; ``python -c pass`` is timed beside them, to tell the machine's
own cost.
"""

import json
import statistics
import subprocess
import sys
import time

RUNS = 9
COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "vlft --help": ([sys.executable, "-m", "vlft", "--help"], 0.3),
    "vlft show tiny/lora_scenes": ([sys.executable, "-m", "vlft", "show", "tiny/lora_scenes"], 0.8),
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Print a line and a JSON record; the exit status says whether both goals are met."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(RUNS + 1):  # interleaved; the first round warms the page cache
        for name, (command, _) in COMMANDS.items():
            taken = seconds(command)
            if run:
                times[name].append(taken)
    met = True
    for name, (_, goal) in COMMANDS.items():
        median = statistics.median(times[name])
        verdict = (
            "" if goal is None else f"goal {goal:.1f} s: {'met' if median <= goal else 'MISSED'}"
        )
        met &= goal is None or median <= goal
        low, high = min(times[name]), max(times[name])
        print(f"{name:<28} {median:.3f} s  ({low:.3f} - {high:.3f})  {verdict}")
    print(json.dumps({"bar": "B8", "runs": RUNS, "seconds": times}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
