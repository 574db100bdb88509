"""What a generative host can do: continue prompts, score continuations, embed prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from vlft.adapters.parts import base_model
from vlft.data.beside import image_slots, without_images
from vlft.data.budget import host_images
from vlft.data.chat import ChatFormat
from vlft.data.collate import prompt_inputs
from vlft.data.process import has_prefix, placeholders, process
from vlft.errors import EvaluationError
from vlft.evaluation.prompts import (
    Continued,
    check_prompt,
    continued,
    image_markup,
    ordered_images,
)
from vlft.evaluation.running import batched, evaluating, placed, unit_length
from vlft.objectives.language_modeling import token_losses
from vlft.types import Backbone, Likelihood, Prompt


@dataclass(frozen=True)
class GenerativeModel:
    """Continues prompts and scores continuations.

    Attributes:
        backbone: A generative host, bare or with an adapter.
        batch_size: Rows per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    @property
    def max_images(self) -> int | None:
        """Most images of a prompt; None: any number."""
        return self.backbone.max_images

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """Return one answer per prompt: greedy, without special tokens and surrounding blanks.

        Decoding settings of the checkpoint (sampling, repetition penalty) are not used.

        Args:
            prompts: Any mixture of prompts with no, one and several images.
            max_new_tokens: Longest answer, in tokens.

        Raises:
            EvaluationError: A prompt has images and the host takes none, or its text holds the
                host's image placeholder; or a logit is NaN.
        """
        chat = ChatFormat(self.backbone.processor)
        prompts = self._shown(prompts)
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
                watch = _Watch()
                tokens = model.generate(
                    **inputs,
                    generation_config=settings,
                    logits_processor=LogitsProcessorList([watch]),
                )
                if watch.has_nan:
                    raise EvaluationError(
                        "the model's logits are NaN, and no answer can be taken from them; check "
                        "the model's weights and its dtype"
                    )
                added = tokens[:, inputs["input_ids"].shape[1] :]
                decoded = chat.tokenizer.batch_decode(added, skip_special_tokens=True)
                for row, answer in zip(rows, decoded, strict=True):
                    answers[row] = answer.strip()
        return answers

    def score(
        self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
    ) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of each continuation of each prompt.

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
        prompts = self._shown(prompts)
        rows = [
            (number, row)
            for number, (prompt, texts) in enumerate(zip(prompts, continuations, strict=True))
            for row in continued(chat, prompt, texts)
        ]
        found: list[dict[int, Likelihood]] = [{} for _ in prompts]
        with evaluating(self.backbone.model) as model:
            for batch in self._batches([prompts[number] for number, _ in rows]):
                asked = [(prompts[rows[at][0]], rows[at][1]) for at in batch]
                for at, totals in zip(batch, self._totals(model, chat, asked), strict=True):
                    number, row = rows[at]
                    for place, total, tail in zip(row.places, totals, row.tails, strict=True):
                        found[number][place] = Likelihood(total, len(tail))
        return [tuple(own[place] for place in sorted(own)) for own in found]

    def _totals(
        self, model: Any, chat: ChatFormat, asked: Sequence[tuple[Prompt, Continued]]
    ) -> list[list[float]]:
        """Return the summed log-probabilities of each row's tails."""
        rows = [row for _, row in asked]
        # Padding on the right leaves every token the position that it has alone.
        inputs = self._inputs(
            chat, [prompt for prompt, _ in asked], [row.text for row in rows], padding_side="right"
        )
        input_ids, ends = inputs["input_ids"], inputs["attention_mask"].sum(dim=1).tolist()
        longest = max(1 if row.shared else len(row.tails[0]) for row in rows)
        kept = torch.zeros((len(rows), longest), dtype=torch.long)
        targets = torch.full((len(rows), longest), -100)
        for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
            if input_ids[number, end - len(row.ending) : end].tolist() != row.ending:
                raise EvaluationError(
                    f"the host's processor writes other tokens than its tokenizer at the end of "
                    f"{row.text[-40:]!r}: the continuation cannot be scored"
                )
            if row.shared:
                kept[number, 0] = end - 1  # position p predicts p + 1
                continue
            (tail,) = row.tails
            start = end - len(tail)
            kept[number, : len(tail)] = torch.arange(start - 1, end - 1)
            targets[number, : len(tail)] = torch.tensor(tail)
            if has_prefix(self.backbone.processor):
                inputs["token_type_ids"][number, start:] = 1  # the answer, then padding
        if "prompt_mask" in inputs:
            for number, row in enumerate(rows):
                if not row.shared:
                    inputs["prompt_mask"][number, ends[number] - len(row.tails[0]) :] = False
        logits = model(**inputs, logits_to_keep=kept.to(input_ids.device), use_cache=False).logits
        sums = (-token_losses(logits, targets.to(logits.device)).sum(dim=1)).tolist()
        sharing = [number for number, row in enumerate(rows) if row.shared]
        next_tokens = logits[sharing, 0].float().log_softmax(dim=-1)
        width = max((len(rows[number].tails) for number in sharing), default=1)
        ids = torch.zeros((len(sharing), width), dtype=torch.long)
        for at, number in enumerate(sharing):
            ids[at, : len(rows[number].tails)] = torch.tensor(rows[number].tails).flatten()
        single = next_tokens.gather(1, ids.to(logits.device)).tolist()
        totals = [[total] for total in sums]
        for at, number in enumerate(sharing):
            totals[number] = single[at][: len(rows[number].tails)]
        return totals

    def embed_prompts(
        self, prompts: Sequence[Prompt], *, chat_template: bool = True
    ) -> Float[Tensor, "items width"]:
        """Return the final hidden state of each prompt's last token, at unit length, on the CPU.

        As in VLM2Vec (arXiv 2410.05160, section 3.2).

        Args:
            prompts: Any mixture of prompts with no, one and several images.
            chat_template: Write the turns as the host's template does, with the opening of the
                answer; else only the texts, with the host's own marks for images.

        Raises:
            EvaluationError: As ``generate``.
        """
        chat = ChatFormat(self.backbone.processor)
        prompts = self._shown(prompts)
        markup = "" if chat_template else image_markup(chat)
        texts = [
            chat.render(prompt.messages, add_generation_prompt=True)
            if chat_template
            else _without_template(prompt, markup)
            for prompt in prompts
        ]
        found: list[Tensor] = [torch.empty(0)] * len(prompts)
        with evaluating(self.backbone.model) as model:
            for rows in self._batches(prompts):
                asked, written = [prompts[row] for row in rows], [texts[row] for row in rows]
                inputs = self._inputs(chat, asked, written, padding_side="right")
                last = inputs["attention_mask"].sum(dim=1) - 1
                outputs = model(
                    **inputs, output_hidden_states=True, logits_to_keep=1, use_cache=False
                )
                states = outputs.hidden_states[-1]
                ends = states[torch.arange(len(rows), device=states.device), last]
                for row, vector in zip(rows, unit_length([ends]), strict=True):
                    found[row] = vector
        return torch.stack(found)

    @property
    def _beside(self) -> bool:
        return self.backbone.images == "beside"

    def _shown(self, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """Return prompts as the host sees them: without marks for images that leave no token."""
        if not self._beside:
            return prompts
        return [
            Prompt(without_images(prompt.messages), tuple(ordered_images(prompt)))
            for prompt in prompts
        ]

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
        images = [
            list(prompt.images) if self._beside else ordered_images(prompt) for prompt in prompts
        ]
        host = host_images(base_model(self.backbone.model)) if self._beside else None
        settings = {} if host is None else host.fewest(processor)
        encoding = process(
            processor,
            texts,
            images,
            add_special_tokens=chat.adds_special_tokens(texts[0]),
            image_settings=settings,
            beside=self._beside,
        )
        inputs = prompt_inputs(processor, encoding, side=padding_side)
        if self._beside:
            inputs["image_slots"] = image_slots([len(row) for row in images])
            inputs["prompt_mask"] = inputs["attention_mask"].bool()
        return placed(inputs, self.backbone.model)


class _Watch(LogitsProcessor):
    """Remembers whether any logit was NaN: the largest of them would be taken without a word."""

    def __init__(self) -> None:
        self._seen: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Look at the logits of a step, and leave them as they are."""
        found = scores.isnan().any()
        self._seen = found if self._seen is None else self._seen | found
        return scores

    @property
    def has_nan(self) -> bool:
        """Whether there was one."""
        return self._seen is not None and bool(self._seen)


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


def _without_template(prompt: Prompt, markup: str) -> str:
    pieces = [piece for message in prompt.messages for piece in message.content]
    return "".join(piece if isinstance(piece, str) else markup for piece in pieces)
