"""Reports of MMEB's public leaderboard: written from a result, and read, whoever wrote them.

    {"metadata": {"model_name": ..., ...},
     "metrics": {"image": {data set: {24 metrics, num_pred, num_data}}, "video": ..., ...}}

The form is that of VLM2Vec (TIGER-AI-Lab/VLM2Vec, ``experiments/report_score_v2.py``), where a text
such as ``FILE_N/A`` stands for a data set that was not measured. Stored reports differ: all
metadata are optional here, and what vlft does not measure is kept as it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from vlft.disk import replace_text, tell_full_disk
from vlft.errors import EvaluationError
from vlft.results.mmeb_averages import HIT, Averages, Measured, Standing, averages
from vlft.results.records import Metric, Result
from vlft.results.statistics import wilson

_IMAGE = """
ImageNet-1K N24News HatefulMemes VOC2007 SUN397 Place365 ImageNet-A ImageNet-R ObjectNet Country211
OK-VQA A-OKVQA DocVQA InfographicsVQA ChartQA Visual7W ScienceQA VizWiz GQA TextVQA
VisDial CIRR VisualNews_t2i VisualNews_i2t MSCOCO_t2i MSCOCO_i2t NIGHTS WebQA FashionIQ Wiki-SS-NQ
OVEN EDIS MSCOCO RefCOCO RefCOCO-Matching Visual7W-Pointing
"""
IMAGE = tuple(_IMAGE.split())
"""The 36 image data sets, in the order of the reports."""

_VIDEO = """
DiDeMo MSR-VTT MSVD VATEX YouCook2 QVHighlight Charades-STA MomentSeeker K700 SmthSmthV2 HMDB51
UCF101 Breakfast MVBench Video-MME NExTQA EgoSchema ActivityNetQA
"""
VIDEO = tuple(_VIDEO.split())

_VISDOC = """
ViDoRe_arxivqa ViDoRe_docvqa ViDoRe_infovqa ViDoRe_tabfquad ViDoRe_tatdqa ViDoRe_shiftproject
ViDoRe_syntheticDocQA_artificial_intelligence ViDoRe_syntheticDocQA_energy
ViDoRe_syntheticDocQA_government_reports ViDoRe_syntheticDocQA_healthcare_industry
ViDoRe_esg_reports_human_labeled_v2 ViDoRe_biomedical_lectures_v2_multilingual
ViDoRe_economics_reports_v2_multilingual ViDoRe_esg_reports_v2_multilingual
VisRAG_ArxivQA VisRAG_ChartQA VisRAG_MP-DocVQA VisRAG_SlideVQA VisRAG_InfoVQA VisRAG_PlotQA
ViDoSeek-page ViDoSeek-doc MMLongBench-page MMLongBench-doc
"""
VISDOC = tuple(_VISDOC.split())

MODALITIES = {"image": IMAGE, "video": VIDEO, "visdoc": VISDOC}

NO_FILE, NO_FOLDER = "FILE_N/A", "DIR_N/A"
"""What stands for a data set that was not measured, and for those of a whole modality."""

SIZES = ("num_pred", "num_data")
"""Queries that were answered, which numbers are of, and queries that there are."""

QUERIES = 1000
"""Queries of each image data set."""

ALIASES = {"ImageNet_1K": "ImageNet-1K"}
"""How training data spell a data set, to its name in reports."""


@dataclass(frozen=True)
class MmebReport:
    """A report.

    Attributes:
        metadata: What it says of the model.
        metrics: By modality and data set: numbers, or a text that says why there are none.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """What a file of it holds."""
        return {"metadata": dict(self.metadata), "metrics": dict(self.metrics)}

    @property
    def model(self) -> str | None:
        """What it calls the model; None: nothing."""
        name = self.metadata.get("model_name")
        return name if isinstance(name, str) and name.strip() else None


class ReportNumbers(NamedTuple):
    """What a report comes to.

    Attributes:
        metrics: The averages.
        groups: Data sets with their metrics, meta-tasks and domains.
        missing: Data sets without numbers.
        resized: Data sets that were measured on another number of queries than there are.
        ignored: Data sets that are none of the benchmark's.
    """

    metrics: list[Metric]
    groups: dict[str, tuple[Metric, ...]]
    missing: tuple[str, ...]
    resized: tuple[str, ...]
    ignored: tuple[str, ...]


