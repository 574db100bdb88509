"""Keys and types of neighboring frameworks, answered with ours.

The keys are those of LLaMA-Factory, ms-swift, TRL, Axolotl, LLaVA's scripts and older
``transformers``. A key with no counterpart is answered with the reason or the way around. No key
of our own schema stands here: those are answered with the section that they belong to.
"""

_LAUNCH = (
    "processes, devices and sharding belong to the launch file: "
    "accelerate launch --config_file accelerate_configs/<file>.yaml"
)
_GLOBAL_BATCH = "`training.global_batch_size` (samples per optimizer step over all processes)"
_QUANTIZATION = (
    "weights are not quantized here yet: use a smaller dtype, `backbone.dtype: bfloat16`"
)
_PACKING = "samples are not packed here yet: leave it out"
_PIXELS = (
    "the host's image processor sets the image size; `data.max_length` with "
    "`data.overlong: shrink_image` bounds image tokens"
)
_TEMPLATE = (
    "the chat template of the host's processor is used; `backbone.processor` names another one"
)
_ANSWERS_ONLY = "the loss is on the assistant's answers only, always; leave it out"
_SPLIT = "a held-out set is named, not split off: `data.validation`"
_ONE_STAGE = "the stage follows from `objective.type` and `data.train`; leave it out"
_MODEL = "`backbone.model`, beside `backbone.type`"
_TRAIN_DATA = "`data.train: {type: ..., path: ...}`"
_VISION = "`towers.vision.train: frozen | full`; adapters go to vision only through `adapter.sites`"
_PROJECTOR = "`towers.projector.train: frozen | full`"
_LANGUAGE = "`towers.language.train: frozen | full`"
_SITES = "`adapter.sites`, such as [language.attention], or `adapter.target_modules`, a pattern"
_SAVED = "a part trained in full stands in `towers`, such as `towers.projector.train: full`"
_METHOD = "`adapter.type: lora | full | peft`"
_WARMUP = "`training.warmup_steps`: below 1 it is a share of all steps"
_DTYPE = "`backbone.dtype` for stored weights, `training.bf16: true` for the arithmetic"
_ATTENTION = "`backbone.attn_implementation: sdpa | flash_attention_2 | ...`"
_WORKERS = "samples are built in the data loader's workers: `training.dataloader_num_workers`"
_BEST = "`evaluation.metric_for_best`; the best checkpoint is then the result"
_RESUME = "resuming is asked for on the command line, see vlft train --help"
_CHECKPOINTING = "`training.gradient_checkpointing: true`, which is non-reentrant"
_ALWAYS = "set by vlft itself; leave it out"
_HUB = "`hub.repo_id: user/name`"
_FINISHED = "`init_from`: run directory or hub:user/name; its adapter is merged into the base"
_STREAMING = "data sets are read lazily by index; leave it out"
_REMOTE_CODE = "code from checkpoints is never run: use a model that transformers itself knows"
_PREFERENCE = "preference and reinforcement learning are not part of vlft; TRL has them"
_LAST = "the learning rate of a part is `towers.<tower>.learning_rate`"

