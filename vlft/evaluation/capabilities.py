"""What a backbone can do, as the capabilities of ``vlft.types``.

A capability holds a backbone and a batch size and no other state: a model is put into evaluation
mode during a call and gets its own modes back.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import GenerationConfig

from vlft.adapters.parts import base_model
from vlft.backbones import class_names
from vlft.data.chat import ChatFormat
from vlft.data.collate import PairCollator, prompt_inputs
from vlft.data.encode_pair import TextEncoder
from vlft.data.process import has_prefix, placeholders, process
from vlft.errors import EvaluationError
from vlft.evaluation.prompts import check_prompt, continued, ordered_images
from vlft.objectives.language_modeling import token_losses
from vlft.types import Backbone, Prompt

Item = TypeVar("Item")


@dataclass(frozen=True)
class GenerativeModel:
    """Continues prompts and scores continuations.

    Attributes:
        backbone: A generative host, bare or with an adapter.
        batch_size: Rows per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """Return one answer per prompt: greedy, without special tokens and surrounding blanks.

        Decoding settings of the checkpoint (sampling, repetition penalty) are not used.

        Args:
            prompts: Any mixture of prompts with no, one and several images.
            max_new_tokens: Longest answer, in tokens.

        Raises:
            EvaluationError: A prompt has images and the host takes none, or its text holds the
                host's image placeholder.
        """
        chat = ChatFormat(self.backbone.processor)
        settings = _greedy(self.backbone.model, chat, max_new_tokens)
        answers = [""] * len(prompts)
        with evaluating(self.backbone.model) as model:
            for rows in self._batches(prompts):
                asked = [prompts[row] for row in rows]
                texts = [
                    chat.render(prompt.messages, add_generation_prompt=True) for prompt in asked
                ]
                # Answers are appended on the right, so the padding stands on the left.
                inputs = self._inputs(chat, asked, texts, padding_side="left")
                tokens = model.generate(**inputs, generation_config=settings)
                added = tokens[:, inputs["input_ids"].shape[1] :]
                decoded = chat.tokenizer.batch_decode(added, skip_special_tokens=True)
                for row, answer in zip(rows, decoded, strict=True):
                    answers[row] = answer.strip()
        return answers

    def score(
        self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Return, per prompt and continuation, the sum of token log-probabilities (nats).

        A continuation's tokens are those that it adds to the prompt; the end of the turn is not
        scored. Sums fall with length: whoever compares continuations of different lengths decides
        whether to divide.

        Args:
            prompts: Any mixture of prompts with no, one and several images.
            continuations: One or more per prompt, as the assistant would write them.

        Raises:
            EvaluationError: As ``generate``; or a continuation is empty, or cannot be told apart in
                the host's tokens.
        """
        chat = ChatFormat(self.backbone.processor)
        pairs = [
            (prompt, text)
            for prompt, texts in zip(prompts, continuations, strict=True)
            for text in texts
        ]
        sums = [0.0] * len(pairs)
        with evaluating(self.backbone.model) as model:
            for rows in self._batches([prompt for prompt, _ in pairs]):
                found = self._log_likelihoods(model, chat, [pairs[row] for row in rows])
                for row, value in zip(rows, found.tolist(), strict=True):
                    sums[row] = value
        values = iter(sums)
        return [[next(values) for _ in texts] for texts in continuations]

    def _log_likelihoods(
        self, model: Any, chat: ChatFormat, pairs: Sequence[tuple[Prompt, str]]
    ) -> Float[Tensor, " rows"]:
        written = [continued(chat, prompt, text) for prompt, text in pairs]
        prompts = [prompt for prompt, _ in pairs]
        # Padding on the right leaves every token the position that it has alone.
        inputs = self._inputs(chat, prompts, [row.text for row in written], padding_side="right")
        input_ids, ends = inputs["input_ids"], inputs["attention_mask"].sum(dim=1).tolist()
        shape = len(pairs), max(len(row.tail) for row in written)
        kept = torch.zeros(shape, dtype=torch.long)
        targets = torch.full(shape, -100)
        for row, (text, tail) in enumerate(written):
            start, end = ends[row] - len(tail), ends[row]
            if input_ids[row, start:end].tolist() != tail:
                raise EvaluationError(
                    f"the host's processor writes other tokens than its tokenizer at the end of "
                    f"{text[-40:]!r}: the continuation cannot be scored"
                )
            kept[row, : len(tail)] = torch.arange(start - 1, end - 1)  # position p predicts p + 1
            targets[row, : len(tail)] = torch.tensor(tail)
            if has_prefix(self.backbone.processor):
                inputs["token_type_ids"][row, start:] = 1  # the answer; what follows is padding
        logits = model(**inputs, logits_to_keep=kept.to(input_ids.device), use_cache=False).logits
        return -token_losses(logits, targets.to(logits.device)).sum(dim=1)

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[int]]:
        """Yield rows that may share a batch: with images or without, never both."""
        for with_images in (True, False):
            rows = [row for row, prompt in enumerate(prompts) if bool(prompt.images) == with_images]
            yield from batched(rows, self.batch_size)

    def _inputs(
        self,
        chat: ChatFormat,
        prompts: Sequence[Prompt],
        texts: Sequence[str],
        *,
        padding_side: Literal["left", "right"],
    ) -> dict[str, Tensor]:
        processor = self.backbone.processor
        for prompt in prompts:
            check_prompt(prompt, placeholders=placeholders(processor))
        encoding = process(
            processor,
            texts,
            [ordered_images(prompt) for prompt in prompts],
            add_special_tokens=chat.adds_special_tokens(texts[0]),
        )
        inputs = prompt_inputs(processor, encoding, side=padding_side)
        return _placed(inputs, self.backbone.model)


@dataclass(frozen=True)
class ContrastiveModel:
    """Maps images and texts to one space.

    Attributes:
        backbone: A contrastive host, bare or with an adapter.
        batch_size: Images or texts per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    def embed_images(self, images: Sequence[Image]) -> Float[Tensor, "items width"]:
        """Return unit-length image embeddings, float32, on the CPU."""
        encode = self.backbone.processor.image_processor
        with evaluating(self.backbone.model) as model:
            parts = [
                model.get_image_features(
                    **_placed(encode(batch, return_tensors="pt"), model)
                ).pooler_output
                for batch in batched(images, self.batch_size)
            ]
        return _unit_length(parts)

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "items width"]:
        """Return unit-length text embeddings, float32, on the CPU; long texts are cut."""
        processor, length = self.backbone.processor, self.backbone.text_length
        collate = PairCollator(processor, text_length=length)
        with evaluating(self.backbone.model) as model:
            positions = model.config.text_config.max_position_embeddings if length is None else None
            encode = TextEncoder(processor.tokenizer, text_length=length, max_length=positions)
            parts = [
                model.get_text_features(
                    **_placed(collate.texts(encode(batch)), model)
                ).pooler_output
                for batch in batched(texts, self.batch_size)
            ]
        return _unit_length(parts)


