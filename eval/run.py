"""What ``vlft eval`` does, on many processes, from a clone.

accelerate launch --config_file accelerate_configs/ddp.yaml --num_processes 8 \
    eval/run.py runs/mine --suite scenes
"""

import sys
from pathlib import Path


def main() -> None:
    """Run ``vlft eval`` with the arguments of this script."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the clone, and not this folder
    from vlft.__main__ import main as vlft

    sys.argv.insert(1, "eval")
    vlft()


if __name__ == "__main__":
    main()
