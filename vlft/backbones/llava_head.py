"""A LLaVA with a bias in its output head, like Phi: transformers has no place for one."""

from typing import Any

from torch import nn
from transformers import LlavaConfig, LlavaForConditionalGeneration, PreTrainedConfig


class BiasedLlavaForConditionalGeneration(LlavaForConditionalGeneration):
    """LLaVA with one more parameter, ``lm_head.bias``.

    A checkpoint of it names this class in ``architectures``. Read as a plain LLaVA it would lose
    the bias without a word, so it is read by vlft only.
    """

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        inner: Any = config.text_config
        self.lm_head = nn.Linear(inner.hidden_size, inner.vocab_size, bias=True)
        self.post_init()

    @classmethod
    def from_config(
        cls, config: LlavaConfig, **kwargs: Any
    ) -> "BiasedLlavaForConditionalGeneration":
        """Build one with fresh weights, as ``AutoModel.from_config`` does."""
        kwargs.pop("trust_remote_code", None)  # there is no such code
        return cls._from_config(config, **kwargs)


def has_head_bias(config: PreTrainedConfig) -> bool:
    """Whether a checkpoint was saved from ``BiasedLlavaForConditionalGeneration``."""
    return BiasedLlavaForConditionalGeneration.__name__ in (config.architectures or ())
