"""``python -m vlft``: the command line, with errors of the user's on one line."""

import logging
import sys
import warnings

from vlft.errors import VlftError


def main() -> None:
    """Run the command line; a ``VlftError`` ends it with its message and exit status 2."""
    from vlft.cli import app

    # peft 0.21 reads an attribute under the name that transformers 5 deprecates
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    # bitsandbytes 0.50 says on every import that it lacks an optional kernel for 4 bits on CPUs
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        app()
    except VlftError as error:
        sys.stderr.write(f"vlft: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
