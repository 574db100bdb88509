"""One call of a host's processor: texts and images in, ids and image tensors out, unpadded."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from PIL.Image import Image
from PIL.Image import new as new_image
from torch import Tensor
from transformers import PaliGemmaProcessor, ProcessorMixin

from vlft.data.beside import image_tensors


def is_processor(processor: Any) -> bool:
    """Whether a host's processor takes images too, and is not the tokenizer of a text-only host."""
    return isinstance(processor, ProcessorMixin)


def has_prefix(processor: Any) -> bool:
    """Whether a host reads the prompt in both directions and only the answer from left to right.

    Such a host (PaliGemma) is told which is which by ``token_type_ids``: 0 and 1.
    """
    return isinstance(processor, PaliGemmaProcessor)


def process(
    processor: Any,
    texts: Sequence[str],
    images: Sequence[Sequence[Image]],
    *,
    add_special_tokens: bool,
    return_offsets: bool = False,
    image_settings: Mapping[str, Any] | None = None,
    beside: bool = False,
) -> dict[str, Any]:
    """Expand placeholders, tokenize, and turn images into tensors.

    Args:
        processor: The host's processor, or tokenizer for text-only hosts.
        texts: Rendered conversations, one placeholder per image.
        images: The images of each text, in order.
        add_special_tokens: Whether the tokenizer adds its own special tokens.
        return_offsets: Also give ``offset_mapping``, the characters of each token, and
            ``text_replacement_offsets``, where placeholders were expanded.
        image_settings: Settings of the image processor that win over its own.
        beside: The images leave no token in the texts, which hold no placeholder.

    Returns:
        ``input_ids`` and other values per token as lists, one per text, and image tensors.

    Raises:
        ValueError: The processor refuses an image.
    """
    if beside:
        flat = [image for row in images for image in row]
        tensors = image_tensors(processor, flat, image_settings or {})
        alone = process(
            processor,
            texts,
            [[] for _ in texts],
            add_special_tokens=add_special_tokens,
            return_offsets=return_offsets,
        )
        return {**alone, **tensors}
    options = {"add_special_tokens": add_special_tokens, "return_offsets_mapping": return_offsets}
    if not is_processor(processor):
        return dict(processor(text=list(texts), **options))
    if has_prefix(processor):
        return _prefix_suffix(processor, texts, images, return_offsets=return_offsets)
    return dict(
        processor(
            text=list(texts),
            images=[list(row) for row in images] if any(images) else None,
            images_kwargs={"return_tensors": "pt", **(image_settings or {})},
            text_kwargs={"return_tensors": None, **options},  # some classes default to tensors
            return_text_replacement_offsets=return_offsets,
        )
    )


def image_token_ids(processor: Any) -> Int[Tensor, " ids"]:
    """Ids of the tokens that stand for an image; empty for a tokenizer of a text-only host."""
    ids = processor.image_token_ids if is_processor(processor) else ()
    return torch.tensor([index for index in ids if index is not None], dtype=torch.long)


def placeholders(processor: Any) -> tuple[str, ...]:
    """Tokens that stand for images or videos and may not come from a text; none of a tokenizer."""
    if not is_processor(processor):
        return ()
    ids = [index for index in (*processor.image_token_ids, *processor.video_token_ids) if index]
    return tuple(
        dict.fromkeys((processor.image_token, *processor.tokenizer.convert_ids_to_tokens(ids)))
    )


def one_row_per_image(processor: Any) -> bool:
    """Whether each image becomes one row of every tensor, so that a batch can be split again.

    Asked of the processor itself: two samples at once have to give the rows that each gives alone.
    """
    large, wide, small = (new_image("RGB", size) for size in ((56, 56), (900, 300), (30, 40)))
    samples = [[large], [wide, small]]

    def tensors(rows: list[list[Image]]) -> dict[str, Tensor]:
        texts = [processor.image_token * len(row) for row in rows]
        encoding = process(processor, texts, rows, add_special_tokens=False)
        return {key: value for key, value in encoding.items() if isinstance(value, Tensor)}

    together = tensors(samples)
    alone = [tensors([[image]]) for row in samples for image in row]
    return all(
        len(value) == len(alone)
        and all(
            len(one[key]) == 1 and torch.equal(one[key][0], row)
            for one, row in zip(alone, value, strict=True)
        )
        for key, value in together.items()
    )


def _prefix_suffix(
    processor: PaliGemmaProcessor,
    texts: Sequence[str],
    images: Sequence[Sequence[Image]],
    *,
    return_offsets: bool,
) -> dict[str, Any]:
    """Do what a PaliGemma's processor does, of whole texts.

    Its own call writes the beginning of the text and the line break itself, wants an image, and
    takes the answer apart from the question; here the template has written all of it.
    """
    tools: Any = processor
    flat = [image for row in images for image in row]
    pixels = dict(tools.image_processor(flat, return_tensors="pt")) if flat else {}
    expanded = [tools.replace_image_token(pixels, image_idx=index) for index in range(len(flat))]
    whole, replaced = tools.get_text_with_replacements(list(texts), expanded)
    tokens = dict(
        tools.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=return_offsets)
    )
    if return_offsets:
        tokens["text_replacement_offsets"] = replaced
    tokens["token_type_ids"] = [[0] * len(row) for row in tokens["input_ids"]]
    return {**tokens, **pixels}
