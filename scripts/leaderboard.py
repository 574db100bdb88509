"""What ``vlft leaderboard`` does, from a clone.

python scripts/leaderboard.py runs/ --out site/
"""

import sys
from pathlib import Path


def main() -> None:
    """Run ``vlft leaderboard`` with the arguments of this script."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the clone, and not this folder
    from vlft.__main__ import main as vlft

    sys.argv.insert(1, "leaderboard")
    vlft()


if __name__ == "__main__":
    main()
