"""Where the data of a benchmark are: below a folder that the user names, or written by ourselves.

The place of data is no part of a benchmark: their content is, which the revision pins.
"""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from vlft.data import scenes
from vlft.data.scenes.layouts import write_layout
from vlft.data.sources.paths import is_saved_folder
from vlft.disk import cache_folder
from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.recipe.data import ScienceQA
from vlft.recipe.data.benchmarks import GeneratedFiles, Mmeb
from vlft.recipe.data.files import HUB
from vlft.recipe.section import Section

ROOT = "VLFT_DATA"
"""Variable that names the folder of all benchmarks' data."""

PLACES = ("path", "image_root", "tags", "captions")
"""Fields of data sections that name files."""


def placed(spec: BenchmarkSpec, given: str | None = None) -> BenchmarkSpec:
    """Return a benchmark whose data section names files that are there.

    Args:
        spec: The benchmark.
        given: What ``--data`` says: a folder of all benchmarks' data, the folder or the file of
            this one, or ``hub:user/name@revision``; None: what VLFT_DATA names, or ``data``.

    Raises:
        EvaluationError: The data are not there; says where they are looked for and where to get
            them.
    """
    if spec.world is not None:
        return _below(spec, written(spec.world), without_first=True)
    if given is not None and given.startswith(HUB):
        name, _, revision = given.partition("@")
        # images beside the rows of the Hub lie where the user says, not where the files' would
        root = getattr(spec.data, "image_root", None)
        kept = root if root is not None and Path(root).is_absolute() else None
        return _with(spec, {"path": name, "image_root": kept, "revision": revision or None})
    if spec.download is None:
        return spec if given is None else _with(spec, {"path": given})
    candidates = list(_candidates(spec, Path(given or os.environ.get(ROOT, "data")).expanduser()))
    found = next((one for one in candidates if _is_there(one.data)), None)
    if found is not None:
        return found
    looked = " and ".join(dict.fromkeys(str(getattr(one.data, "path", "")) for one in candidates))
    raise EvaluationError(
        f"{spec.name}: its data are not there: looked for {looked}. Get them: "
        f"{' '.join(spec.download.split())} Then name their folder with --data or {ROOT}"
    )


def source_of(spec: BenchmarkSpec) -> tuple[str, ...]:
    """Return where to get the files of a benchmark, as one line; none for one's own files."""
    if spec.download is None:
        return ()
    return (f"get what is missing: {' '.join(spec.download.split())}",)


def written(world: GeneratedFiles) -> Path:
    """Return the folder of generated files, written unless an earlier call did.

    Raises:
        UnknownNameError: There is no such layout.
        DataError: The settings contradict each other.
    """
    name = sha256(f"{_drawing_code()}{world.model_dump_json()}".encode()).hexdigest()[:16]
    folder = cache_folder() / "worlds" / f"{world.layout}-{name}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        settings = world.model_dump(exclude={"layout"})
        write_layout(world.layout, part, **settings)
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


@cache
def _drawing_code() -> str:
    """Return a hash of the code that draws the world: files of another version are not used."""
    digest = sha256()
    for file in sorted(Path(scenes.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _candidates(spec: BenchmarkSpec, given: Path) -> Iterator[BenchmarkSpec]:
    """Yield the benchmark with its data in every place where they may be."""
    if given.is_file():
        yield _with(_below(spec, given.parent, without_first=True), {"path": str(given)})
        return
    yield _below(spec, given)
    yield _below(spec, given, without_first=True)


def _below(spec: BenchmarkSpec, folder: Path, *, without_first: bool = False) -> BenchmarkSpec:
    """Put relative paths below a folder, which may itself be the first step of them.

    Absolute ones stay as they are, so that what has its place keeps it.
    """
    changed: dict[str, str | None] = {}
    for field in PLACES:
        value = getattr(spec.data, field, None)
        if isinstance(value, str) and not value.startswith(HUB) and not Path(value).is_absolute():
            steps = Path(value).parts[1:] if without_first else Path(value).parts
            changed[field] = str(folder.joinpath(*steps))
    return _with(spec, changed)


def _with(spec: BenchmarkSpec, values: dict[str, str | None]) -> BenchmarkSpec:
    fields = {key: value for key, value in values.items() if key in type(spec.data).model_fields}
    return spec.model_copy(update={"data": spec.data.model_copy(update=fields)})


def _is_there(section: Section) -> bool:
    """Whether there are data where a section says; any folder is none for known layouts."""
    path = str(getattr(section, "path", ""))
    folder = Path(path)
    if path.startswith(HUB) or not folder.is_dir():
        return path.startswith(HUB) or folder.exists() or bool(glob.glob(path))  # noqa: PTH207
    if isinstance(section, ScienceQA):
        official = (folder / "problems.json").is_file()
        return official or is_saved_folder(folder) or any(folder.glob("data/*.parquet"))
    if isinstance(section, Mmeb):
        return any((folder / name).is_dir() for name in section.datasets)
    return True
