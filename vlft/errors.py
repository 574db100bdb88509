"""Everything that vlft raises on purpose, and the one "did you mean" lookup.

The tree:

    VlftError
    ├── UnknownNameError      a name that no table has            (pick)
    ├── RecipeError           a recipe that cannot be run         (vlft.recipe)
    ├── LaunchError           recipe and launch do not fit        (vlft.recipe, vlft.training)
    ├── BackboneError         a host cannot be built or read      (vlft.backbones)
    │   └── SiteError         a site or pattern matches nothing   (vlft.adapters)
    ├── AdapterError          adapter and host do not fit         (vlft.adapters)
    ├── DataError             a data set cannot be used           (vlft.data)
    │   └── RecordError       one record of it is bad
    │       ├── OverlongError     it has too many tokens, and cutting text does not help
    │       └── SupervisionError  the loss would see the wrong tokens
    ├── RunDirectoryError     a run directory exists, or lacks a file
    ├── NonFiniteLossError    the loss became NaN or infinite
    ├── NoGradientError       a part said to be trained is not
    ├── EvaluationError       a benchmark cannot be scored        (vlft.evaluation)
    └── MissingExtraError     an optional package is not installed

A message is one line: the field or record, its value, what was expected, the next step. The command
line prints it without a traceback. Mistakes of ours are asserts.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Thing = TypeVar("Thing")


class VlftError(Exception):
    """Base of every error that a user can mend.

    Args:
        message: One line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_own_line(message))


class UnknownNameError(VlftError):
    """A name is not in the table it was looked up in."""


class RecipeError(VlftError):
    """A recipe cannot be read, does not fit the schema, or contradicts itself."""


class LaunchError(VlftError):
    """The recipe does not fit the processes and devices it was launched on."""


class BackboneError(VlftError):
    """A host model cannot be built, loaded, or told apart into towers."""


class SiteError(BackboneError):
    """A requested site or pattern matches no module of the host."""


class AdapterError(VlftError):
    """The adapter does not work on this host or in this combination."""


class DataError(VlftError):
    """A data set is missing, empty or not in the declared format."""


class RecordError(DataError):
    """One record is bad; the message names data set and row.

    Args:
        message: What is wrong and what to do.
        dataset: Name or path of the data set. Both this and ``record_id`` are empty only where
            torch makes the error anew from the text of one that a data-loading worker raised.
        record_id: The record's id, or its row number as text.
    """

    def __init__(self, message: str, *, dataset: str = "", record_id: str = "") -> None:
        super().__init__(f"{dataset}, record {record_id}: {message}" if dataset else message)
        self.reason = message if dataset else str(self)
        self.dataset = dataset
        self.record_id = record_id

    def __reduce__(self) -> tuple:
        """Keep the arguments when a data-loading worker sends the error to its parent."""
        return (_record_error, (type(self), self.reason, self.dataset, self.record_id))


class MissingImageError(RecordError):
    """The image of a record is not there; the message says where it is looked for."""


class OverlongError(RecordError):
    """A sample has more tokens than allowed, and cutting text would take what must stay."""


class SupervisionError(RecordError):
    """A sample would train on the wrong tokens: an image token, or none at all."""


class CalibrationWarning(UserWarning):
    """Calibration data do not reach some layers, or are few for their width."""


class RunDirectoryError(VlftError):
    """A run directory exists already, or lacks a file that is needed."""


class NonFiniteLossError(VlftError):
    """The loss became NaN or infinite; the message names the records of the batch."""


class NoGradientError(VlftError):
    """A tower that the recipe trains received no gradient in its first steps."""


class EvaluationError(VlftError):
    """A benchmark cannot be run or scored."""


class NotApplicableError(EvaluationError):
    """A benchmark asks for what a model does not have; the result says so, and has no numbers."""


class MissingExtraError(VlftError):
    """An optional package is not installed; the message is the line that installs it."""

    def __init__(self, package: str, *, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}: pip install 'vlft[{extra}]'",
        )


def _record_error(
    kind: type[RecordError], reason: str, dataset: str, record_id: str
) -> RecordError:
    return kind(reason, dataset=dataset, record_id=record_id)


def _own_line(message: str) -> str:
    """Undo what torch does to an error of a data-loading worker.

    torch raises the same class again, with a formatted traceback for its message; the last line of
    that is ours, after the name of the class.
    """
    if not (message.startswith("Caught ") and "\nOriginal Traceback" in message):
        return message
    return message.rstrip().rsplit("\n", 1)[-1].partition(": ")[2]


def near(name: str, names: Iterable[str]) -> str | None:
    """Return the name nearest to ``name``, or None when nothing is near."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """Say that a name is unknown, which one is near, and what exists."""
    names = sorted(names)
    guess = near(name, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return f"unknown {kind} {name!r}.{hint} Available: {', '.join(names) or 'none'}"


def pick(table: Mapping[str, Thing], name: str, *, kind: str) -> Thing:
    """Look a name up in a table of components.

    Args:
        table: Name to component.
        name: What the user asked for.
        kind: What the table holds, for the message ("adapter", "site", ...).

    Raises:
        UnknownNameError: With the near match and all names.
    """
    if name not in table:
        raise UnknownNameError(unknown(kind, name, table))
    return table[name]
