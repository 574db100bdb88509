"""From the ``data`` section and a host to samples, batches and the audit before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from vlft.adapters.parts import base_model
from vlft.backbones import class_names
from vlft.data import open_dataset
from vlft.data.audit import SampleReport, audit, check_batch, render_report
from vlft.data.augment import Augment
from vlft.data.beside import looked_over, require_few_images
from vlft.data.budget import host_images
from vlft.data.checked import LISTING, append_listing
from vlft.data.collate import ConversationCollator, PairCollator
from vlft.data.encode import ConversationEncoder
from vlft.data.encode_labeled import LabeledEncoder, collate_labeled
from vlft.data.encode_pair import PairEncoder
from vlft.data.encoded import EncodedDataset, Encoder
from vlft.data.mixture import MixedSamples, Samples, epoch_size, first_indices
from vlft.errors import DataError
from vlft.recipe.data import Captions, DataSection, DatasetSection, MemberSection, Mixture
from vlft.types import Backbone, Batch

AUDITED = 8
"""Samples that are looked at before the first step."""


def open_samples(
    backbone: Backbone,
    data: DataSection,
    dataset: DatasetSection,
    run_dir: Path | None,
    *,
    seed: int | None = None,
) -> Samples:
    """Open a data set as samples for a host.

    Args:
        backbone: Its processor renders, tokenizes and resizes.
        data: The policies.
        dataset: What to read.
        run_dir: Where records that are left out are listed; None: nowhere.
        seed: Seed of ``data.augmentation``; None: images stay as they are.

    Raises:
        DataError: The data set is missing, empty, or not in the declared format.
        RecordError: A record has more images than the model takes.
    """
    if isinstance(dataset, Mixture):
        members = [_open_one(backbone, data, one, run_dir, seed) for one in dataset.datasets]
        return MixedSamples(members, dataset)
    return _open_one(backbone, data, dataset, run_dir, seed)


def _open_one(
    backbone: Backbone,
    data: DataSection,
    dataset: MemberSection,
    run_dir: Path | None,
    seed: int | None,
) -> EncodedDataset:
    records = open_dataset(
        dataset, on_bad_record=data.on_bad_record, max_image_pixels=data.max_image_pixels
    )
    listing = None if run_dir is None else run_dir / LISTING
    if listing is not None and records.skipped:
        append_listing(listing, records.skipped)
    most = backbone.max_images
    if most is not None and data.on_bad_record == "error" and not isinstance(dataset, Captions):
        for record in looked_over(records):  # captions have one image each, and may be a million
            require_few_images(record, most=most, dataset=records.name)
    vary = None
    if data.augmentation is not None and seed is not None:
        vary = Augment(data.augmentation, seed, data.max_image_pixels)
    return EncodedDataset(
        records,
        encoder(backbone, data),
        on_bad_record=data.on_bad_record,
        overlong=data.overlong,
        listing=listing,
        vary=vary,
    )


def require_one_batch(samples: Samples, *, global_batch_size: int) -> None:
    """Refuse a training set that an epoch of whole batches would leave empty.

    Raises:
        DataError: With the sizes and what to change.
    """
    size = epoch_size(samples)
    if size < global_batch_size:
        raise DataError(
            f"{samples.records.name} has {size} samples, fewer than one global batch of "
            f"{global_batch_size}: lower training.global_batch_size, or keep the smaller batch "
            "with training.dataloader_drop_last=false"
        )


def encoder(backbone: Backbone, data: DataSection) -> Encoder:
    """Return what makes a sample of a record for this host."""
    if backbone.family == "contrastive":
        return PairEncoder(
            backbone.processor,
            text_length=backbone.text_length,
            max_length=data.max_length,
            max_pixels=data.max_image_pixels,
        )
    if backbone.family == "vision":
        return LabeledEncoder(
            backbone.processor,
            labels=class_names(base_model(backbone.model)),
            max_pixels=data.max_image_pixels,
        )
    host = host_images(backbone.model)
    if data.image_tokens_per_sample is not None and backbone.images == "beside":
        raise DataError(
            "data.image_tokens_per_sample: with this adapter images take no tokens: leave it out"
        )
    if data.image_tokens_per_sample is not None and host is None:
        raise DataError(
            "data.image_tokens_per_sample: vlft does not know how this host turns images into "
            "tokens; leave it out, or make the images smaller"
        )
    return ConversationEncoder(
        backbone.processor,
        max_length=data.max_length,
        overlong=data.overlong,
        host=host,
        image_tokens=data.image_tokens_per_sample,
        max_pixels=data.max_image_pixels,
        beside=backbone.images == "beside",
        max_images=backbone.max_images,
    )


def collator(
    backbone: Backbone, *, blank_inputs: dict[str, Tensor] | None = None
) -> Callable[[list[Any]], Batch]:
    """Return what makes a batch of samples for this host.

    Args:
        backbone: The host.
        blank_inputs: Image tensors that a batch without images gets; None: those of a gray image.
    """
    if backbone.family == "contrastive":
        return PairCollator(backbone.processor, text_length=backbone.text_length)
    if backbone.family == "vision":
        return collate_labeled
    return ConversationCollator(
        backbone.processor,
        host_images(base_model(backbone.model)),
        beside=backbone.images == "beside",
        blank_inputs=blank_inputs,
    )


def audit_samples(backbone: Backbone, samples: Samples, *, count: int) -> tuple[SampleReport, ...]:
    """Check the supervision of the first samples of a generative host, and one batch of them.

    Raises:
        SupervisionError: The loss would see an image token or nothing, or placeholders and image
            features differ in number.
        DataError: The host is not a generative one.
    """
    if backbone.family != "generative":
        raise DataError(f"a {backbone.family} host has no supervised tokens to show")
    first = [samples[index] for index in first_indices(samples, count)]
    model = None if backbone.images == "beside" else backbone.model  # no placeholders to count
    reports = audit(first, processor=backbone.processor, model=model)
    check_batch(collator(backbone)(first), processor=backbone.processor, dataset=first[0].dataset)
    return tuple(reports)


def audit_summary(backbone: Backbone, samples: Samples) -> str:
    """Audit before training; return one line on what the loss will see, and one sample.

    Contrastive and vision hosts have no supervised tokens: their line tells the number of samples.
    """
    if backbone.family != "generative":
        kind = "pairs" if backbone.family == "contrastive" else _classes(backbone)
        return f"data: {samples.records.name}, {len(samples):,} {kind}"
    reports = audit_samples(backbone, samples, count=AUDITED)
    share = sum(report.supervised_share for report in reports) / len(reports)
    return (
        f"data: {samples.records.name}, {len(samples):,} samples; supervised {share:.1%} of the "
        f"tokens, no image token, in the first {len(reports)}\n{render_report(reports[:1])}"
    )


def _classes(backbone: Backbone) -> str:
    new = backbone.local_parts == backbone.towers["head"]
    note = "; the head is new: the checkpoint has none for these classes" if new else ""
    return f"labeled images of {len(class_names(base_model(backbone.model)))} classes{note}"
