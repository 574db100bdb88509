"""Foreign values of `type`, answered with ours."""

from vlft.recipe.foreign import answers as a

CONTAINERS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow", "hf", "hub")

TYPES: dict[str, dict[str, str]] = {
    "adapter": {
        "qlora": f"type: lora, with {a.NF4}",
        "dora": "type: lora with use_dora: true",
        "rslora": "type: lora with use_rslora: true",
        "pissa": "type: lora with init_lora_weights: pissa",
        "freeze": "type: full, with the frozen parts in `towers`",
        "none": "type: full, with the frozen parts in `towers`",
    }
    | {
        name: f"type: peft with peft_type: {name.upper()}"
        for name in (
            "adalora",
            "boft",
            "ia3",
            "loha",
            "lokr",
            "oft",
            "vera",
            "hra",
            "miss",
            "shira",
        )
    },
    "backbone": {
        "llava": "type: image_text_to_text",
        "qwen2_vl": "type: image_text_to_text",
        "qwen2_5_vl": "type: image_text_to_text",
        "vlm": "type: image_text_to_text",
        "llama": "type: causal_lm",
        "llm": "type: causal_lm",
        "smolvlm": "type: image_text_to_text",
        "openclip": "type: open_clip",
        "siglip2": "type: siglip",
        "vit": "type: vision",
        "swin": "type: vision",
    },
    "data": {
        "llava": "type: llava_json",
        "chat_template": "type: messages",
        "openai": "type: messages",
        "alpaca": "type: question_answer with question_column: instruction, answer_column: output",
        "vqa": "type: question_answer",
        "image_folder": "type: classification, whose path is the folder",
        "imagefolder": "type: classification, whose path is the folder",
        "interleave": "type: mixture",
        **dict.fromkeys(CONTAINERS, "type: messages, say: the path's ending tells the container"),
    },
    "objective": {
        "sft": "type: language_modeling",
        "causal_lm": "type: language_modeling",
        "infonce": "type: contrastive",
        "seq_cls": "type: classification",
        "cross_entropy": "type: classification",
        "clip": "type: contrastive with loss: clip",
        "siglip": "type: contrastive with loss: siglip",
    },
}
"""Section to foreign ``type`` to ours."""