@dataclass(frozen=True)
class Classifier:
    """Gives class scores for images.

    Attributes:
        backbone: A vision host, bare or with an adapter.
        batch_size: Images per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return class_names(base_model(self.backbone.model))

    def classify(self, images: Sequence[Image]) -> Float[Tensor, "items classes"]:
        """Return one logit per class, float32, on the CPU."""
        encode = self.backbone.processor
        with evaluating(self.backbone.model) as model:
            parts = [
                model(**_placed(encode(batch, return_tensors="pt"), model)).logits
                for batch in batched(images, self.batch_size)
            ]
        return torch.cat(parts).float().cpu()


Capabilities = GenerativeModel | ContrastiveModel | Classifier

CAPABILITIES: dict[str, Callable[..., Capabilities]] = {
    "generative": GenerativeModel,
    "contrastive": ContrastiveModel,
    "vision": Classifier,
}
"""By the family of the backbone."""


def capabilities_of(backbone: Backbone, *, batch_size: int = 32) -> Capabilities:
    """Return an object with the capabilities of a backbone.

    Args:
        backbone: Any host, bare or with an adapter.
        batch_size: Rows per forward pass; it changes speed and memory only.
    """
    return CAPABILITIES[backbone.family](backbone, batch_size=batch_size)


@contextmanager
def evaluating(model: nn.Module) -> Generator[Any]:
    """Run without gradients and dropout; each module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield model
    finally:
        for module, training in modes:
            module.training = training


def batched(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield consecutive lists of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _greedy(model: Any, chat: ChatFormat, max_new_tokens: int) -> GenerationConfig:
    """Return settings that leave nothing to those of the checkpoint but its end tokens.

    The token that the template puts after an answer is one of them, also where the tokenizer has
    another one for the end of a text.
    """
    tokenizer = chat.tokenizer
    configured = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    if chat.end_of_turn:
        ends.add(tokenizer.convert_tokens_to_ids(chat.end_of_turn))
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=sorted(end for end in ends if end is not None),
    )


def _placed(encoded: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Move inputs to the model's device, and pixels to its type."""
    weight = next(weight for weight in model.parameters() if weight.is_floating_point())
    return {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for name, value in encoded.items()
    }


def _unit_length(parts: Sequence[Tensor]) -> Float[Tensor, "items width"]:
    return normalize(torch.cat(list(parts)).float(), dim=-1).cpu()
