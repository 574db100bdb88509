"""Processors: those of a checkpoint, checked, and the built-in ones of shipped shapes."""

from pathlib import Path
from typing import Any

from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPProcessor,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from vlft.backbones.loading import explain
from vlft.backbones.prompt_formats import PREFIX_SUFFIX
from vlft.backbones.tokenizer import chat_tokenizer, text_tokenizer
from vlft.errors import BackboneError, MissingExtraError

BUILT_IN = "built-in"
"""What a backbone's ``source`` says of a processor that came from nowhere else."""


_MORE_PROCESSORS = {"llava": ("PixtralProcessor",), "qwen2_5_vl": ("Qwen2VLProcessor",)}
"""Classes that checkpoints of a family also name, beside the one that transformers lists."""

PROMPT_FORMATS: dict[str, str] = {"PaliGemmaProcessor": PREFIX_SUFFIX}
"""Turn formats of families whose checkpoints come without a chat template, by processor class."""


def special_token_ids() -> dict[str, int]:
    """Return the built-in tokenizer's ids under the names that text configurations use."""
    tokenizer = chat_tokenizer()
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def llava_token_ids() -> dict[str, Any]:
    """Return the built-in tokenizer's ids as a LLaVA configuration names them."""
    return {
        "image_token_index": chat_tokenizer().image_token_id,
        "text_config": special_token_ids(),
    }


def clip_image_processor(image_size: int) -> CLIPImageProcessor:
    """Return CLIP's preprocessing at a resolution in pixels.

    The class backed by torchvision: it is what ``AutoProcessor`` gives for a CLIP or LLaVA
    checkpoint, so random and trained hosts see the same pixels.
    """
    return CLIPImageProcessor(
        size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
    )


def built_in_clip_processor(config: PreTrainedConfig) -> CLIPProcessor:
    """Return the processor of a CLIP with random weights."""
    return CLIPProcessor(
        image_processor=clip_image_processor(config.vision_config.image_size),
        tokenizer=text_tokenizer(config.text_config.max_position_embeddings),
    )


def built_in_llava_processor(config: PreTrainedConfig) -> LlavaProcessor:
    """Return the processor of a LLaVA with random weights."""
    images = clip_image_processor(config.vision_config.image_size)
    return llava_processor(config.vision_config, images, chat_tokenizer())


def llava_processor(
    vision_config: PreTrainedConfig, image_processor: Any, tokenizer: PreTrainedTokenizerBase
) -> LlavaProcessor:
    """Join an image processor and a tokenizer that has an image token.

    Args:
        vision_config: That of the vision tower, a CLIP one.
        image_processor: That of the vision tower.
        tokenizer: That of the language model, with ``<image>`` and a chat template.
    """
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=vision_config.patch_size,
        num_additional_image_tokens=1,  # CLIP's class token ...
        vision_feature_select_strategy="default",  # ... which the model drops
        chat_template=tokenizer.chat_template,
    )


def load_processor(
    source: str, *, field: str, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """Read the processor of a host that takes images.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it.
        revision: Hub revision.
        trust_remote_code: Run Python code that comes with it.

    Raises:
        BackboneError: It cannot be had, or has no image processor.
        MissingExtraError: It needs an optional package.
    """
    try:
        processor = AutoProcessor.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        if "num2words" in str(error):
            raise MissingExtraError("num2words", extra="smolvlm", needed_for="SmolVLM") from error
        raise BackboneError(_explain(source, error, field=field)) from error
    if not isinstance(processor, ProcessorMixin):  # a bare tokenizer or image processor
        raise BackboneError(
            f"{field}: {source!r} gives a {type(processor).__name__}, not a processor of images "
            "and text; name one that has both as `backbone.processor:`"
        )
    return processor


def load_chat_processor(
    source: str, *, field: str, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """Read the processor of a host that takes images and answers.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it.
        revision: Hub revision.
        trust_remote_code: Run Python code that comes with it.

    Raises:
        BackboneError: It cannot be had, has no image processor, or no chat template.
    """
    processor = load_processor(
        source, field=field, revision=revision, trust_remote_code=trust_remote_code
    )
    if processor.chat_template is None:
        processor.chat_template = PROMPT_FORMATS.get(type(processor).__name__)
    require_chat_template(processor, field=field, source=source)
    return processor


def load_image_processor(source: str, *, field: str, revision: str | None = None) -> Any:
    """Read the image processor of a vision tower.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it.
        revision: Hub revision.

    Raises:
        BackboneError: It cannot be had.
    """
    try:
        return AutoImageProcessor.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BackboneError(_explain(source, error, field=field)) from error


def load_tokenizer(
    source: str,
    *,
    field: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    **options: Any,
) -> Any:
    """Read a tokenizer.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it.
        revision: Hub revision.
        trust_remote_code: Run Python code that comes with it.
        **options: Settings that replace the stored ones.

    Raises:
        BackboneError: It cannot be had.
    """
    try:
        return AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code, **options
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BackboneError(_explain(source, error, field=field)) from error


def tokenizer_of(processor: Any) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    is_bare = isinstance(processor, PreTrainedTokenizerBase)
    return processor if is_bare else processor.tokenizer


def require_chat_template(tokenizer: Any, *, field: str, source: str) -> None:
    """Refuse a processor or tokenizer that cannot render conversations.

    Raises:
        BackboneError: It has no chat template.
    """
    if tokenizer.chat_template is None:
        raise BackboneError(
            f"{field}: {source!r} has no chat template, so conversations cannot be rendered; "
            "name a processor that has one as `backbone.processor:` (often the chat variant's)"
        )


def require_ids_fit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, field: str
) -> None:
    """Refuse a tokenizer that gives ids which the embedding has no row for.

    Raises:
        BackboneError: Naming both sizes.
    """
    rows = model.config.get_text_config().vocab_size
    if len(tokenizer) > rows:
        raise BackboneError(
            f"{field}: the tokenizer has {len(tokenizer)} tokens, the model's embedding "
            f"{rows} rows; they do not belong together"
        )


def require_same_family(model: PreTrainedModel, processor: Any, *, field: str) -> None:
    """Refuse the processor of another family, whose tensors the model would misread.

    Raises:
        BackboneError: Naming both.
    """
    model_type = model.config.model_type
    expected = {str(PROCESSOR_MAPPING_NAMES[model_type]), *_MORE_PROCESSORS.get(model_type, ())}
    if type(processor).__name__ not in expected:
        raise BackboneError(
            f"{field}: a {model_type!r} model takes a {' or '.join(sorted(expected))}, this is a "
            f"{type(processor).__name__}; they do not belong together"
        )


def require_image_token(model: PreTrainedModel, processor: Any, *, field: str) -> None:
    """Refuse a processor whose image placeholder is not the one that the model replaces.

    Raises:
        BackboneError: Naming both ids.
    """
    if model.config.image_token_id not in processor.image_token_ids:
        marks = ", ".join(map(str, processor.image_token_ids))
        raise BackboneError(
            f"{field}: the processor marks images with token {marks}, the model "
            f"expects {model.config.image_token_id}; they do not belong together"
        )


def _explain(source: str, error: Exception, *, field: str) -> str:
    if Path(source).is_dir() and "trust_remote_code" not in str(error):
        return (
            f"{field}: the folder {source!r} holds no complete processor; save it there with "
            "`processor.save_pretrained`, or name another one as `backbone.processor:`"
        )
    return explain(source, error, field=field)
