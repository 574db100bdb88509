"""Benchmarks as declared in ``eval/``: one YAML per benchmark, suites as lists of names.

The file says what is measured and how; a scorer, picked by name, computes. Reading needs no torch.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from pydantic import Field, JsonValue, ValidationError, model_validator

from vlft.errors import EvaluationError, UnknownNameError, near, unknown
from vlft.evaluation.revision import CONTENT, content_revision
from vlft.recipe.data import MAX_IMAGE_PIXELS, Scenes
from vlft.recipe.data.benchmarks import BenchmarkData, GeneratedFiles
from vlft.recipe.data.mixture import Measurable
from vlft.recipe.extends import read_layers, shown
from vlft.recipe.fields import sections_in
from vlft.recipe.origins import Node, merge, nearest, plain
from vlft.recipe.overrides import override_layer, parse_override
from vlft.recipe.section import Section
from vlft.recipe.shipped import find_shipped, list_shipped
from vlft.recipe.yaml_file import read_yaml

SAME_SIZE = {"datasets", "captions", "shots", "tags", "seed"}
"""Fields of a data section after which the data should still have the declared size: what is shown
with a record, how it is drawn, and which of the declared data sets are taken (a part is marked)."""

SUITES = "suites/"
REFERENCES = "references/"
"""Folders of ``eval/`` that hold no benchmarks: suites, and published results."""

TieRule = Literal["for_model", "against_model"]
"""Whom it counts for when a wrong candidate scores exactly what the right one scores. A model that
gives every candidate one score gets 1 under the first rule and 0 under the second."""

SectionType = TypeVar("SectionType", bound=Section)


class BenchmarkSpec(Section):
    """One benchmark."""

    name: str
    """File name in ``eval/`` without its ending; values changed on the command line are added."""
    version: int = Field(ge=1)
    """Raised with every change that moves scores."""
    description: str
    """What it measures, in a sentence."""
    scorer: str
    """A key of ``SCORERS``."""
    data: BenchmarkData
    """The records; never those that a shipped recipe trains on."""
    world: GeneratedFiles | None = None
    """Write the generated world in the layout that ``data`` reads, and measure on that."""
    download: str | None = None
    """Where to get the data. Paths of ``data`` then lie below the folder that ``--data`` or the
    variable VLFT_DATA names, ``data`` without either; null: paths are the user's own."""
    revision: str | None = None
    """Commit or hash that pins the data; ``content``: a hash of one's own files; null for generated
    data, which their fields pin."""
    needs_images: bool = True
    """Whether a text-only host is left out."""
    max_image_pixels: int = Field(MAX_IMAGE_PIXELS, gt=0)
    """Refuse a larger image (width times height) before it is decoded."""
    group_by: str | None = None
    """Key of a record's ``meta`` that names its group; null: no groups."""
    prompt_format: str
    """How a record becomes a prompt; the scorer lists what it knows."""
    max_new_tokens: int | None = Field(None, gt=0)
    """Longest answer of a greedy generation, in tokens; null where nothing is generated."""
    extraction: str = "none"
    """How an output becomes an answer; ``none`` where there is no output text."""
    tie_rule: TieRule | None = None
    """Whom ties count for; null where there are none."""
    labels: tuple[str, ...] | None = None
    """Class names that a zero-shot classifier chooses from; null: every label of the records."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """What the scorer alone reads; it lists what it knows."""
    metric: str
    """The main metric, which tables show and checkpoints are chosen by."""
    expected_n: int | None = Field(None, gt=0)
    """Records of the full data; a result on another number is marked as limited. Null: not
    checked."""
    license: str
    """License of the data."""
    references: tuple[str, ...] = ()
    """Papers and pages that define the protocol."""

    @model_validator(mode="after")
    def _data_are_pinned(self) -> "BenchmarkSpec":
        drawn = isinstance(self.data, Scenes) or self.world is not None
        if self.revision is None and not drawn:
            raise ValueError(
                "revision: data in files need one: `revision: content` takes a hash of data.path, "
                "or name the commit that they are of"
            )
        return self

    @property
    def dataset_revision(self) -> str:
        """What pins the data: ``revision``, or a hash of all that generated data depend on.

        Raises:
            EvaluationError: The revision is the content of files that are not there.
        """
        drawn = self.world or (self.data if isinstance(self.data, Scenes) else None)
        if drawn is not None:
            # A field that the world gets later has a default which leaves older data as they are.
            chosen = drawn.model_dump_json(exclude_defaults=True)
            return f"scenes-{sha256(chosen.encode()).hexdigest()[:12]}"
        if self.revision == CONTENT:
            return content_revision(self.data)
        assert self.revision is not None, "checked when it was read"
        return self.revision


class Suite(Section):
    """Benchmarks that are run together."""

    description: str
    """What they have in common."""
    benchmarks: tuple[str, ...] = Field(min_length=1)
    """Names in ``eval/``, in the order of the table."""


def benchmark_names() -> list[str]:
    """Return the names of all shipped benchmarks."""
    return [name for name in list_shipped("eval") if not name.startswith((SUITES, REFERENCES))]


def suite_names() -> list[str]:
    """Return the names of all shipped suites."""
    names = list_shipped("eval")
    return [name.removeprefix(SUITES) for name in names if name.startswith(SUITES)]


def described(name: str) -> str:
    """Return what a shipped benchmark, or a suite named ``suites/...``, says of itself."""
    return plain(read_layers(find_shipped("eval", name), "eval"))["description"]


def load_benchmark(name_or_path: str, overrides: Sequence[str] = ()) -> BenchmarkSpec:
    """Read a benchmark.

    Args:
        name_or_path: A shipped name such as ``scenes/retrieval``, or a YAML file of one's own.
        overrides: ``data.num_samples=200`` and the like. They become part of the benchmark's name,
            so that its numbers are never taken for those of the declared one; of two for one key
            the later one holds.

    Raises:
        UnknownNameError: No such benchmark; names the nearest.
        EvaluationError: The file declares no valid benchmark.
        RecipeError: The file is no YAML, or an override cannot be read.
    """
    path, name = _find(name_or_path)
    root = read_layers(path, "eval")
    changes = override_layer(overrides)
    held = {parse_override(text)[0]: text for text in overrides}
    if "world" in changes.value or _other_data(changes):
        # Other data have another size; one that is given with them holds.
        root = merge(root, Node({"expected_n": Node(None, changes.origin)}, root.origin))
    if changes.value:
        root = merge(root, changes)
    return _section(BenchmarkSpec, root, {"name": ":".join([name, *sorted(held.values())])})


def load_suite(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[BenchmarkSpec, ...]:
    """Read all benchmarks of a suite, or the one benchmark of that name.

    Args:
        name_or_path: A shipped suite or benchmark, or a YAML file of either.
        overrides: As for ``load_benchmark``, for each of them.

    Raises:
        UnknownNameError: Neither a suite nor a benchmark; names the nearest.
        EvaluationError: A file declares no valid suite or benchmark.
    """
    name = name_or_path.removeprefix("eval/").removeprefix(SUITES).removesuffix(".yaml")
    if name in suite_names():
        path = find_shipped("eval", f"{SUITES}{name}")
    elif (path := _file(name_or_path)) is None or not _is_suite(path):
        return (load_benchmark(name_or_path, overrides),)
    suite = _section(Suite, read_yaml(path, shown=shown(path)))
    return tuple(
        load_benchmark(_beside(path, benchmark), overrides) for benchmark in suite.benchmarks
    )


def _beside(suite: Path, benchmark: str) -> str:
    """Return the path of a file beside a suite, unless the suite names another benchmark."""
    file = suite.parent / benchmark
    if _file(file) is not None:
        return str(file)
    name = benchmark.removeprefix("eval/").removesuffix(".yaml")
    missing = file.suffix in (".yaml", ".yml") and _file(benchmark) is None
    return str(file) if missing and name not in benchmark_names() else benchmark


def _file(path: str | Path) -> Path | None:
    """Return the path of a YAML file of one's own, if it is one."""
    path = Path(path)
    return path if path.suffix in (".yaml", ".yml") and path.is_file() else None


