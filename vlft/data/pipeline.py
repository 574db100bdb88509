"""From the ``data`` section and a host to samples, batches and the audit before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlft.data import open_dataset
from vlft.data.audit import SampleReport, audit, check_batch, render_report
from vlft.data.checked import LISTING, append_listing
from vlft.data.collate import ConversationCollator, PairCollator
from vlft.data.encode import ConversationEncoder
from vlft.data.encode_pair import PairEncoder
from vlft.data.encoded import EncodedDataset, Encoder
from vlft.errors import DataError
from vlft.recipe.data import DataSection, DatasetSection
from vlft.types import Backbone, Batch

AUDITED = 8
"""Samples that are looked at before the first step."""


def open_samples(
    backbone: Backbone, data: DataSection, dataset: DatasetSection, run_dir: Path | None
) -> EncodedDataset:
    """Open a data set as samples for a host.

    Args:
        backbone: Its processor renders, tokenizes and resizes.
        data: The policies.
        dataset: What to read.
        run_dir: Where records that are left out are listed; None: nowhere.

    Raises:
        DataError: The data set is missing, empty, or not in the declared format.
    """
    records = open_dataset(dataset, on_bad_record=data.on_bad_record)
    listing = None if run_dir is None else run_dir / LISTING
    if listing is not None and records.skipped:
        append_listing(listing, records.skipped)
    return EncodedDataset(
        records,
        encoder(backbone, data),
        on_bad_record=data.on_bad_record,
        overlong=data.overlong,
        listing=listing,
    )


def require_one_batch(samples: EncodedDataset, *, global_batch_size: int) -> None:
    """Refuse a training set that an epoch of whole batches would leave empty.

    Raises:
        DataError: With the sizes and what to change.
    """
    if len(samples) < global_batch_size:
        raise DataError(
            f"{samples.records.name} has {len(samples)} samples, fewer than one global batch of "
            f"{global_batch_size}: lower training.global_batch_size, or keep the smaller batch "
            "with training.dataloader_drop_last=false"
        )


def encoder(backbone: Backbone, data: DataSection) -> Encoder:
    """Return what makes a sample of a record for this host."""
    if backbone.family == "contrastive":
        return PairEncoder(backbone.processor, max_length=data.max_length)
    return ConversationEncoder(
        backbone.processor, max_length=data.max_length, overlong=data.overlong
    )


def collator(backbone: Backbone) -> Callable[[list[Any]], Batch]:
    """Return what makes a batch of samples for this host."""
    kind = PairCollator if backbone.family == "contrastive" else ConversationCollator
    return kind(backbone.processor)


def audit_samples(
    backbone: Backbone, samples: EncodedDataset, *, count: int
) -> tuple[SampleReport, ...]:
    """Check the supervision of the first samples of a generative host, and one batch of them.

    Raises:
        SupervisionError: The loss would see an image token or nothing, or placeholders and image
            features differ in number.
        DataError: The host is not a generative one.
    """
    if backbone.family != "generative":
        raise DataError(f"a {backbone.family} host has no supervised tokens to show")
    first = [samples[index] for index in range(min(count, len(samples)))]
    reports = audit(first, processor=backbone.processor, model=backbone.model)
    check_batch(collator(backbone)(first), processor=backbone.processor, dataset=first[0].dataset)
    return tuple(reports)


def audit_summary(backbone: Backbone, samples: EncodedDataset) -> str:
    """Audit before training; return one line on what the loss will see, and one sample.

    A contrastive host has nothing to supervise: its line tells the number of pairs.
    """
    if backbone.family != "generative":
        return f"data: {samples.records.name}, {len(samples):,} pairs"
    reports = audit_samples(backbone, samples, count=AUDITED)
    share = sum(report.supervised_share for report in reports) / len(reports)
    return (
        f"data: {samples.records.name}, {len(samples):,} samples; supervised {share:.1%} of the "
        f"tokens, no image token, in the first {len(reports)}\n{render_report(reports[:1])}"
    )
