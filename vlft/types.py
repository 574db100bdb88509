"""The records and protocols that components meet through.

A backbone is a record, not a base class: the model stays the library's own ``nn.Module``. A
benchmark asks for a capability (``Generates``, ``Scores``, ``Embeds`` ...), never for a model
class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float, Shaped
from PIL.Image import Image
from torch import Tensor, nn

Family: TypeAlias = Literal["contrastive", "generative", "vision"]

Batch: TypeAlias = dict[str, Any]
"""Model inputs by name, and the keys of ``BATCH_KEYS``, which never reach the model."""

BATCH_KEYS = ("labels", "targets", "record_ids", "num_images", "num_tokens")
"""``labels`` [batch tokens]: supervised token ids, -100 elsewhere; ``targets`` [batch kept]: the
ids that the kept positions (``logits_to_keep``, a model input) predict, -100 for padding;
``record_ids``: one string per sample; ``num_images``, ``num_tokens``: integers for throughput."""

Outputs: TypeAlias = dict[str, Tensor]
"""Named tensors of a forward pass that losses read, such as ``logits`` or ``image_embeds``."""


@dataclass(frozen=True)
class Losses:
    """Named scalar losses and their weights.

    Attributes:
        parts: Scalar tensors by name.
        weights: Weight of each part; 1 where none is given.
    """

    parts: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> Float[Tensor, ""]:
        """The weighted sum that is differentiated."""
        terms = [self.weights.get(name, 1.0) * part for name, part in self.parts.items()]
        return sum(terms[1:], start=terms[0])


@dataclass(frozen=True)
class Backbone:
    """A host model with its places and parts named.

    Attributes:
        model: The library's own module, or PEFT's wrapper around it.
        processor: Its processor (tokenizer and image processor), or tokenizer for text-only hosts.
        family: What kind of model it is.
        type: Its key in ``BACKBONES``.
        sites: Name of a place (``language.attention``) to a pattern that module names match fully.
        towers: Name of a tower (``vision``, ``projector``, ``language``, ``text``) to prefixes of
            parameter names.
        source: Where it came from: plain values that can be written as JSON.
        local_parts: Prefixes of parameters that no checkpoint elsewhere holds and that a run must
            therefore save; ``("",)`` means all of them.
        text_length: Tokens that every text of a contrastive host is padded to, padding not hidden,
            as its text tower was trained (SigLIP, open_clip); None: the longest of the batch, with
            padding hidden.
        inert_padding: Whether what a text is padded with to ``text_length`` reaches no output:
            under causal attention, with the embedding read at the end token (open_clip).
        images: How images reach a generative host: as tokens of its sequence, or ``beside`` it
            (DEHVF), with no token at all.
        max_images: Most images of a sample; None: any number.
    """

    model: nn.Module
    processor: Any
    family: Family
    type: str
    sites: Mapping[str, str]
    towers: Mapping[str, tuple[str, ...]]
    source: Mapping[str, Any]
    local_parts: tuple[str, ...] = ()
    text_length: int | None = None
    inert_padding: bool = False
    images: Literal["tokens", "beside"] = "tokens"
    max_images: int | None = None


@runtime_checkable
class Objective(Protocol):
    """A loss family: a forward pass to named tensors, and a pure loss on them."""

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """Run the model on a batch."""
        ...

    def loss(self, outputs: Outputs, batch: Batch, num_items: Tensor | int | None) -> Losses:
        """Reduce named tensors to named losses.

        Args:
            outputs: What ``forward`` returned.
            batch: The same batch.
            num_items: Supervised tokens of the whole optimizer step over all processes, or None
                when the loss is a mean over the batch.
        """
        ...

    def per_sample(
        self, outputs: Outputs, batch: Batch
    ) -> tuple[Float[Tensor, " batch"], Shaped[Tensor, " batch"]]:
        """Return each sample's loss sum and how many items it counts for, for validation."""
        ...


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        content: Text pieces as strings and images as indices into the images that go along.
    """

    role: Literal["system", "user", "assistant"]
    content: tuple[str | int, ...]


@dataclass(frozen=True)
class Prompt:
    """A conversation with its images, ready for a model to continue.

    Attributes:
        messages: The turns; the last one is the user's.
        images: Decoded RGB images that the turns refer to by index.
    """

    messages: tuple[Message, ...]
    images: tuple[Image, ...] = ()


@runtime_checkable
class Generates(Protocol):
    """Continues prompts with text."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """Return one answer per prompt, greedy, without the prompt and special tokens."""
        ...


class Likelihood(NamedTuple):
    """How likely a continuation is.

    Attributes:
        total: Sum of the log-probabilities of its tokens, in nats.
        num_tokens: How many these are.
    """

    total: float
    num_tokens: int


@runtime_checkable
class Scores(Protocol):
    """Gives the log-likelihood of continuations."""

    def score(
        self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
    ) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of each continuation of each prompt."""
        ...


@runtime_checkable
class EmbedsPrompts(Protocol):
    """Maps prompts, with and without images, to one space."""

    def embed_prompts(
        self, prompts: Sequence[Prompt], *, chat_template: bool = True
    ) -> Float[Tensor, "items width"]:
        """Return unit-length embeddings, of turns or (without ``chat_template``) of bare texts."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """Maps images and texts to one space."""

    def embed_images(self, images: Sequence[Image]) -> Float[Tensor, "items width"]:
        """Return unit-length image embeddings."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "items width"]:
        """Return unit-length text embeddings."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """Gives class scores for images."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        ...

    def classify(self, images: Sequence[Image]) -> Float[Tensor, "items classes"]:
        """Return one logit per class."""
        ...


@runtime_checkable
class PredictsMaps(Protocol):
    """Gives a dense prediction per image."""

    def predict_maps(
        self, images: Sequence[Image], *, task: str
    ) -> Float[Tensor, "items channels height width"]:
        """Return one map per image for the named task."""
        ...