def _is_suite(path: Path) -> bool:
    return "benchmarks" in read_yaml(path, shown=shown(path)).value


def _other_data(changes: Node) -> bool:
    """Whether the data are others. A part of the same keeps their size: its result is limited."""
    data = changes.value.get("data")
    return data is not None and not (
        isinstance(data.value, dict) and SAME_SIZE.issuperset(data.value)
    )


def _find(name_or_path: str) -> tuple[Path, str]:
    name = name_or_path.removeprefix("eval/").removesuffix(".yaml")
    if name in benchmark_names():
        return find_shipped("eval", name), name
    if (path := _file(name_or_path)) is not None:
        return path, path.stem
    guess = near(name.removeprefix(SUITES), [*benchmark_names(), *suite_names()])
    meant = f" Did you mean {guess!r}?" if guess else ""
    if Path(name_or_path).suffix in (".yaml", ".yml"):
        raise UnknownNameError(
            f"{name_or_path} is no file (looked at {Path(name_or_path).absolute()}), nor a "
            f"benchmark or suite that comes with vlft.{meant}"
        )
    raise UnknownNameError(
        f"unknown benchmark or suite {name_or_path!r}.{meant} `vlft list benchmarks` and "
        "`vlft list suites` show all; of one's own, name the YAML file"
    )


def _section(
    kind: type[SectionType], root: Node, given: Mapping[str, str] = MappingProxyType({})
) -> SectionType:
    values = {**plain(root), **given}
    try:
        return kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        # a misspelled key is also a missing one: the first says more
        found = error.errors(include_url=False)
        first = min(found, key=lambda details: details["type"] != "extra_forbidden")
        raise EvaluationError(_explain(kind, root, first)) from None


def _explain(kind: type[Section], root: Node, details: Mapping[str, Any]) -> str:
    """Say in one line what is wrong with a declaration, with file and line."""
    keys, fields = details["loc"], kind.model_fields
    if keys[:1] == ("data",) and len(keys) > 1:
        # pydantic names the chosen type as a step of its own
        fields = sections_in(BenchmarkData)[keys[1]].model_fields
        keys = ("data", *keys[2:])
        if keys[1:2] == ("datasets",) and len(keys) > 4:  # of a mixture, whose members have one too
            fields = sections_in(Measurable)[keys[3]].model_fields
            keys = (*keys[:3], *keys[4:])
    name, origin = ".".join(map(str, keys)), nearest(root, keys).origin
    if details["type"] == "extra_forbidden":
        known = [field for field in fields if field != "name"]
        return f"{origin}: {name}: {unknown('field', str(keys[-1]), known)}"
    if details["type"] == "union_tag_invalid":
        chosen = nearest(root, (*keys, "type")).origin
        tags = sections_in(BenchmarkData if keys == ("data",) else Measurable)
        return f"{chosen}: {name}.type: {unknown('type', details['ctx']['tag'], tags)}"
    if details["type"] == "value_error":
        return f"{origin}: {details['ctx']['error']}"
    if details["type"] == "missing" and name == "data.path":
        return f"{origin}: data.path: name your file: data.path=held_out.jsonl, say"
    value = "" if details["type"] == "missing" else f" = {details['input']!r}"
    return f"{origin}: {name}{value}: {details['msg']}"
