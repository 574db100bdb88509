"""A conversation as tensors: rendered by the host's template, tokenized once, answers labeled."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vlft.data.beside import require_few_images, without_images
from vlft.data.budget import HostImages, fit_images, mismatch
from vlft.data.chat import ChatFormat, Rendered
from vlft.data.images import MAX_PIXELS, open_image
from vlft.data.process import (
    has_prefix,
    image_token_ids,
    one_row_per_image,
    placeholders,
    process,
)
from vlft.data.records import Conversation, count_of_images
from vlft.data.sample import (
    IGNORED,
    STEP,
    TOKEN_INPUTS,
    EncodedConversation,
    Ready,
    cut,
    images_in_order,
    listed,
    resized,
    scaled,
)
from vlft.data.spans import after_expansion, tokens_of
from vlft.errors import DataError, OverlongError, RecordError, SupervisionError

_ADVICE = {
    "error": "raise `max_length`, or set `overlong` to drop or shrink_image",
    "drop": "raise `max_length`, or set `overlong` to shrink_image",
    "shrink_image": "there is no image to shrink; raise `max_length`",
}
_SHORTEST_SIDE = 16  # pixels; images are not shrunk below


class ConversationEncoder:
    """Turns conversations into tensors for a generative host.

    Args:
        processor: The host's processor, or tokenizer for text-only hosts.
        max_length: Longest sample in tokens, image tokens included; None: no limit. Longer text is
            cut from its end, image tokens never.
        overlong: When cutting text would take an image token or every supervised token: ``error``
            and ``drop`` raise (what differs is who catches it), ``shrink_image`` scales the images
            down until the sample fits.
        host: The host's way with images; None: placeholders are not checked against features.
        image_tokens: Most image tokens of a sample; larger images are scaled down first. It needs
            ``host``. None: no limit.
        max_pixels: Larger images are refused before they are decoded.
        beside: The images leave no token in the sequence.
        max_images: Most images of a sample; None: any number.

    Raises:
        BackboneError: The host has no chat template.
    """

    def __init__(
        self,
        processor: Any,
        *,
        max_length: int | None = None,
        overlong: Literal["error", "drop", "shrink_image"] = "error",
        host: HostImages | None = None,
        image_tokens: int | None = None,
        max_pixels: int = MAX_PIXELS,
        beside: bool = False,
        max_images: int | None = None,
    ) -> None:
        assert image_tokens is None or host is not None, "a budget needs to know the host"
        self.chat = ChatFormat(processor)
        self.processor = processor
        self.max_length = max_length
        self.overlong = overlong
        self.host = host
        self.image_tokens = image_tokens
        self.max_pixels = max_pixels
        self.beside = beside
        self.max_images = max_images
        self.image_token_ids = image_token_ids(processor)
        self._placeholders = placeholders(processor)
        self._has_prefix = has_prefix(processor)
        self._one_row_per_image = (
            self.chat.takes_images and not beside and one_row_per_image(processor)
        )

    def __call__(self, record: Conversation, *, dataset: str) -> EncodedConversation:
        """Open the images, render, tokenize, and mark the answers.

        Raises:
            RecordError: An image is bad, or the record does not suit the host.
            OverlongError: The sample does not fit into ``max_length``.
            SupervisionError: No token would be supervised.
        """
        ready = self._ready(record, dataset)
        return self._fit(ready, self._encode([ready])[0])

    def many(self, records: Sequence[Conversation], *, dataset: str) -> list[EncodedConversation]:
        """Encode records as ``__call__`` does, with one call of the processor where that is equal.

        It is where every image becomes one row of each tensor; a call of a processor costs more
        than what it does for one small sample.

        Raises:
            RecordError: As ``__call__``, for the first bad record.
        """
        ready = [self._ready(record, dataset) for record in records]
        together: dict[Any, list[int]] = {}
        for index, one in enumerate(ready):
            special = self.chat.adds_special_tokens(one.rendered.text)
            alone = index if self.chat.takes_images and not self._one_row_per_image else None
            kind = (bool(one.images), special, alone, repr(one.settings))
            together.setdefault(kind, []).append(index)
        samples = {
            index: sample
            for indices in together.values()
            for index, sample in zip(
                indices, self._encode([ready[index] for index in indices]), strict=True
            )
        }
        return [self._fit(one, samples[index]) for index, one in enumerate(ready)]

    def _ready(self, record: Conversation, dataset: str) -> Ready:
        try:
            rendered = self._render(record)
        except DataError as error:
            raise RecordError(str(error), dataset=dataset, record_id=record.id) from error
        if self.max_images is not None:
            require_few_images(record, most=self.max_images, dataset=dataset)
        images = [
            open_image(
                record.images[index],
                dataset=dataset,
                record_id=record.id,
                max_pixels=self.max_pixels,
            )
            for index in images_in_order(record)
        ]
        ready = Ready(record, dataset, rendered, images)
        if self.beside:
            fewest = {} if self.host is None else self.host.fewest(self.processor)
            return ready._replace(settings=fewest)
        if self.image_tokens is None or not images:
            return ready
        within = self._within(ready, self.image_tokens)
        if within is None:
            raise OverlongError(
                f"data.image_tokens_per_sample is {self.image_tokens}, but "
                f"{count_of_images(len(images))} of {listed(images)} pixels cannot have so few "
                "tokens on this host at any size; raise it, or leave such samples out with "
                "data.overlong: drop",
                dataset=dataset,
                record_id=record.id,
            )
        return within

    def _within(self, ready: Ready, budget: int) -> Ready | None:
        """Scale images down so that they have at most so many tokens; None where none do."""
        assert self.host is not None
        sizes = [image.size for image in ready.images]
        try:
            fitted = fit_images(
                sizes, family=self.host.family, processor=self.processor, budget=budget
            )
        except ValueError as error:
            raise self._refused([ready], error) from error
        if fitted is None:
            return None
        return resized(ready, fitted.sizes)._replace(settings=fitted.settings)

    def _fit(self, ready: Ready, sample: EncodedConversation) -> EncodedConversation:
        if self.image_tokens is not None and sample.image_inputs:
            assert self.host is not None
            found = int((sample.input_ids == self.host.placeholder).sum())
            if found > self.image_tokens:
                raise OverlongError(
                    f"data.image_tokens_per_sample is {self.image_tokens}, but this host makes "
                    f"{found} tokens of {count_of_images(len(ready.images))}, whatever their size; "
                    "raise it, or leave such samples out with data.overlong: drop",
                    dataset=sample.dataset,
                    record_id=sample.record_id,
                )
        if self.max_length is None or len(sample.input_ids) <= self.max_length:
            return sample
        fitting = cut(sample, self.max_length, image_tokens=self.image_token_ids)
        if fitting is not None:
            return fitting
        if self.overlong == "shrink_image" and ready.images:
            flexible = self.host is not None and self.host.family.flexible is not None
            return (self._shrink_by_budget if flexible else self._shrink)(sample, ready)
        raise self._too_long(sample, _ADVICE[self.overlong])

    def _render(self, record: Conversation) -> Rendered:
        if record.images and not self.chat.takes_images:
            raise DataError(
                f"the record has {count_of_images(len(record.images))}, but the host reads text "
                "only; leave it out or train a host with a vision tower"
            )
        token = self.processor.image_token if self.chat.takes_images else None
        for number, message in enumerate(record.messages):
            texts = [part for part in message.content if isinstance(part, str)]
            for mark in self._placeholders:
                if any(mark in text for text in texts):
                    raise DataError(
                        f"messages[{number}]: the text holds {mark!r}, the host's image "
                        "placeholder, where no image is meant; remove it from the text"
                    )
        if self.beside:
            return self.chat.render_answers(without_images(record.messages))
        rendered = self.chat.render_answers(record.messages)
        found = rendered.text.count(token) if token else 0
        if found != len(record.images):
            raise DataError(
                f"the host's chat template writes {found} image placeholders ({token!r}) for "
                f"{count_of_images(len(record.images))}; give a `processor` whose template fits"
            )
        return rendered

    def _encode(self, ready: Sequence[Ready]) -> list[EncodedConversation]:
        """Encode several samples with one call; several only if each image is one row."""
        encoding = self._process(ready)
        all_ids = encoding.pop("input_ids")
        offsets = encoding.pop("offset_mapping")
        replaced = encoding.pop("text_replacement_offsets", None) or [[]] * len(ready)
        encoding.pop("attention_mask", None)
        token_inputs = {key: encoding.pop(key) for key in TOKEN_INPUTS if key in encoding}
        samples = []
        row = 0
        for index, one in enumerate(ready):
            rows = slice(row, row + len(one.images)) if len(ready) > 1 else slice(None)
            row += len(one.images)
            input_ids = torch.tensor(all_ids[index])
            answers = after_expansion(one.rendered.answers, replaced[index])
            supervised = tokens_of(answers, offsets[index])
            per_token = {k: torch.tensor(v[index]) for k, v in token_inputs.items()}
            if self._has_prefix:
                per_token["token_type_ids"] = supervised.cumsum(0).clamp(max=1)
            sample = EncodedConversation(
                dataset=one.dataset,
                record_id=one.record.id,
                input_ids=input_ids,
                labels=self._labels(one, input_ids, supervised),
                token_inputs=per_token,
                image_inputs={k: v[rows] for k, v in encoding.items()} if one.images else {},
                image_sizes=tuple(image.size for image in one.images),
            )
            self._check_placeholders(sample)
            samples.append(sample)
        return samples

    def _check_placeholders(self, sample: EncodedConversation) -> None:
        """Compare placeholders with the features that the host will make of the images."""
        if self.host is None or self.beside or not sample.image_inputs:
            return
        token = self.host.placeholder
        found = int((sample.input_ids == token).sum())
        expected = self.host.features(sample.image_inputs)
        if expected is not None and found != expected:
            raise SupervisionError(
                mismatch(found, expected, token, sample.image_sizes),
                dataset=sample.dataset,
                record_id=sample.record_id,
            )

    def _labels(
        self,
        one: Ready,
        input_ids: Int[Tensor, " tokens"],
        supervised: Bool[Tensor, " tokens"],
    ) -> Int[Tensor, " tokens"]:
        supervised = supervised & ~torch.isin(input_ids, self.image_token_ids)
        supervised[0] = False  # nothing precedes the first token, so nothing predicts it
        if not supervised.any():
            raise SupervisionError(
                f"none of {len(input_ids)} tokens is supervised: no answer was found in the "
                "rendered conversation; check that the assistant's turns have text",
                dataset=one.dataset,
                record_id=one.record.id,
            )
        return input_ids.masked_fill(~supervised, IGNORED)

    def _process(self, ready: Sequence[Ready]) -> dict[str, Any]:
        texts = [one.rendered.text for one in ready]
        try:
            return process(
                self.processor,
                texts,
                [one.images for one in ready],
                add_special_tokens=self.chat.adds_special_tokens(texts[0]),
                return_offsets=True,
                image_settings=ready[0].settings,
                beside=self.beside,
            )
        except ValueError as error:  # such as an image that is 200 times as wide as high
            raise self._refused(ready, error) from error

    def _refused(self, ready: Sequence[Ready], error: ValueError) -> RecordError:
        reason = " ".join(str(error).split())
        return RecordError(
            f"the host's {type(self.processor).__name__} refuses the record: {reason}",
            dataset=ready[0].dataset,
            record_id=", ".join(one.record.id for one in ready),
        )

    def _num_image_tokens(self, sample: EncodedConversation) -> int:
        return int(torch.isin(sample.input_ids, self.image_token_ids).sum())

    def _shrink_by_budget(self, sample: EncodedConversation, ready: Ready) -> EncodedConversation:
        """Encode again within the largest budget of image tokens that fits, found by bisection.

        Raises:
            OverlongError: Even the smallest images take too many tokens.
        """
        assert self.max_length is not None
        best = None
        smallest = sample
        low, high = 0, self._num_image_tokens(sample)
        while high - low > 1:
            middle = (low + high) // 2
            within = self._within(ready, middle)
            if within is None:  # fewer than any image has
                low = middle
                continue
            smaller = self._encode([within])[0]
            if len(smaller.input_ids) <= self.max_length:
                low, best = middle, smaller
            else:
                high, smallest = middle, smaller
        best = best or cut(smallest, self.max_length, image_tokens=self.image_token_ids)
        if best is None:
            raise self._too_long(
                sample,
                f"the smallest images leave {self._num_image_tokens(smallest)} image tokens; "
                "raise `max_length`",
            )
        return best

    def _shrink(self, sample: EncodedConversation, ready: Ready) -> EncodedConversation:
        """Encode again with the largest images that fit.

        Steps are tried by bisection, since the number of tokens falls with the image's size.

        Raises:
            OverlongError: Even the smallest images take too many tokens.
        """
        assert self.max_length is not None
        shortest = min(min(image.size) for image in ready.images)
        steps = max(0, int(np.log(max(1.0, shortest / _SHORTEST_SIDE)) / -np.log(STEP)))
        smallest = self._encode([scaled(ready, steps)])[0]
        if len(smallest.input_ids) > self.max_length:
            shorter = cut(smallest, self.max_length, image_tokens=self.image_token_ids)
            if shorter is not None:
                return shorter
            fewest = self._num_image_tokens(smallest)
            fixed = fewest == self._num_image_tokens(sample)
            raise self._too_long(
                sample,
                f"shrinking the images to {_SHORTEST_SIDE} pixels leaves {fewest} image tokens"
                + (": this host turns every image into a fixed number" if fixed else "")
                + "; raise `max_length`",
            )
        too_large, fitting, best = 0, steps, smallest
        while fitting - too_large > 1:
            middle = (too_large + fitting) // 2
            smaller = self._encode([scaled(ready, middle)])[0]
            if len(smaller.input_ids) <= self.max_length:
                fitting, best = middle, smaller
            else:
                too_large = middle
        return best

    def _too_long(self, sample: EncodedConversation, advice: str) -> OverlongError:
        return OverlongError(
            f"the sample has {len(sample.input_ids)} tokens ({self._num_image_tokens(sample)} for "
            f"{count_of_images(len(sample.image_sizes))}, {sample.num_supervised} supervised), "
            f"`max_length` is {self.max_length}, and cutting text would take image tokens or every "
            f"supervised token; {advice}",
            dataset=sample.dataset,
            record_id=sample.record_id,
        )
