"""open_clip's own tokenizer and preprocessing, called as processors of transformers are."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from vlft.backbones.loading import explain
from vlft.backbones.open_clip_model import OpenClipConfig, require_open_clip, write_config
from vlft.errors import BackboneError


class OpenClipTokenizer:
    """The tokenizer that an open_clip model was trained with.

    Args:
        text_cfg: The text part of open_clip's configuration.

    Attributes:
        model_max_length: Tokens that the text tower takes.
        pad_token_id: What shorter texts are filled with.
        padding_side: On which side they are filled.

    Raises:
        BackboneError: It is a tokenizer of the Hub and cannot be had.
    """

    padding_side = "right"

    def __init__(self, text_cfg: dict[str, Any]) -> None:
        open_clip = require_open_clip()
        options = text_cfg.get("tokenizer_kwargs") or {}
        length = text_cfg.get("context_length", 77)
        name = text_cfg.get("hf_tokenizer_name")
        self.model_max_length: int = length
        self.pad_token_id = 0
        if name is None:
            self._tokenize = open_clip.SimpleTokenizer(context_length=length, **options)
            return
        from open_clip.tokenizer import HFTokenizer

        mode = text_cfg.get("tokenizer_mode")
        try:
            loaded: Any = HFTokenizer(name, context_length=length, tokenizer_mode=mode, **options)
        except (OSError, ValueError) as error:
            raise BackboneError(explain(name, error, field="backbone (tokenizer)")) from error
        self._tokenize = loaded
        self.pad_token_id = loaded.tokenizer.pad_token_id or 0

    def __call__(
        self, texts: Sequence[str], *, max_length: int, truncation: bool, padding: bool
    ) -> dict[str, list[list[int]]]:
        """Tokenize texts to ``max_length`` tokens each, longer ones cut before their end token."""
        assert truncation, "open_clip always cuts"
        return {"input_ids": self._tokenize(list(texts), context_length=max_length).tolist()}


class OpenClipImages:
    """The preprocessing that an open_clip model was trained with.

    Args:
        preprocess_cfg: The preprocessing part of open_clip's configuration.

    Attributes:
        size: Height and width of its images, in pixels.
    """

    def __init__(self, preprocess_cfg: dict[str, Any]) -> None:
        require_open_clip()
        from open_clip.transform import PreprocessCfg, image_transform_v2

        settings = PreprocessCfg(**preprocess_cfg)
        side = settings.size
        height, width = (side, side) if isinstance(side, int) else side
        self.size = {"height": height, "width": width}
        self._settings = asdict(settings)
        self._transform: Any = image_transform_v2(settings, is_train=False)

    def to_json_string(self) -> str:
        """Return all settings, as image processors of transformers do."""
        return json.dumps(self._settings, sort_keys=True, default=str)

    def __call__(
        self, images: Sequence[Image], *, return_tensors: str
    ) -> dict[str, Float[Tensor, "images channels height width"]]:
        """Scale, cut and normalize RGB images."""
        assert return_tensors == "pt", "tensors of torch are all there is"
        return {"pixel_values": torch.stack([self._transform(image) for image in images])}


class OpenClipProcessor:
    """Tokenizer and preprocessing of an open_clip model.

    Args:
        config: The model's configuration.

    Raises:
        BackboneError: Its tokenizer cannot be had.
    """

    def __init__(self, config: OpenClipConfig) -> None:
        assert config.model_cfg is not None
        assert config.preprocess_cfg is not None
        self.config = config
        self.tokenizer = OpenClipTokenizer(config.model_cfg["text_cfg"])
        self.image_processor = OpenClipImages(config.preprocess_cfg)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``open_clip_config.json``, which all of it is made from."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_config(self.config, Path(save_directory))
