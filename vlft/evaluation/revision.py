"""What pins data in files that nobody published: a hash of their content."""

import glob
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path

from vlft.errors import EvaluationError
from vlft.recipe.data import ScienceQA
from vlft.recipe.data.benchmarks import AroOrder, Mmeb
from vlft.recipe.section import Section

CONTENT = "content"
"""Value of a benchmark's ``revision`` for one's own files."""

UNPINNED = "unpinned"
"""Revision of data on the Hub whose section names none."""


def content_revision(section: Section) -> str:
    """Return a hash of the files that a data section reads, or the revision that pins a Hub one.

    Of a folder, paths and sizes of all files count, and the content of those that are no images.
    Images beside a file do not count: they are named in it.

    Raises:
        EvaluationError: The section names no file, or the file is not there.
    """
    path = getattr(section, "path", None)
    if not isinstance(path, str):
        raise EvaluationError(
            f"revision: `{CONTENT}` hashes the file of data.path, and there is none: name one, or "
            "give a commit or hash as `revision`"
        )
    if path.startswith("hub:"):
        return str(getattr(section, "revision", None) or UNPINNED)
    digest = sha256()
    folder = Path(path).expanduser()
    for file in _deciding_files(section, folder) or _files(path):
        # Below a folder the way to a file may be its class.
        below = folder.is_dir() and file.is_relative_to(folder)
        name = file.relative_to(folder).as_posix() if below else file.name
        digest.update(name.encode())
        digest.update(_fingerprint(file))
    if isinstance(section, AroOrder):
        from vlft.data.readers.aro_order import draws_of  # needs torch; reading benchmarks does not

        digest.update(draws_of(section).encode())
    return f"sha256-{digest.hexdigest()[:12]}"


IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def _deciding_files(section: Section, folder: Path) -> list[Path]:
    """Return the files that say what a known layout holds; none for other layouts."""
    if isinstance(section, ScienceQA) and (folder.is_dir() or folder.suffix == ".json"):
        # The splits lie beside the problems, whichever of file and folder is named.
        problems = folder / "problems.json" if folder.is_dir() else folder
        files = [problems, problems.with_name("pid_splits.json")]
        if section.captions is not None:
            files.append(Path(section.captions).expanduser())
        return [file for file in files if file.is_file()]
    if isinstance(section, Mmeb) and folder.is_dir():
        return [file for name in section.datasets for file in sorted((folder / name).glob("*"))]
    return []


def _files(path: str) -> Iterator[Path]:
    found = Path(path).expanduser()
    if found.is_file():
        yield found
        return
    fitting = map(Path, glob.glob(str(found), recursive=True))  # noqa: PTH207  as data are found
    inside = found.rglob("*") if found.is_dir() else fitting
    files = sorted(file for file in inside if file.is_file())
    if not files:
        raise EvaluationError(f"data.path = {path}: there is no such file; name your held-out set")
    yield from files


def _fingerprint(file: Path) -> bytes:
    if file.suffix.lower() in IMAGE_ENDINGS:
        return str(file.stat().st_size).encode()
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").digest()
