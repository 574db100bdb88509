"""What a user reads after a mistake: file and line, key, value, what was expected, what next."""
# ruff: noqa: E501  a table of one case per line

import pytest

from vlft.errors import RecipeError
from vlft.recipe import load_recipe

# A recipe of one section per line, and the lines that a row replaces or adds.
BACKBONE, ADAPTER, OBJECTIVE, MORE = 1, 2, 3, 4

BAD = [
    # unknown keys
    (MORE, "training: {learning_rat: 1e-4}", "recipe.yaml:4: training.learning_rat = 1e-4: unknown key. Did you mean 'learning_rate'? Available: adam_beta1"),
    (MORE, "trainingg: {bf16: true}", "recipe.yaml:4: trainingg: unknown key. Did you mean 'training'?"),
    (MORE, "learning_rate: 1e-4", "recipe.yaml:4: learning_rate = 1e-4: unknown key. It belongs in training.learning_rate"),
    (MORE, "training: {lora_alpha: 8}", "recipe.yaml:4: training.lora_alpha = 8: unknown key. It belongs in adapter.lora_alpha"),
    (MORE, "training: {label_smoothing_factor: 0.1}", "it is training.extra.label_smoothing_factor"),
    (ADAPTER, "adapter: {type: full, r: 8}", "recipe.yaml:2: adapter.r = 8: unknown key. It goes with type corda or dehvf or lora"),
    (MORE, "data: {train: {type: scenes, path: a.json}}", "data.train.path = a.json: unknown key. It goes with type messages or sharegpt or"),
    (MORE, "towers: {visoin: {train: full}}", "recipe.yaml:4: towers.visoin: unknown value. Did you mean 'vision'? Available: vision, projector"),
    # types of sections
    (BACKBONE, "backbone: {type: clipp, config: tiny_clip}", "recipe.yaml:1: backbone.type = clipp: unknown type. Did you mean 'clip'? Available: assembled, causal_lm, clip, image_text_to_text"),
    (BACKBONE, "backbone: {config: tiny_llava}", "recipe.yaml:1: backbone.type: missing key. Available: assembled"),
    (BACKBONE, "", "recipe.yaml: backbone: missing section. Give it a type: assembled, causal_lm, clip"),
    (ADAPTER, "adapter: {type: qlora, sites: [a]}", "recipe.yaml:2: adapter.type = qlora: unknown type. Here: type: lora, with `backbone.quantization: nf4`"),
    (MORE, "data: {train: {type: alpaca, path: x}}", "data.train.type = alpaca: unknown type. Here: type: question_answer"),
    # wrong kinds of values
    (MORE, "training: {global_batch_size: many}", "training.global_batch_size = many: expected a whole number, not text"),
    (MORE, "training: {global_batch_size: 8.5}", "training.global_batch_size = 8.5: expected a whole number, not a number"),
    (MORE, "training: {learning_rate: '1e-4'}", "training.learning_rate = 1e-4: expected a number, not text; remove the quotes"),
    (MORE, "training: {learning_rate: .nan}", "training.learning_rate = .nan: expected a"),
    (MORE, "training: {bf16: on}", "training.bf16 = on: expected true or false, not text; write true"),
    (MORE, "training: {report_to: wandb}", "training.report_to = wandb: expected a list, such as [a, b], not text; write [wandb]"),
    (MORE, "training: 3", "recipe.yaml:4: training = 3: expected a section, that is a mapping of keys, not a whole number"),
    (BACKBONE, "backbone: {type: clip, model: openai/clip, revision: 1234567}", "backbone.revision = 1234567: expected text, not a whole number; put it in quotes"),
    (ADAPTER, "adapter: {type: lora, sites: [1]}", "recipe.yaml:2: adapter.sites.0 = 1: expected text"),
    (MORE, "training: {extra: x}", "training.extra = x: expected a mapping, not text"),
    (MORE, "training:", "training = null: expected a section, that is a mapping of keys, not null"),
    # values out of bounds or not among the names
    (MORE, "training: {num_train_epochs: 0}", "training.num_train_epochs = 0: expected a number greater than 0"),
    (ADAPTER, "adapter: {type: lora, sites: [a], lora_dropout: 1}", "adapter.lora_dropout = 1: expected a number less than 1"),
    (MORE, "seed: -1", "recipe.yaml:4: seed = -1: expected a number at least 0"),
    (MORE, "training: {eval_strategy: step}", "training.eval_strategy = step: unknown value. Did you mean 'steps'? Available: no, steps, epoch"),
    (BACKBONE, "backbone: {type: clip, config: tiny_clip, dtype: bf16}", "backbone.dtype = bf16: unknown value. Did you mean 'bfloat16'?"),
    (MORE, "target: {benchmark: scienceqa, source: x}", "recipe.yaml:4: target.metric: missing key (Metric of that benchmark)"),
    (MORE, "hub: {repo_id: my adapter}", "hub.repo_id = my adapter: expected user/name"),
    # fields of one section that contradict each other
    (BACKBONE, "backbone: {type: clip}", "recipe.yaml:1: backbone.model: nothing says what to build: give `model`"),
    (BACKBONE, "backbone: {type: clip, model: a/b, config: tiny_clip}", "recipe.yaml:1: backbone.model = a/b: `model` and `config` exclude each other"),
    (BACKBONE, "backbone: {type: clip, model: a/b, weights: c/d}", "backbone.weights = c/d: `weights` goes with `config`"),
    (BACKBONE, "backbone: {type: assembled, vision: a/b}", "backbone.language: `language` is not given"),
    (BACKBONE, "backbone: {type: assembled, model: a/b}", "write type: image_text_to_text for a complete model"),
    (BACKBONE, "backbone: {type: clip, config: tiny_clip, revision: main}", "backbone.revision = main: there is no checkpoint"),
    (ADAPTER, "adapter: {type: lora}", "recipe.yaml:2: adapter.sites: nothing says where the adapter goes"),
    (ADAPTER, "adapter: {type: lora, target_modules: [q_proj, v_proj]}", "'.*language_model.*\\.(q_proj|v_proj)'"),
    (ADAPTER, "adapter: {type: lora, target_modules: '(q_proj'}", "not a regular expression"),
    (ADAPTER, "adapter: {type: lora, sites: [a, a]}", "'a' is named twice"),
    (ADAPTER, "adapter: {type: lora, sites: [a], init_lora_weights: pissa, lora_dropout: 0.1}", "adapter.lora_dropout = 0.1: dropout would drop principal components"),
    (ADAPTER, "adapter: {type: lora, sites: [a], init_lora_weights: pissa, use_dora: true}", "adapter.use_dora = true: DoRA takes its magnitudes from the base"),
    (ADAPTER, "adapter: {type: peft, peft_type: IA3, sites: [a], options: {target_modules: x}}", "adapter.options: `target_modules` is filled in from `sites`"),
    (MORE, "training: {bf16: true, fp16: true}", "training.fp16 = true: bf16 and fp16 exclude each other"),
    (MORE, "training: {warmup_steps: 2.5}", "training.warmup_steps = 2.5: expected whole steps, or a share"),
    (MORE, "training: {eval_strategy: steps}", "training.eval_strategy = steps: steps between them are not given: add eval_steps"),
    (MORE, "training: {save_steps: 100}", "training.save_steps = 100: has no effect with save_strategy: epoch"),
    (MORE, "training: {early_stopping_patience: 2}", "training.early_stopping_patience = 2: nothing is validated"),
    (MORE, "training: {lr_scheduler_type: reduce_lr_on_plateau}", "it follows the validation loss"),
    (MORE, "evaluation: {limit: 10}", "evaluation.limit = 10: there is no `suite` to limit"),
    (MORE, "evaluation: {metric_for_best: accuracy}", "a metric other than `loss` comes from a benchmark"),
    (MORE, "target: {benchmark: b, metric: m, source: s, status: reproduced}", "target.status = reproduced: there is no published `value`"),
    (MORE, "data: {train: {type: scenes, grid: 9}}", "data.train.image_size: a grid of 9 leaves cells under 8 pixels: use at least 72"),
    (MORE, "data: {train: {type: scenes, task: captioning, questions: [color]}}", "task captioning asks no questions"),
    (MORE, "data: {train: {type: pairs, path: a.tsv, text_column: filepath}}", "image and caption cannot share one column"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "line", "message"), BAD, ids=[row[1] or "empty" for row in BAD])
