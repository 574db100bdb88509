"""``python -m vlft``: the command line, with errors of the user's on one line."""

import sys
import warnings

from vlft.errors import VlftError


def main() -> None:
    """Run the command line; a ``VlftError`` ends it with its message and exit status 2."""
    from vlft.cli import app

    # peft 0.21 reads an attribute under the name that transformers 5 deprecates
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    try:
        app()
    except VlftError as error:
        sys.stderr.write(f"vlft: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
