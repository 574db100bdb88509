"""Fields of different sections that exclude each other."""
# ruff: noqa: E501  a table of one case per line

import pytest

from vlft.errors import RecipeError
from vlft.recipe import Recipe, load_recipe, validate

SCENES = "data.train={type: scenes}"
PAIRS = "data.train={type: scenes, task: pairs}"
HELD_OUT = "data.validation={type: scenes, seed: 1}"

GENERATIVE = [
    ([PAIRS], "data.train.task = pairs: a generative host trains on conversations, not on pairs"),
    (["data.train={type: pairs, path: a.tsv}"], "data.train.type = pairs: a generative host"),
    (["objective.type=contrastive"], "objective.type = contrastive: host type assembled is generative: use type: language_modeling"),
    (["adapter.sites=[text.attention]"], "adapter.sites = [text.attention]: 'text.attention' is in no tower of host type assembled"),
    (["adapter.sites=[visions.mlp]"], "Did you mean 'vision.mlp'? Its towers: vision, projector, language"),
    (["adapter={type: dehvf}", "data.image_tokens_per_sample=64"], "data.image_tokens_per_sample = 64: with dehvf images take no tokens of the sequence"),
    (["adapter={type: dehvf}", "towers.projector.train=full"], "towers.projector.train = full: with dehvf images do not pass the projector"),
    (["towers.fuser.learning_rate=1e-3"], "towers.fuser: only adapter.type: dehvf has a fuser, and adapter.type is lora"),
    (["adapter={type: dehvf}", "towers.fuser.train=frozen"], "towers.fuser.train = frozen: the fuser is the adapter's own and always trained"),
    (["adapter={type: dehvf}", "towers.language.learning_rate=1e-3"], "what dehvf trains for these layers is its fuser: write towers.fuser.learning_rate"),
    (["adapter={type: dehvf}", "towers.vision.weight_decay=0.1"], "towers.vision.weight_decay = 0.1: nothing in this tower is trained: set adapter.vision_adapter_dim above 0"),
    (["adapter={type: dehvf}", "towers.projector.learning_rate=1e-3"], "towers.projector.learning_rate = 0.001: with dehvf images do not pass the projector, so nothing in it can be trained: leave it out (the adapter's own is towers.fuser.learning_rate)"),
    (["adapter={type: corda, sites: [language.mlp], mode: kpm}"], "adapter.mode = kpm: kpm keeps what its calibration data stand for"),
    (["adapter={type: corda, sites: [language.mlp], mode: ipm, lora_dropout: 0.1}"], "adapter.lora_dropout = 0.1: dropout would drop components that CorDA took out of the base: use lora_dropout: 0"),
    (["adapter={type: corda, sites: [language.mlp], mode: ipm, use_rslora: true, overrides: {language: {r: 8}}}"], "adapter.use_rslora = true: the export of a run needs one scale, and rsLoRA's follows the rank, which differs by overrides.language.r"),
    (["adapter={type: corda, sites: [language.mlp], mode: ipm, use_rslora: true, merged_qkv: split}"], "which differs by merged_qkv: split"),
    (["adapter={type: corda, sites: [language.mlp], mode: ipm, overrides: {lingual: {r: 8}}}"], "adapter.overrides.lingual: neither a tower of host type assembled nor one of adapter.sites. Did you mean 'language'?"),
    (["adapter={type: corda, sites: [language.mlp], mode: ipm, calibration: {data: {type: scenes, task: pairs}}}"], "adapter.calibration.data.task = pairs: a generative host trains on conversations"),
    (["backbone.quantization=nf4", "adapter={type: corda, sites: [language.mlp], mode: ipm}"], "adapter.save = portable (default): what is trained sits on the residual as nf4 stores it at 'language.mlp'"),
    (["adapter={type: corda, sites: [language.mlp]}"], "adapter.mode: missing key"),
    (["adapter={type: dehvf, sites: [vision.mlp]}"], "'vision.mlp': DEHVF's memory stands beside the language model's feed-forward networks"),
    (["adapter={type: dehvf, groups: [[1, 2], [2]]}"], "expected numbers of layers from 1, each in one group at most"),
    (["adapter={type: dehvf, num_patches: 200}"], "expected a square number, such as 256 = 16 x 16"),
    (["adapter={type: dehvf, query: hidden_state}"], "hidden_state"),
    (["towers.text.train=frozen"], "towers.text: host type assembled has no such tower"),
    (["towers.language.train=full"], "towers.language.train = full: all its weights are trained, and the adapter sits at 'language.attention'"),
    (["towers.vision.learning_rate=1e-5"], "towers.vision.learning_rate = 1.0e-05: nothing in this tower is trained"),
    (["adapter.type=full", "towers={vision: {train: frozen}, projector: {train: frozen}, language: {train: frozen}}"], "adapter.type = full: full trains whole towers, and all of them are frozen"),
    (["adapter.type=full", "backbone.dtype=float16"], "backbone.dtype = float16: float16 weights lose small updates"),
    (["training.fp16=true", "backbone.dtype=bfloat16"], "training.fp16 = true: weights are bfloat16"),
    (["training.bf16=true", "backbone.dtype=float16"], "training.bf16 = true: weights are float16"),
    (["backbone.attn_implementation=flash_attention_2"], "it computes in half precision only"),
    ([SCENES, "data.validation={type: scenes, offset: 4000}"], "data.validation.offset = 4000: samples 0 to 4095 of seed 0 are trained on: use offset: 4096"),
    (["data.train={type: messages, path: a.jsonl}", "data.validation={type: messages, path: a.jsonl, limit: 5}"], "data.validation.path = a.jsonl: records of it are trained on"),
    (["data.train={type: captions, path: a, split: train+restval, prompt: say}", "data.validation={type: captions, path: a, split: restval, prompt: say}"], "data.validation.path = a: records of it are trained on"),
    (["data.train={type: captions, path: a, prompt: ' '}"], "nothing is asked: write what, such as `a picture of`"),
    (["data.train={type: scienceqa, path: a, split: trainval}", "data.validation={type: scienceqa, path: a, split: minival}"], "data.validation.path = a: records of it are trained on"),
    (["training.eval_strategy=epoch"], "training.eval_strategy = epoch: there is no validation set"),
    (["training.optim=adamw_troch"], "training.optim = adamw_troch: unknown name. Did you mean 'adamw_torch'"),
    (["training.lr_scheduler_type=cosin"], "Did you mean 'cosine'?"),
    (["adapter={type: peft, peft_type: IA33, sites: [language.mlp]}"], "adapter.peft_type = IA33: unknown name. Did you mean 'IA3'?"),
    (["training.extra={learning_rate: 1}"], "training.extra.learning_rate = 1: this is a field of its own: write training.learning_rate"),
    (["training.extra={seed: 1}"], "write seed at the top"),
    (["training.extra={deepspeed: ds.json}"], "training.extra.deepspeed = ds.json: processes, devices and sharding belong to the launch file"),
    (["training.extra={local_rank: 0}"], "belong to the launch file"),
    (["training.extra={gradient_accumulation_steps: 2}"], "accumulation follows after launch"),
    (["training.extra={label_smoothing: 0.1}"], "training.extra.label_smoothing = 0.1: unknown field of TrainingArguments. Did you mean 'label_smoothing_factor'?"),
    ([HELD_OUT, "training.eval_strategy=epoch", "training.early_stopping_patience=2"], "early stopping watches a metric: add evaluation.metric_for_best: loss"),
    ([HELD_OUT, "training.eval_strategy=epoch", "training.save_strategy=no", "evaluation.metric_for_best=loss"], "training.save_strategy = no: the best checkpoint by loss cannot be kept: use save_strategy: epoch"),
    (["backbone.quantization=nf4", "adapter.type=full"], "backbone.quantization = nf4: full fine-tuning trains and saves the weights themselves: use quantization: none"),
    (["backbone.quantization=nf4", "adapter.sites=[vision.attention]", "towers.language.train=full"], "towers.language.train = full: its weights are stored as nf4 and cannot be trained"),
    (["backbone.quantization=nf4", "backbone.quantized_towers=[projector]"], "'projector' cannot be quantized in host type assembled (projectors and heads stay exact): use some of vision, language"),
    (["backbone.quantization=int8", "backbone.quantized_towers=[]"], "backbone.quantized_towers = []: nothing is named: use some of vision, language"),
    (["backbone.quantization=nf4", "adapter.init_lora_weights=pissa"], "adapter.init_lora_weights = pissa: PiSSA takes principal components out of the weights"),
    (["backbone.quantization=int8", "adapter.use_dora=true"], "adapter.use_dora = true: PEFT's DoRA loses the scales of int8 layers: use backbone.quantization: nf4"),
    (["backbone.quantization=nf4", "adapter={type: peft, peft_type: LOHA, sites: [language.mlp]}"], "adapter.peft_type = LOHA: it cannot compute with weights stored as nf4 at 'language.mlp'"),
    (["hub.repo_id=me/mine"], "hub.repo_id = me/mine: this version trains and measures, but does not push yet"),
    (["evaluation.metric_for_best=loss"], "evaluation.metric_for_best = loss: it is measured at validations, and there is no validation set"),
    ([HELD_OUT, "training.eval_strategy=steps", "training.eval_steps=10", "evaluation.metric_for_best=loss"], "training.save_strategy = epoch (default): the best checkpoint must be saved when it is measured: use save_strategy: steps"),
    ([HELD_OUT, "training.eval_strategy=steps", "training.eval_steps=10", "training.save_strategy=steps", "training.save_steps=25", "evaluation.metric_for_best=loss"], "training.save_steps = 25: the best checkpoint must be saved when it is measured: use eval_steps (10)"),
]  # fmt: skip

