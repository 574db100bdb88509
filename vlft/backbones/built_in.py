"""Built-in processors of generative families: hosts with random weights need no download.

Each is the family's own processor class of transformers around the built-in tokenizer, with the
family's special tokens and turn format.
"""

from typing import Any

from transformers import (
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InternVLProcessor,
    InternVLVideoProcessor,
    PaliGemmaProcessor,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SiglipImageProcessor,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from vlft.backbones import prompt_formats
from vlft.backbones.tokenizer import family_tokenizer
from vlft.errors import MissingExtraError

_ROOMY = 8192
"""Positions from which a host gets as many image tokens as its family's checkpoints do."""


def qwen_vl_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of Qwen2-VL and Qwen2.5-VL hosts."""
    return family_tokenizer(
        prompt_formats.QWEN_VL,
        named={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        unnamed=("<|im_start|>", "<|vision_start|>", "<|vision_end|>"),
        eos_token="<|im_end|>",
        bos_token=None,
    )


def qwen_vl_token_ids() -> dict[str, Any]:
    """Return its ids as their configuration names them."""
    tokenizer = qwen_vl_tokenizer()
    return {
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        "text_config": _special_ids(tokenizer),
    }


def qwen_vl_processor(config: PreTrainedConfig) -> Qwen2VLProcessor | Qwen2_5_VLProcessor:
    """Return the processor of a Qwen2-VL or Qwen2.5-VL: 4 to 16,384 tokens per image (toys: 64)."""
    vision = config.vision_config
    sizes: dict[str, Any] = {
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
    }
    per_token = (vision.patch_size * vision.spatial_merge_size) ** 2
    most = 16384 if _is_roomy(config) else 64
    limits = {"shortest_edge": 4 * per_token, "longest_edge": most * per_token}
    kind = Qwen2VLProcessor if config.model_type == "qwen2_vl" else Qwen2_5_VLProcessor
    tokenizer = qwen_vl_tokenizer()
    return kind(
        image_processor=Qwen2VLImageProcessor(size=limits, **sizes),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**sizes),
        chat_template=prompt_formats.QWEN_VL,
    )


def idefics_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of Idefics3 and SmolVLM hosts."""
    places = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
    return family_tokenizer(
        prompt_formats.IDEFICS,
        named={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        unnamed=("<|im_start|>", *places),
        eos_token="<end_of_utterance>",
        bos_token="<|im_start|>",
    )


def idefics_token_ids() -> dict[str, Any]:
    """Return its ids as their configuration names them."""
    tokenizer = idefics_tokenizer()
    ids = _special_ids(tokenizer)
    return {"image_token_id": tokenizer.image_token_id, "text_config": ids}


def idefics3_processor(config: PreTrainedConfig) -> Idefics3Processor:
    """Return the processor of an Idefics3: up to 16 tiles (toys: 4) and an overview."""
    tokenizer = idefics_tokenizer()
    return Idefics3Processor(
        image_processor=Idefics3ImageProcessor(**_tile_sizes(config)),
        tokenizer=tokenizer,
        image_seq_len=_tokens_per_tile(config),
        chat_template=prompt_formats.IDEFICS,
    )


def smolvlm_processor(config: PreTrainedConfig) -> SmolVLMProcessor:
    """Return the processor of a SmolVLM.

    Raises:
        MissingExtraError: The package that its class needs for videos is not installed.
    """
    tokenizer = idefics_tokenizer()
    try:
        return SmolVLMProcessor(
            image_processor=SmolVLMImageProcessor(**_tile_sizes(config)),
            tokenizer=tokenizer,
            video_processor=SmolVLMVideoProcessor(**_tile_sizes(config)),
            image_seq_len=_tokens_per_tile(config),
            chat_template=prompt_formats.IDEFICS,
        )
    except ImportError as error:
        raise MissingExtraError("num2words", extra="smolvlm", needed_for="SmolVLM") from error


def paligemma_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of PaliGemma hosts; its processor adds tokens for boxes and masks."""
    return family_tokenizer(prompt_formats.PREFIX_SUFFIX, named={"image_token": "<image>"})


def paligemma_token_ids() -> dict[str, Any]:
    """Return its ids as their configuration names them."""
    tokenizer = paligemma_tokenizer()
    return {"image_token_index": tokenizer.image_token_id, "text_config": _special_ids(tokenizer)}


def paligemma_processor(config: PreTrainedConfig) -> PaliGemmaProcessor:
    """Return the processor of a PaliGemma: a fixed number of tokens for each image."""
    vision = config.vision_config
    tokenizer = paligemma_tokenizer()
    images: Any = SiglipImageProcessor(size=_square(vision.image_size))
    images.image_seq_length = (vision.image_size // vision.patch_size) ** 2
    return PaliGemmaProcessor(
        image_processor=images, tokenizer=tokenizer, chat_template=prompt_formats.PREFIX_SUFFIX
    )


def gemma3_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of Gemma 3 hosts."""
    return family_tokenizer(
        prompt_formats.GEMMA,
        named={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        unnamed=("<start_of_turn>",),
        eos_token="<end_of_turn>",
    )


def gemma3_token_ids() -> dict[str, Any]:
    """Return its ids as their configuration names them."""
    tokenizer = gemma3_tokenizer()
    return {
        "image_token_index": tokenizer.image_token_id,
        "boi_token_index": tokenizer.boi_token_id,
        "eoi_token_index": tokenizer.eoi_token_id,
        "text_config": _special_ids(tokenizer),
    }


def gemma3_processor(config: PreTrainedConfig) -> Gemma3Processor:
    """Return the processor of a Gemma 3: a fixed number of tokens for each image."""
    tokenizer = gemma3_tokenizer()
    return Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size=_square(config.vision_config.image_size)),
        tokenizer=tokenizer,
        chat_template=prompt_formats.GEMMA,
        image_seq_length=config.mm_tokens_per_image,
    )


def internvl_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of InternVL hosts."""
    return family_tokenizer(
        prompt_formats.INTERNVL,
        named={
            "context_image_token": "<IMG_CONTEXT>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "video_token": "<video>",
        },
        unnamed=("<|im_start|>",),
        eos_token="<|im_end|>",
        bos_token=None,
    )


def internvl_token_ids() -> dict[str, Any]:
    """Return its ids as their configuration names them."""
    tokenizer = internvl_tokenizer()
    ids = _special_ids(tokenizer)
    return {"image_token_id": tokenizer.context_image_token_id, "text_config": ids}


def internvl_processor(config: PreTrainedConfig) -> InternVLProcessor:
    """Return the processor of an InternVL: up to 12 tiles (toys: 4) and an overview."""
    tokenizer = internvl_tokenizer()
    size = {
        "height": config.vision_config.image_size[0],
        "width": config.vision_config.image_size[1],
    }
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(
            size=size, crop_to_patches=True, max_patches=12 if _is_roomy(config) else 4
        ),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=config.image_seq_length,
        chat_template=prompt_formats.INTERNVL,
    )


def _special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _is_roomy(config: PreTrainedConfig) -> bool:
    return config.get_text_config().max_position_embeddings >= _ROOMY


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _tile_sizes(config: PreTrainedConfig) -> dict[str, Any]:
    side = config.vision_config.image_size
    tiles = 4 if _is_roomy(config) else 2  # along the longer side
    return {"max_image_size": {"longest_edge": side}, "size": {"longest_edge": tiles * side}}


def _tokens_per_tile(config: PreTrainedConfig) -> int:
    vision = config.vision_config
    return (vision.image_size // vision.patch_size) ** 2 // config.scale_factor**2