def read_report(content: object) -> MmebReport | None:
    """Return the report that a file's content is; None: it is no report.

    Args:
        content: As JSON gives it.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("metrics"), Mapping):
        return None
    metrics = content["metrics"]
    if not any(isinstance(metrics.get(name), Mapping) for name in MODALITIES):
        return None
    kept = {name: entries for name, entries in metrics.items() if isinstance(entries, Mapping)}
    metadata = content.get("metadata")
    return MmebReport(dict(metadata) if isinstance(metadata, Mapping) else {}, kept)


def write_report(report: MmebReport, path: Path) -> None:
    """Write a report; the file appears complete or not at all.

    Raises:
        RunDirectoryError: The disk is full.
    """
    with tell_full_disk(path.parent, what=path.name):
        replace_text(path, json.dumps(report.content, indent=4) + "\n")


def report_of(result: Result, metadata: Mapping[str, Any] | None = None) -> MmebReport:
    """Return a result as a report; what was not measured is marked so.

    Args:
        result: Of the benchmark ``mmeb/image``, or of a part of it.
        metadata: Such as ``model_backbone``, ``model_size`` (in billions), ``embedding_dimension``,
            ``max_length_tokens``, ``model_release_date`` and ``url``; it goes over what is known.

    Raises:
        EvaluationError: The result has no data set of MMEB.
    """
    image: dict[str, Any] = {name: _entry(result.groups.get(name, ())) for name in IMAGE}
    if all(isinstance(entry, str) for entry in image.values()):
        raise EvaluationError(
            f"{result.benchmark}: its result has no data set of MMEB's leaderboard; a report needs "
            "one of mmeb/image"
        )
    known = {
        "model_name": result.model.name,
        "data_source": "Self-Reported",
        "report_generated_date": result.date,
    }
    metrics: dict[str, dict[str, Any]] = {
        name: dict.fromkeys(names, NO_FOLDER) for name, names in MODALITIES.items()
    }
    metrics["image"] = image
    return MmebReport({**known, **(metadata or {})}, metrics)


def numbers_of(report: MmebReport, standings: Mapping[str, Standing]) -> ReportNumbers:
    """Return what a report comes to.

    Args:
        report: The report.
        standings: Meta-task and domain of every data set that counts.

    Raises:
        EvaluationError: No data set has numbers, or one has such as are no shares.
    """
    entries = {ALIASES.get(name, name): one for name, one in _image(report).items()}
    found = {name: numbers for name in standings if (numbers := _numbers(name, entries.get(name)))}
    if not found:
        raise EvaluationError(
            f"the report has no `{HIT}` of any image data set of MMEB; there is: "
            f"{', '.join(entries) or 'nothing'}"
        )
    measured: dict[str, Measured] = {}
    groups: dict[str, tuple[Metric, ...]] = {}
    for name, metrics in found.items():
        first = next(metric for metric in metrics if metric.name == HIT)
        right = round(first.value * first.n)
        measured[name] = Measured(first.value, [1.0] * right + [0.0] * (first.n - right))
        groups[name] = metrics
    means: Averages = averages(measured, standings)
    return ReportNumbers(
        means.metrics,
        {**means.groups, **groups},
        tuple(name for name in standings if name not in found),
        tuple(name for name in found if any(n != QUERIES for n in _sizes(entries[name]))),
        tuple(name for name in entries if name not in standings),
    )


def _image(report: MmebReport) -> Mapping[str, Any]:
    return report.metrics.get("image", {})


def _entry(metrics: Sequence[Metric]) -> dict[str, float] | str:
    """Return the metrics of a data set as they stand in a report."""
    hit = next((metric for metric in metrics if metric.name == HIT), None)
    if hit is None:
        return NO_FILE
    values: dict[str, float] = {metric.name: metric.value for metric in metrics}
    return {**values, "num_pred": hit.n, "num_data": hit.n}


def _numbers(name: str, entry: object) -> tuple[Metric, ...]:
    """Return the metrics of a data set; none where the report has no numbers of it."""
    if not isinstance(entry, Mapping) or not _is_number(entry.get(HIT)):
        return ()
    if not 0 <= entry[HIT] <= 1:
        raise EvaluationError(
            f"{name}: found `{HIT}` {entry[HIT]!r}, expected a share between 0 and 1"
        )
    sizes = _sizes(entry)
    n = max(0, int(sizes[0])) if sizes else 0
    return tuple(
        Metric(
            name=metric,
            value=value,
            n=n,
            interval=wilson(min(value * n, n), n) if n and 0 <= value <= 1 else None,
        )
        for metric, value in entry.items()
        if metric not in SIZES and _is_number(value)
    )


def _sizes(entry: Mapping[str, Any]) -> list[int | float]:
    """Return the numbers of queries that an entry states."""
    return [entry[key] for key in SIZES if _is_number(entry.get(key))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