CONTRASTIVE = [
    ([SCENES], "data.train.task = question_answering"),
    (["data.train={type: messages, path: a.jsonl}"], "a contrastive host trains on image-text pairs"),
    (["objective={type: language_modeling}"], "objective.type = language_modeling: host type clip is contrastive: use type: contrastive"),
    (["adapter={type: lora, sites: [language.mlp]}"], "Its towers: vision, projector, text"),
    (["towers.language.train=frozen"], "towers.language: host type clip has no such tower"),
]  # fmt: skip

TEXT_ONLY = [
    (["data.train={type: scenes}"], "data.train.type = scenes: host type causal_lm sees no images"),
    (
        ["data.train={type: captions, path: a, prompt: say}"],
        "data.train.type = captions: host type causal_lm sees no images",
    ),
    (["adapter.sites=[vision.mlp]"], "Its towers: language"),
    (["towers.vision.train=frozen"], "host type causal_lm has no such tower. Its towers: language"),
]


def ids(rows):
    return [" ".join(overrides) for overrides, _ in rows]


@pytest.mark.parametrize(("overrides", "message"), GENERATIVE, ids=ids(GENERATIVE))
def test_generative(write, generative, overrides, message):
    refused(write(generative), overrides, message)


@pytest.mark.parametrize(("overrides", "message"), CONTRASTIVE, ids=ids(CONTRASTIVE))
def test_contrastive(write, contrastive, overrides, message):
    refused(write(contrastive), overrides, message)


