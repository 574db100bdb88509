"""Data sets of the Hub by id and revision, through the datasets library and its cache."""

from pathlib import Path

from vlft.data.sources.arrow import ArrowSource, quiet
from vlft.errors import DataError
from vlft.recipe.data.files import HUB, RowDataset


def hub_rows(section: RowDataset) -> ArrowSource:
    """Download a data set, or take it from the cache.

    Raises:
        DataError: There is no such data set, split, subset or revision, or the Hub cannot be
            reached.
    """
    import datasets

    name = section.path.removeprefix(HUB)
    split = section.split or "train"
    if Path(name).exists():
        raise DataError(
            f"{section.path}: the working directory has a {name!r} of its own, which the datasets "
            f"library would read instead; set `path: {name}` if it is meant, or start elsewhere"
        )
    try:
        with quiet():
            table = datasets.load_dataset(
                name, section.subset, split=split, revision=section.revision
            )
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(
            f"{section.path}: {_line(error)}; check the id and `revision`, and log in with "
            "`hf auth login` if it is private or gated"
        ) from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{section.path}: {_line(error)}; check the id, `split` (now {split!r}), `subset` and "
            "`revision`"
        ) from error
    except OSError as error:
        raise DataError(
            f"{section.path}: the Hub cannot be reached and the data set is not in the cache "
            f"({_line(error)}); download it where there is a network (hf download --repo-type "
            f"dataset {name} --local-dir FOLDER) and set `path` to its files"
        ) from error
    assert isinstance(table, datasets.Dataset)
    return ArrowSource(section.path, table, folder=None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
