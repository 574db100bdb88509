"""SigLIP and SigLIP 2 hosts (transformers' ``SiglipModel`` and ``Siglip2Model``).

Two towers and one embedding space, with a learned temperature and bias for the sigmoid loss (arXiv
2303.15343, 2502.14786). Texts are always padded to the length of the text tower, and the padding is
not hidden: the embedding is read at the last position, as in pre-training.
"""

import math

import torch
from transformers import (
    AutoModel,
    PreTrainedConfig,
    Siglip2ImageProcessor,
    Siglip2Processor,
    SiglipImageProcessor,
    SiglipProcessor,
)

from vlft.backbones.families import SIGLIP
from vlft.backbones.loading import Device, describe
from vlft.backbones.processors import load_processor, special_token_ids
from vlft.backbones.siglip_tokenizer import siglip2_tokenizer
from vlft.backbones.sources import Kind, open_sources
from vlft.backbones.tokenizer import text_tokenizer
from vlft.recipe.backbone import Siglip
from vlft.types import Backbone

START_SCALE, START_BIAS = 10.0, -10.0
"""Temperature and bias that training from random weights starts with (arXiv 2303.15343, section
3.2); transformers starts at 1 and 0."""


def built_in_siglip_processor(config: PreTrainedConfig) -> SiglipProcessor | Siglip2Processor:
    """Return the processor of a SigLIP with random weights.

    SigLIP squeezes an image to a square; SigLIP 2 with flexible resolution (``siglip2``) keeps its
    shape and cuts it into at most ``num_patches`` patches.
    """
    length, vision = config.text_config.max_position_embeddings, config.vision_config
    if config.model_type == "siglip2":
        tokenizer = siglip2_tokenizer(length)
        images = Siglip2ImageProcessor(
            patch_size=vision.patch_size, max_num_patches=vision.num_patches
        )
        return Siglip2Processor(image_processor=images, tokenizer=tokenizer)
    tokenizer = text_tokenizer(length)
    size = {"height": vision.image_size, "width": vision.image_size}
    return SiglipProcessor(image_processor=SiglipImageProcessor(size=size), tokenizer=tokenizer)


KIND = Kind(
    model_class=AutoModel,
    classes={"siglip": "SiglipModel", "siglip2": "Siglip2Model"},
    token_ids=lambda: {"text_config": special_token_ids()},
    built_in=built_in_siglip_processor,
    load=load_processor,
)


def build_siglip(section: Siglip, device: Device) -> Backbone:
    """Build a SigLIP host.

    Raises:
        BackboneError: It cannot be had, or is no SigLIP.
    """
    opened = open_sources(section, KIND, type_name=section.type, device=device)
    if opened.is_random:
        if section.processor is None:
            text, tokenizer = opened.model.config.text_config, opened.processor.tokenizer
            for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
                setattr(text, name, getattr(tokenizer, name))
        with torch.no_grad():
            opened.model.logit_scale.fill_(math.log(START_SCALE))
            opened.model.logit_bias.fill_(START_BIAS)
    return Backbone(
        model=opened.model,
        processor=opened.processor,
        family=section.family,
        type=section.type,
        sites=SIGLIP.sites,
        towers=SIGLIP.towers,
        source=describe(section, opened.model.config, processor=opened.processor_source),
        local_parts=("",) if opened.is_random else (),
        text_length=opened.model.config.text_config.max_position_embeddings,
    )