@pytest.mark.parametrize(("overrides", "message"), TEXT_ONLY, ids=ids(TEXT_ONLY))
def test_text_only(write, generative, overrides, message):
    refused(
        write(generative), ["backbone={type: causal_lm, config: tiny_llama}", *overrides], message
    )


def refused(path, overrides, message):
    with pytest.raises(RecipeError) as error:
        load_recipe(path, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("command line: ") or "(default)" in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [SCENES, HELD_OUT, "training.eval_strategy=epoch", "evaluation.metric_for_best=loss", "training.early_stopping_patience=3"],
        [SCENES, "data.validation={type: scenes, offset: 4096}"],
        ["data.train={type: captions, path: a, split: train+restval, prompt: say}", "data.validation={type: captions, path: a, split: val, prompt: say}"],
        ["data.train={type: scienceqa, path: a}", "data.validation={type: scienceqa, path: a, split: val}"],
        ["adapter.type=full", "towers={vision: {train: frozen}, projector: {learning_rate: 1e-3}}"],
        ["adapter.sites=[vision.attention, projector]", "towers.vision.learning_rate=1e-5"],
        ["adapter={type: lora, target_modules: '.*fc1'}", "towers.vision.learning_rate=1e-5"],
        ["towers.projector.train=full", "towers.projector.learning_rate=1e-3"],
        ["training.extra={tf32: true, label_smoothing_factor: 0.1}"],
        ["backbone.attn_implementation=flash_attention_2", "training.bf16=true"],
        [HELD_OUT, "evaluation={suite: scienceqa, metric_for_best: accuracy}"],
        ["backbone={type: causal_lm, model: a/b}", "data.train={type: messages, path: a.jsonl}"],
    ],
)  # fmt: skip
def test_what_goes_together_is_accepted(write, generative, overrides):
    validate(load_recipe(write(generative), overrides).recipe)


def test_the_line_of_the_field_is_named(write, contrastive):
    path = write(contrastive + "data:\n  train:\n    type: scenes\n    task: captioning\n")
    with pytest.raises(RecipeError, match=r"^recipe\.yaml:7: data\.train\.task = captioning: "):
        load_recipe(path)


def test_a_recipe_built_in_python_is_checked_without_origins():
    recipe = Recipe(
        backbone={"type": "clip", "config": "tiny_clip"},
        adapter={"type": "full"},
        objective={"type": "language_modeling"},
    )
    with pytest.raises(RecipeError, match=r"^objective\.type = language_modeling: host type clip"):
        validate(recipe)


def test_all_contradictions_are_listed(write, generative):
    with pytest.raises(RecipeError) as error:
        load_recipe(
            write(generative), [PAIRS, "objective.type=contrastive", "towers.text.train=full"]
        )
    assert len(str(error.value).splitlines()) == 3