def test_the_message_says_what_to_do(write, generative, place, line, message):
    lines = [*generative.splitlines(), ""]
    lines[place - 1] = line
    with pytest.raises(RecipeError) as error:
        load_recipe(write("\n".join(lines)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("recipe.yaml")


def test_each_problem_has_its_line_in_order_of_the_file(write, generative):
    text = generative + "training:\n  bf16: yes\n  learning_rat: 1\nseed: x\n"
    with pytest.raises(RecipeError) as error:
        load_recipe(write(text), ["training.max_steps=0"])
    starts = [line.split(" ")[0] for line in str(error.value).splitlines()]
    assert starts == ["recipe.yaml:5:", "recipe.yaml:6:", "recipe.yaml:7:", "command"]
    assert "command line: training.max_steps = 0: expected" in str(error.value)


def test_many_problems_are_cut_short(write, generative):
    keys = ", ".join(f"x{number}: 1" for number in range(9))
    with pytest.raises(RecipeError) as error:
        load_recipe(write(generative + f"training: {{{keys}}}\n"))
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "... and 4 more"


def test_a_problem_of_the_base_is_located_in_the_base(write, generative):
    write("training:\n  bf16: 1\n", "base.yaml")
    with pytest.raises(RecipeError, match=r"^base\.yaml:2: training\.bf16 = 1"):
        load_recipe(write("extends: base.yaml\n" + generative))


def test_long_values_are_shortened(write, generative):
    with pytest.raises(RecipeError) as error:
        load_recipe(write(generative), [f"training.bf16={'x' * 500}"])
    assert len(str(error.value)) < 200