KEYS: dict[str, str] = {
    # host
    "model_name_or_path": _MODEL,
    "base_model": _MODEL,
    "model_name": _MODEL,
    "model_id": _MODEL,
    "model_type": "`backbone.type: clip | image_text_to_text | assembled | causal_lm`",
    "model_revision": "`backbone.revision`",
    "revision_of_model": "`backbone.revision`",
    "vision_tower": "`backbone.vision`, with `backbone.type: assembled`",
    "mm_vision_select_layer": "`backbone.vision_feature_layer`, with `backbone.type: assembled`",
    "processor_type": "`backbone.processor`",
    "tokenizer_name": "`backbone.processor`",
    "trust_remote_code": _REMOTE_CODE,
    "torch_dtype": _DTYPE,
    "pure_bf16": "`backbone.dtype: bfloat16`",
    "precision": _DTYPE,
    "tf32": "`training.extra: {tf32: true}`",
    "flash_attn": _ATTENTION,
    "attn_impl": _ATTENTION,
    "flash_attention": _ATTENTION,
    "sdp_attention": _ATTENTION,
    "use_flash_attention_2": _ATTENTION,
    "load_in_4bit": _QUANTIZATION,
    "load_in_8bit": _QUANTIZATION,
    "quantization_bit": _QUANTIZATION,
    "quantization_method": _QUANTIZATION,
    "quant_bits": _QUANTIZATION,
    "quant_method": _QUANTIZATION,
    "bnb_4bit_quant_type": _QUANTIZATION,
    "bits": _QUANTIZATION,
    # adapter
    "finetuning_type": _METHOD,
    "train_type": _METHOD,
    "tuner_type": _METHOD,
    "sft_type": _METHOD,
    "use_peft": _METHOD,
    "lora_enable": _METHOD,
    "lora_rank": "`adapter.r`",
    "lora_r": "`adapter.r`",
    "rank": "`adapter.r`",
    "alpha": "`adapter.lora_alpha`",
    "dropout": "`adapter.lora_dropout`",
    "lora_target": _SITES,
    "lora_target_modules": _SITES,
    "lora_target_linear": _SITES,
    "target_regex": "`adapter.target_modules`, a pattern over full module names",
    "lora_modules_to_save": _SAVED,
    "modules_to_save": _SAVED,
    "additional_target": _SAVED,
    "pissa_init": "`adapter.init_lora_weights: pissa`",
    "init_weights": "`adapter.init_lora_weights: default | gaussian | pissa`",
    "peft_init_lora_weights": "`adapter.init_lora_weights: default | gaussian | pissa`",
    "peft_use_dora": "`adapter.use_dora`",
    "peft_use_rslora": "`adapter.use_rslora`",
    "lora_bias": "biases are not trained beside LoRA; leave it out",
    "loraplus_lr_ratio": f"LoRA+ is not part of vlft; {_LAST}",
    "adapter_name_or_path": _FINISHED,
    "lora_model_dir": _FINISHED,
    "adapters": _FINISHED,
    # towers
    "freeze_vit": _VISION,
    "freeze_vision_tower": _VISION,
    "tune_vision_tower": _VISION,
    "unfreeze_mm_vision_tower": _VISION,
    "freeze_aligner": _PROJECTOR,
    "freeze_multi_modal_projector": _PROJECTOR,
    "tune_mm_mlp_adapter": _PROJECTOR,
    "freeze_mm_mlp_adapter": _PROJECTOR,
    "freeze_llm": _LANGUAGE,
    "freeze_language_model": _LANGUAGE,
    "freeze_backbone": _LANGUAGE,
    "freeze_mm_modules": "`towers.vision.train: frozen` and `towers.projector.train: frozen`",
    "unfrozen_parameters": "`towers.<tower>.train: full`",
    "vit_lr": "`towers.vision.learning_rate`",
    "mm_vision_tower_lr": "`towers.vision.learning_rate`",
    "vision_lr": "`towers.vision.learning_rate`",
    "aligner_lr": "`towers.projector.learning_rate`",
    "mm_projector_lr": "`towers.projector.learning_rate`",
    "merger_lr": "`towers.projector.learning_rate`",
    "lr_groups": _LAST,
    # data
    "dataset": _TRAIN_DATA,
    "datasets": _TRAIN_DATA,
    "data_path": _TRAIN_DATA,
    "train_dataset": _TRAIN_DATA,
    "dataset_name": _TRAIN_DATA,
    "dataset_dir": "`data.train.path`",
    "media_dir": "`data.train.image_root`",
    "image_folder": "`data.train.image_root`",
    "eval_dataset": "`data.validation: {type: ..., path: ...}`",
    "val_dataset": "`data.validation: {type: ..., path: ...}`",
    "test_datasets": "`data.validation: {type: ..., path: ...}`",
    "val_size": _SPLIT,
    "val_set_size": _SPLIT,
    "split_dataset_ratio": _SPLIT,
    "max_samples": "`data.train.limit`",
    "cutoff_len": "`data.max_length`",
    "max_seq_length": "`data.max_length`",
    "model_max_length": "`data.max_length`",
    "sequence_len": "`data.max_length`",
    "truncation_strategy": "`data.overlong: error | drop | shrink_image`",
    "strict": "`data.on_bad_record: error | skip`",
    "image_max_pixels": _PIXELS,
    "image_min_pixels": _PIXELS,
    "max_pixels": _PIXELS,
    "min_pixels": _PIXELS,
    "image_resolution": _PIXELS,
    "template": _TEMPLATE,
    "chat_template": _TEMPLATE,
    "conversation_template": _TEMPLATE,
    "train_on_inputs": _ANSWERS_ONLY,
    "train_on_prompt": _ANSWERS_ONLY,
    "assistant_only_loss": _ANSWERS_ONLY,
    "completion_only_loss": _ANSWERS_ONLY,
    "packing": _PACKING,
    "neat_packing": _PACKING,
    "sample_packing": _PACKING,
    "padding_free": _PACKING,
    "streaming": _STREAMING,
    "lazy_tokenize": _STREAMING,
    "lazy_preprocess": _STREAMING,
    "preprocessing_num_workers": _WORKERS,
    "dataset_num_proc": _WORKERS,
    "num_workers": _WORKERS,
    # objective
    "stage": _ONE_STAGE,
    "task_type": _ONE_STAGE,
    "rl": _PREFERENCE,
    "rlhf_type": _PREFERENCE,
    "pref_loss": _PREFERENCE,
    "gather_with_grad": "negatives are gathered with their gradient, always; leave it out",
    "local_loss": "negatives are gathered with their gradient, always; leave it out",
    # training
    "lr": "`training.learning_rate`",
    "num_epochs": "`training.num_train_epochs`",
    "epochs": "`training.num_train_epochs`",
    "lr_scheduler": "`training.lr_scheduler_type`",
    "scheduler": "`training.lr_scheduler_type`",
    "warmup_ratio": _WARMUP,
    "warmup": _WARMUP,
    "optimizer": "`training.optim`",
    "wd": "`training.weight_decay`",
    "grad_clip_norm": "`training.max_grad_norm`",
    "batch_size": _GLOBAL_BATCH,
    "micro_batch_size": "`training.per_device_train_batch_size` (samples per process and pass)",
    "per_device_batch_size": "`training.per_device_train_batch_size` (samples per process and "
    "pass)",
    "gradient_accumulation_steps": f"accumulation follows after launch from {_GLOBAL_BATCH}",
    "accum_freq": f"accumulation follows after launch from {_GLOBAL_BATCH}",
    "eval_batch_size": "`training.per_device_eval_batch_size`",
    "activation_checkpointing": _CHECKPOINTING,
    "gradient_checkpointing_kwargs": _CHECKPOINTING,
    "activation_checkpointing_kwargs": _CHECKPOINTING,
    "evaluation_strategy": "`training.eval_strategy`",
    "evals_per_epoch": "`training.eval_strategy: epoch`, or steps with `training.eval_steps`",
    "saves_per_epoch": "`training.save_strategy: epoch`, or steps with `training.save_steps`",
    "logging_dir": "`training.output_dir`; metrics.jsonl stands in the run directory",
    "overwrite_output_dir": "a run directory is never overwritten: give another "
    "`training.output_dir`",
    "early_stopping_steps": "`training.early_stopping_patience`, counted in validations",
    "metric_for_best_model": _BEST,
    "load_best_model_at_end": _BEST,
    "greater_is_better": _BEST,
    "resume_from_checkpoint": _RESUME,
    "data_seed": "`seed`, which also orders the data",
    "wandb_project": "`training.report_to: [wandb]`; the tracker reads its own environment "
    "variables",
    "use_wandb": "`training.report_to: [wandb]`; the tracker reads its own environment variables",
    "push_to_hub": _HUB,
    "hub_model_id": _HUB,
    "do_train": "what is done is the command (vlft train, vlft eval); leave it out",
    "do_eval": "what is done is the command (vlft train, vlft eval); leave it out",
    "remove_unused_columns": _ALWAYS,
    "disable_tqdm": _ALWAYS,
    "logging_nan_inf_filter": _ALWAYS,
    # launch
    "deepspeed": _LAUNCH,
    "fsdp": _LAUNCH,
    "fsdp_config": _LAUNCH,
    "accelerator_config": _LAUNCH,
    "parallelism_config": _LAUNCH,
    "ddp_backend": _LAUNCH,
    "ddp_find_unused_parameters": _LAUNCH,
    "ddp_timeout": _LAUNCH,
    "local_rank": _LAUNCH,
    "world_size": _LAUNCH,
    "num_processes": _LAUNCH,
    "num_gpus": _LAUNCH,
    "device": _LAUNCH,
    "device_map": _LAUNCH,
    "use_cpu": _LAUNCH,
    "no_cuda": _LAUNCH,
    "sequence_parallel_size": _LAUNCH,
    "tensor_parallel_size": _LAUNCH,
}
"""Foreign key to what to write here, or why there is nothing to write."""

TYPES: dict[str, dict[str, str]] = {
    "adapter": {
        "qlora": f"type: lora; {_QUANTIZATION}",
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
        "openclip": "type: clip",
        "open_clip": "type: clip",
    },
    "data": {
        "sharegpt": "type: llava_json",
        "llava": "type: llava_json",
        "chat_template": "type: messages",
        "openai": "type: messages",
        "alpaca": "type: messages, with one user and one assistant turn per record",
        "csv": "type: pairs",
        "tsv": "type: pairs",
    },
    "objective": {
        "sft": "type: language_modeling",
        "causal_lm": "type: language_modeling",
        "infonce": "type: contrastive",
        "clip": "type: contrastive with loss: clip",
        "siglip": "type: contrastive with loss: siglip",
    },
}
"""Section to foreign ``type`` to ours."""
