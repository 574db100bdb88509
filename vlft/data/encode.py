"""A conversation as tensors: rendered by the host's template, tokenized once, answers labeled."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from PIL import Image
from torch import Tensor

from vlft.data.chat import ChatFormat, Rendered, Span, is_processor
from vlft.data.images import open_image
from vlft.data.records import Conversation, count_of_images
from vlft.errors import DataError, OverlongError, RecordError, SupervisionError

IGNORED = -100
"""The label of a token that the loss does not see."""

TOKEN_INPUTS = ("token_type_ids", "mm_token_type_ids")
"""Model inputs with one value per token; every other tensor of a processor belongs to images."""

_ADVICE = {
    "error": "raise `max_length`, or set `overlong` to drop or shrink_image",
    "drop": "raise `max_length`, or set `overlong` to shrink_image",
    "shrink_image": "there is no image to shrink; raise `max_length`",
}
_STEP = 0.84  # one step of shrinking: side times 0.84, area times 0.7
_SHORTEST_SIDE = 16  # pixels; images are not shrunk below


@dataclass(frozen=True)
class EncodedConversation:
    """One sample as tensors.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        input_ids: Token ids, image placeholders included.
        labels: Token ids where supervised, -100 elsewhere; -100 at position 0.
        token_inputs: Further inputs with one value per token.
        image_inputs: The image tensors, images along the first axis.
        image_sizes: Width and height of each image as decoded, in pixels.
    """

    dataset: str
    record_id: str
    input_ids: Int[Tensor, " tokens"]
    labels: Int[Tensor, " tokens"]
    token_inputs: dict[str, Tensor]
    image_inputs: dict[str, Tensor]
    image_sizes: tuple[tuple[int, int], ...] = ()

    @property
    def num_supervised(self) -> int:
        """Number of tokens that the loss sees."""
        return int((self.labels != IGNORED).sum())


class _Ready(NamedTuple):
    """A record with its images open and its text rendered, before the processor."""

    record: Conversation
    dataset: str
    rendered: Rendered
    images: list[Image.Image]


class ConversationEncoder:
    """Turns conversations into tensors for a generative host.

    Args:
        processor: The host's processor, or tokenizer for text-only hosts.
        max_length: Longest sample in tokens, image tokens included; None: no limit. Longer text is
            cut from its end, image tokens never.
        overlong: When cutting text would take an image token or every supervised token: ``error``
            and ``drop`` raise (what differs is who catches it), ``shrink_image`` scales the images
            down until the sample fits.

    Raises:
        BackboneError: The host has no chat template.
    """

    def __init__(
        self,
        processor: Any,
        *,
        max_length: int | None = None,
        overlong: Literal["error", "drop", "shrink_image"] = "error",
    ) -> None:
        self.chat = ChatFormat(processor)
        self.processor = processor
        self.max_length = max_length
        self.overlong = overlong
        self.image_token_ids = image_token_ids(processor)
        self._one_row_per_image = self.chat.takes_images and _one_row_per_image(processor)

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
        special = {self.chat.adds_special_tokens(one.rendered.text) for one in ready}
        if len(special) > 1 or (self.chat.takes_images and not self._one_row_per_image):
            samples = [self._encode([one])[0] for one in ready]
        else:
            samples = self._encode(ready)
        return [self._fit(one, sample) for one, sample in zip(ready, samples, strict=True)]

    def _ready(self, record: Conversation, dataset: str) -> _Ready:
        try:
            rendered = self._render(record)
        except DataError as error:
            raise RecordError(str(error), dataset=dataset, record_id=record.id) from error
        images = [
            open_image(record.images[index], dataset=dataset, record_id=record.id)
            for index in _images_in_order(record)
        ]
        return _Ready(record, dataset, rendered, images)

    def _fit(self, ready: _Ready, sample: EncodedConversation) -> EncodedConversation:
        if self.max_length is None or len(sample.input_ids) <= self.max_length:
            return sample
        fitting = self._cut(sample)
        if fitting is not None:
            return fitting
        if self.overlong == "shrink_image" and ready.images:
            return self._shrink(sample, ready)
        raise self._too_long(sample, _ADVICE[self.overlong])

    def _render(self, record: Conversation) -> Rendered:
        if record.images and not self.chat.takes_images:
            raise DataError(
                f"the record has {count_of_images(len(record.images))}, but the host reads text "
                "only; leave it out or train a host with a vision tower"
            )
        token = self.processor.image_token if self.chat.takes_images else None
        for number, message in enumerate(record.messages):
            if token and any(isinstance(part, str) and token in part for part in message.content):
                raise DataError(
                    f"messages[{number}]: the text holds {token!r}, the host's image placeholder, "
                    "where no image is meant; remove it from the text"
                )
        rendered = self.chat.render_answers(record.messages)
        found = rendered.text.count(token) if token else 0
        if found != len(record.images):
            raise DataError(
                f"the host's chat template writes {found} image placeholders ({token!r}) for "
                f"{count_of_images(len(record.images))}; give a `processor` whose template fits"
            )
        return rendered

    def _encode(self, ready: Sequence[_Ready]) -> list[EncodedConversation]:
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
            answers = _after_expansion(one.rendered.answers, replaced[index])
            samples.append(
                EncodedConversation(
                    dataset=one.dataset,
                    record_id=one.record.id,
                    input_ids=input_ids,
                    labels=self._labels(one, input_ids, _tokens_of(answers, offsets[index])),
                    token_inputs={k: torch.tensor(v[index]) for k, v in token_inputs.items()},
                    image_inputs={k: v[rows] for k, v in encoding.items()} if one.images else {},
                    image_sizes=tuple(image.size for image in one.images),
                )
            )
        return samples

    def _labels(
        self,
        one: _Ready,
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

    def _process(self, ready: Sequence[_Ready]) -> dict[str, Any]:
        texts = [one.rendered.text for one in ready]
        images = [image for one in ready for image in one.images]
        options = {
            "text": texts,
            "add_special_tokens": self.chat.adds_special_tokens(texts[0]),
            "return_offsets_mapping": True,
        }
        try:
            if not self.chat.takes_images:
                return dict(self.processor(**options))
            return dict(
                self.processor(
                    images=images or None,
                    images_kwargs={"return_tensors": "pt"},
                    return_text_replacement_offsets=True,
                    **options,
                )
            )
        except ValueError as error:  # such as an image that is 200 times as wide as high
            reason = " ".join(str(error).split())
            raise RecordError(
                f"the host's {type(self.processor).__name__} refuses the record: {reason}",
                dataset=ready[0].dataset,
                record_id=", ".join(one.record.id for one in ready),
            ) from error

    def _num_image_tokens(self, sample: EncodedConversation) -> int:
        return int(torch.isin(sample.input_ids, self.image_token_ids).sum())

    def _cut(self, sample: EncodedConversation) -> EncodedConversation | None:
        """Cut text from the end, or None when that is not enough."""
        assert self.max_length is not None
        end = self.max_length
        images_lost = torch.isin(sample.input_ids[end:], self.image_token_ids).any()
        if images_lost or not (sample.labels[:end] != IGNORED).any():
            return None
        return replace(
            sample,
            input_ids=sample.input_ids[:end],
            labels=sample.labels[:end],
            token_inputs={key: values[:end] for key, values in sample.token_inputs.items()},
        )

    def _shrink(self, sample: EncodedConversation, ready: _Ready) -> EncodedConversation:
        """Encode again with the largest images that fit.

        Steps are tried by bisection, since the number of tokens falls with the image's size.

        Raises:
            OverlongError: Even the smallest images take too many tokens.
        """
        assert self.max_length is not None
        shortest = min(min(image.size) for image in ready.images)
        steps = max(0, int(np.log(max(1.0, shortest / _SHORTEST_SIDE)) / -np.log(_STEP)))
        smallest = self._encode([_scaled(ready, steps)])[0]
        if len(smallest.input_ids) > self.max_length:
            cut = self._cut(smallest)
            if cut is not None:
                return cut
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
            smaller = self._encode([_scaled(ready, middle)])[0]
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


def image_token_ids(processor: Any) -> Int[Tensor, " ids"]:
    """Ids of the tokens that stand for an image; empty for a tokenizer of a text-only host."""
    ids = processor.image_token_ids if is_processor(processor) else ()
    return torch.tensor([index for index in ids if index is not None], dtype=torch.long)


def _images_in_order(record: Conversation) -> list[int]:
    """Indices of the images in the order in which the turns name them."""
    return [part for turn in record.messages for part in turn.content if isinstance(part, int)]


def _scaled(ready: _Ready, steps: int) -> _Ready:
    factor = _STEP**steps
    images = [
        image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
        for image in ready.images
    ]
    return ready._replace(images=images)


def _one_row_per_image(processor: Any) -> bool:
    """Whether each image becomes one row of every tensor, so that a batch can be split again."""
    images = [Image.new("RGB", size) for size in ((56, 56), (112, 56))]
    text = [processor.image_token] * 2
    encoding = dict(processor(images=images, text=text, images_kwargs={"return_tensors": "pt"}))
    tensors = [value for value in encoding.values() if isinstance(value, Tensor)]
    return all(len(tensor) == len(images) for tensor in tensors)


def _after_expansion(spans: Sequence[Span], replaced: Sequence[dict[str, Any]]) -> list[Span]:
    """Move spans of the rendered text to where they are once placeholders are expanded."""
    ends = [entry["span"][1] for entry in replaced]
    gained = [0, *(entry["new_span"][1] - entry["span"][1] for entry in replaced)]

    def moved(char: int) -> int:
        return char + gained[bisect_right(ends, char)]

    return [(moved(start), moved(end)) for start, end in spans]


def _tokens_of(spans: Sequence[Span], offsets: Sequence[Span]) -> Bool[Tensor, " tokens"]:
    """Mark every token from the first to the last that overlaps a span.

    Tokens of blanks alone can have offsets without width; inside a span they count.
    """
    starts, ends = np.array(offsets).T
    marked = torch.zeros(len(offsets), dtype=torch.bool)
    for start, end in spans:
        overlapping = np.flatnonzero((starts < end) & (ends > start))
        if len(overlapping):
            marked[overlapping[0] : overlapping[-1] + 1] = True
    return marked
