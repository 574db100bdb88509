"""What several foreign keys are answered with."""

LAUNCH = (
    "processes, devices and sharding belong to the launch file: "
    "accelerate launch --config_file accelerate_configs/<file>.yaml"
)
GLOBAL_BATCH = "`training.global_batch_size` (samples per optimizer step over all processes)"
NF4 = "`backbone.quantization: nf4` (4 bits, double quantization)"
QUANTIZATION = "`backbone.quantization: nf4 | int8`, with `backbone.quantized_towers`"
PACKING = "samples are not packed here yet: leave it out"
PIXELS = (
    "`data.image_tokens_per_sample` bounds the image tokens of a sample, on every host (Qwen2.5-VL "
    "makes one of 28 x 28 pixels); without it, images have the size that the host's processor makes"
)
VIDEO = "video is not read here: leave it out"
TEMPLATE = (
    "the chat template of the host's processor is used; `backbone.processor` names another one"
)
ANSWERS_ONLY = "the loss is on the assistant's answers only, always; leave it out"
SPLIT = "a held-out set is named, not split off: `data.validation`"
ONE_STAGE = "the stage follows from `objective.type` and `data.train`; leave it out"
MODEL = "`backbone.model`, beside `backbone.type` (vlft init --model ID --data FILE finds it)"
TRAIN_DATA = "`data.train: {type: ..., path: ...}`"
SUBSET = "`data.train.subset`"
MIXTURE = "`data.train: {type: mixture, datasets: [...], weights: [...]}`"
COLUMNS = "`data.train` has a field for each column, such as `data.train.question_column`"
TAGS = "`data.train.role_tag` and `data.train.content_tag`, with `data.train.type: sharegpt`"
SYSTEM = "a system turn in the record, or `data.train.system_column`"
VISION = "`towers.vision.train: frozen | full`; adapters go to vision only through `adapter.sites`"
PROJECTOR = "`towers.projector.train: frozen | full`"
LANGUAGE = "`towers.language.train: frozen | full`"
SITES = "`adapter.sites`, such as [language.attention], or `adapter.target_modules`, a pattern"
SAVED = "a part trained in full stands in `towers`, such as `towers.projector.train: full`"
METHOD = "`adapter.type: lora | full | peft`; QLoRA is lora with `backbone.quantization: nf4`"
INIT = "`adapter.init_lora_weights: default | gaussian | pissa`"
WARMUP = "`training.warmup_steps`: below 1 it is a share of all steps"
DTYPE = "`backbone.dtype` for stored weights, `training.bf16: true` for the arithmetic"
ATTENTION = "`backbone.attn_implementation: sdpa | flash_attention_2 | ...`"
HOST_TYPE = (
    "`backbone.type`: clip, siglip, open_clip, vision, image_text_to_text, assembled or causal_lm"
)
OFFLOADING = (
    "activations stay on the device; `training.gradient_checkpointing: true` saves most of them"
)
KERNELS = "kernels are those of torch and transformers: leave it out"
WORKERS = "samples are built in the data loader's workers: `training.dataloader_num_workers`"
CACHE = "nothing is preprocessed or cached before training: leave it out"
BEST = "`evaluation.metric_for_best`; the best checkpoint is then the result"
RESUME = "resuming is asked for on the command line, see vlft train --help"
CHECKPOINTING = "`training.gradient_checkpointing: true`, which is non-reentrant"
ALWAYS = "set by vlft itself; leave it out"
HUB = "`hub.repo_id: user/name`"
FINISHED = "`init_from`: run directory or hub:user/name; its adapter is merged into the base"
MERGE = "vlft merge RUN OUT writes a run as a plain checkpoint"
STREAMING = "data sets are read lazily by index; leave it out"
PREFERENCE = "preference and reinforcement learning are not part of vlft; TRL has them"
LAST = "the learning rate of a part is `towers.<tower>.learning_rate`"
TRACKER = "`training.report_to: [wandb]`; the tracker reads its own environment variables"
TOKENIZER = "the tokenizer stays as it is; `backbone.processor` names another one"
COMMAND = "what is done is the command (vlft train, vlft eval); leave it out"
PLUGINS = "code is not loaded from recipes: leave it out"
GENERATION = "generation belongs to a benchmark: max_new_tokens of eval/*.yaml, decoding is greedy"
OPTIMIZER = (
    "optimizers are those of transformers: `training.optim`, such as galore_adamw or apollo_adamw"
)
