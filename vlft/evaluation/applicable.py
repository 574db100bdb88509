"""Whether a model can be asked what a benchmark asks; if not, the result says so, and why."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from vlft.data.beside import num_images
from vlft.data.records import count_of_images
from vlft.errors import NotApplicableError
from vlft.evaluation.requests import EmbedPrompt, Generate, Request, Score
from vlft.evaluation.scorer import Scorer
from vlft.types import Backbone


@runtime_checkable
class TakesImages(Protocol):
    """Reads prompts with images."""

    @property
    def max_images(self) -> int | None:
        """Most images of a prompt; None: any number."""
        ...


def way_of(model: object, scorer: Scorer) -> type:
    """Return the capability in which a model is asked: the first that the scorer names.

    Raises:
        NotApplicableError: The model has none of them.
    """
    found = next((way for way in scorer.requires if isinstance(model, way)), None)
    if found is None:
        names = " or ".join(capability.__name__ for capability in scorer.requires)
        raise NotApplicableError(f"the host has no capability {names}")
    return found


def require_capabilities(
    backbone: Backbone, model: object, scorer: Scorer, *, needs_images: bool
) -> None:
    """Refuse a host that reads no images where there are some, or that a scorer cannot ask.

    Raises:
        NotApplicableError: With what it lacks.
    """
    if needs_images and "vision" not in backbone.towers:
        raise NotApplicableError("the host reads text only")
    way_of(model, scorer)


def require_few_images(model: object, requests: Iterable[Request]) -> None:
    """Refuse questions with more images than a model takes; no image is decoded.

    Args:
        model: Any capability; those that read prompts have a limit, or none.
        requests: All that a benchmark asks; not looked at where it is not.

    Raises:
        NotApplicableError: With how many they are, and the first of them.
    """
    most = model.max_images if isinstance(model, TakesImages) else None
    if most is None:
        return
    asked = {one.key: one for one in requests if isinstance(one, Generate | Score | EmbedPrompt)}
    counts = [(one, num_images(one.asked.messages)) for one in asked.values()]
    many = [(one, count) for one, count in counts if count > most]
    if many:
        (first, count), *_ = many
        raise NotApplicableError(
            f"{len(many)} of {len(asked)} questions have more than {count_of_images(most)}, which "
            "is all that the model was trained to take (adapter.max_images); the first is about "
            f"record {first.pictures[0].record_id}, with {count}"
        )
