from pathlib import Path

import pytest

from vlft.errors import EvaluationError, RecipeError, UnknownNameError
from vlft.evaluation import asking, mmeb_members, mmra_prompts
from vlft.evaluation.benchmark import (
    benchmark_names,
    described,
    load_benchmark,
    load_suite,
    suite_names,
)
from vlft.evaluation.captions.tokenizers import TOKENIZERS
from vlft.evaluation.metrics import NORMALIZATIONS
from vlft.evaluation.mmra_parse import POLICIES
from vlft.evaluation.options import EXTRACTIONS
from vlft.evaluation.scienceqa import extraction, prompts
from vlft.evaluation.scorers import (
    SCORERS,
    caption_choice,
    captioning,
    classification,
    multiple_choice,
    retrieval,
)
from vlft.recipe.data import Scenes
from vlft.recipe.load import load_recipe
from vlft.recipe.shipped import find_shipped, list_shipped

PROMPT_FORMATS = {
    "caption_choice": caption_choice.PROMPT_FORMATS,
    "captioning": {*asking.PROMPT_FORMATS, *captioning.PAIR_PROMPTS},
    "classification": classification.PROMPT_FORMATS,
    "mmeb": mmeb_members.PROMPT_FORMATS,
    "mmra": mmra_prompts.PROMPT_FORMATS,
    "mmra_generate": mmra_prompts.PROMPT_FORMATS,
    "multiple_choice": multiple_choice.PROMPT_FORMATS,
    "option_likelihood": multiple_choice.PROMPT_FORMATS,
    "question_answering": asking.PROMPT_FORMATS,
    "retrieval": retrieval.PROMPT_FORMATS,
    "scienceqa": prompts.PROMPT_FORMATS,
    "scienceqa_likelihood": prompts.PROMPT_FORMATS,
    "short_answers": asking.PROMPT_FORMATS,
}

READINGS = {
    *NORMALIZATIONS,
    *EXTRACTIONS,
    *POLICIES,
    *TOKENIZERS,
    *extraction.EXTRACTIONS,
    extraction.LETTER_LOGPROB,
    "none",
}

DECLARATION = """\
version: 1
description: Mine.
scorer: question_answering
data:
  type: scenes
  seed: 1000
  num_samples: 8
prompt_format: as_recorded
max_new_tokens: 4
extraction: plain
metric: accuracy
expected_n: 8
license: CC0
"""


@pytest.fixture
def declare(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def load(name):
    """Load a shipped benchmark; those on one's own files get one."""
    return load_benchmark(name, ["data.path=mine.jsonl"] if name.startswith("custom/") else [])


@pytest.mark.parametrize("name", benchmark_names())
def test_shipped_benchmarks_name_what_exists(name):
    spec = load(name)
    assert spec.name.partition(":")[0] == name
    assert spec.scorer in SCORERS
    assert spec.prompt_format in PROMPT_FORMATS[spec.scorer]
    assert spec.extraction in READINGS
    assert (spec.expected_n is None) == name.startswith("custom/")


@pytest.mark.parametrize("name", suite_names())
def test_suites_list_benchmarks(name):
    assert {spec.name for spec in load_suite(name)} <= set(benchmark_names())


def test_every_benchmark_on_scenes_is_in_the_suite():
    on_scenes = {name for name in benchmark_names() if name.startswith("scenes/")}
    assert {spec.name for spec in load_suite("scenes")} == on_scenes


@pytest.mark.parametrize("name", benchmark_names())
def test_evaluation_never_draws_from_a_world_that_a_recipe_trains_on(name):
    data = load(name).data
    if isinstance(data, Scenes):
        assert data.seed >= 1000


@pytest.mark.parametrize("name", list_shipped("recipes"))
def test_recipes_leave_the_seeds_of_evaluation_alone(name):
    data = load_recipe(find_shipped("recipes", name)).recipe.data
    for section in (data.train, data.validation):
        assert not isinstance(section, Scenes) or section.seed < 1000


def test_a_suite_name_may_be_one_benchmark():
    assert [spec.name for spec in load_suite("scenes/retrieval")] == ["scenes/retrieval"]


def test_a_name_may_be_the_path_of_the_file():
    for spelled in ("scenes/retrieval.yaml", "eval/scenes/retrieval.yaml"):
        assert load_benchmark(spelled) == load_benchmark("scenes/retrieval")


def test_a_file_of_ones_own_is_read(declare):
    spec = load_benchmark(declare(DECLARATION))
    assert (spec.name, spec.expected_n) == ("mine", 8)
    assert load_suite(declare(DECLARATION)) == (spec,)


def test_an_unknown_name_names_the_nearest_and_where_all_are():
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'scenes/retrieval'\? `vlft list benchmarks`"
    ):
        load_suite("scene/retrieval")


def test_a_suite_of_ones_own_names_files_beside_it_and_shipped_ones(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: scenes/retrieval\nexpected_n: 3\n")
    suite = tmp_path / "suite.yaml"
    suite.write_text("description: Mine.\nbenchmarks: [mine.yaml, scenes/question_answering]\n")
    mine, shipped = load_suite(str(suite))
    assert (mine.name, mine.expected_n) == ("mine", 3)
    assert mine.scorer == load_benchmark("scenes/retrieval").scorer
    assert shipped == load_benchmark("scenes/question_answering")


@pytest.mark.parametrize("name", ["aro", "suites/aro", "eval/suites/aro.yaml"])
def test_a_shipped_suite_goes_by_its_name_and_its_place(name):
    assert load_suite(name) == load_suite("aro")
    assert len(load_suite(name)) == 4


def test_all_that_is_shipped_says_what_it_is():
    assert all(described(name).endswith(".") for name in benchmark_names())
    assert all(described(f"suites/{name}").endswith(".") for name in suite_names())


def test_overrides_change_the_data_the_revision_and_the_name():
    declared = load_benchmark("scenes/question_answering")
    small = load_benchmark("scenes/question_answering", ["data.num_samples=4", "data.seed=7"])
    other = load_benchmark("scenes/question_answering", ["data.questions=[color]"])
    assert (small.data.num_samples, small.data.seed, small.expected_n) == (4, 7, None)
    assert other.data.questions == ("color",)
    assert small.name == "scenes/question_answering:data.num_samples=4:data.seed=7"
    assert len({spec.dataset_revision for spec in (declared, small, other)}) == 3
    assert len({spec.name for spec in (declared, small, other)}) == 3


def test_the_order_of_overrides_does_not_matter():
    changes = ["data.num_samples=4", "data.seed=7"]
    one = load_benchmark("scenes/question_answering", changes)
    assert one == load_benchmark("scenes/question_answering", changes[::-1])


def test_of_two_overrides_for_one_key_the_later_holds_and_names(declare):
    first, second = "data.seed=7", "data.seed=8"
    spec = load_benchmark("scenes/question_answering", [first, second])
    assert spec.data.seed == 8
    assert spec == load_benchmark("scenes/question_answering", [second])


def test_a_part_of_the_data_sets_keeps_the_expected_number_of_all():
    part = "data.datasets=[NIGHTS,RefCOCO]"
    assert load_benchmark("mmeb/image", [part]).expected_n == 36000
    assert load_benchmark("mmeb/image", [part, "expected_n=2000"]).expected_n == 2000
    assert load_benchmark("mmeb/image", [part, "data.path=mine"]).expected_n is None


def test_captions_examples_tags_and_seeds_change_no_number_of_records():
    shown = load_benchmark("scienceqa/test_official", ["data.captions=mine.json", "data.shots=[a]"])
    assert shown.expected_n == 4241
    drawn = ["data.seed=2", "data.tags=mine.jsonl"]
    assert load_benchmark("aro/coco_order", drawn).expected_n == 25010
    assert load_benchmark("aro/coco_order", [*drawn, "data.path=mine"]).expected_n is None


def test_captions_are_measured_image_by_image_and_not_as_they_are_learned():
    learned = "data={type: captions, path: a.json, prompt: say}"  # a record for every caption
    with pytest.raises(EvaluationError, match=r"data\.type: unknown type 'captions'.*karpathy"):
        load_benchmark("custom/caption", [learned])
    mixed = f"data={{type: mixture, datasets: [{{type: pairs, path: a.tsv}}, {{{learned[6:-1]}}}]}}"
    with pytest.raises(EvaluationError, match=r"data\.datasets\.1\.type: unknown type 'captions'"):
        load_benchmark("custom/caption", [mixed])


def test_a_misspelled_field_of_a_mixtures_data_set_is_told_with_those_of_its_format():
    mixed = "data={type: mixture, datasets: [{type: pairs, path: a.tsv, texts_column: b}]}"
    message = r"data\.datasets\.0\.texts_column: unknown field .* Did you mean 'text_column'\?"
    with pytest.raises(EvaluationError, match=message):
        load_benchmark("custom/caption", [mixed])


def test_decoding_alone_keeps_the_expected_number():
    spec = load_benchmark("scenes/question_answering", ["max_new_tokens=2"])
    assert (spec.expected_n, spec.max_new_tokens) == (2048, 2)


def test_the_revision_depends_on_what_is_drawn_and_not_on_how_it_is_written(declare):
    explicit = DECLARATION.replace("  seed:", "  jitter: false\n  seed:")
    other = DECLARATION.replace("  seed:", "  jitter: true\n  seed:")
    plain, same, changed = (
        load_benchmark(declare(text)).dataset_revision for text in (DECLARATION, explicit, other)
    )
    assert plain == same
    assert plain != changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scorer:", "scorr:", r"mine.yaml:3: scorr: unknown field .* Did you mean 'scorer'\?"),
        ("  seed:", "  sed:", r"mine.yaml:6: data.sed: unknown field .* Did you mean 'seed'\?"),
        ("num_samples: 8", "num_samples: many", r"mine.yaml:7: data.num_samples = 'many': "),
        ("license: CC0\n", "", "license: Field required"),
        ("version: 1", "version: 0", "version = 0"),
        ("version: 1", "version: '1'", "version = '1'"),
        ("type: scenes", "type: scens", "data"),
        ("seed: 1000\n  num_samples: 8", "path: x.json", "data.path: unknown field"),
        ("metric: accuracy", "tie_rule: never\nmetric: accuracy", "tie_rule = 'never'"),
    ],
)
def test_a_bad_declaration_names_file_line_and_field(declare, old, new, message):
    assert old in DECLARATION
    with pytest.raises(EvaluationError, match=message) as caught:
        load_benchmark(declare(DECLARATION.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_data_in_files_are_pinned(declare):
    start, end = DECLARATION.split("data:\n")
    end = end.split("num_samples: 8\n")[1]
    files = "data:\n  type: messages\n  path: x.jsonl\n"
    with pytest.raises(EvaluationError, match="`revision: content` takes a hash"):
        load_benchmark(declare(start + files + end))
    spec = load_benchmark(declare(start + "revision: 0a1b2c3\n" + files + end))
    assert spec.dataset_revision == "0a1b2c3"


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "a: 1\na: 2"])
def test_what_is_no_declaration_is_refused(declare, text):
    with pytest.raises((RecipeError, EvaluationError)) as caught:
        load_benchmark(declare(text))
    assert Path(declare(text)).name in str(caught.value)


def test_a_benchmark_on_ones_own_file_asks_for_it():
    with pytest.raises(EvaluationError, match=r"custom/vqa\.yaml:5: data\.path: name your file"):
        load_benchmark("custom/vqa")


def test_ones_own_files_are_pinned_by_their_content(tmp_path):
    one, same, other = (tmp_path / folder / "mine.jsonl" for folder in "abc")
    for path, text in ((one, "1"), (same, "1"), (other, "2")):
        path.parent.mkdir()
        path.write_text(text)
    first, second, third = (
        load_benchmark("custom/vqa", [f"data.path={path}"]).dataset_revision
        for path in (one, same, other)
    )
    assert first == second
    assert first != third
    assert first.startswith("sha256-")


def test_the_revision_of_a_folder_of_classes_knows_the_classes(tmp_path):
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"12")
    spec = load_benchmark("custom/classification", [f"data.path={tmp_path}"])
    before = spec.dataset_revision
    (tmp_path / "dog" / "2.png").rename(tmp_path / "cat" / "2.png")
    assert spec.dataset_revision != before


def test_a_file_of_ones_own_that_is_not_there_is_named():
    spec = load_benchmark("custom/vqa", ["data.path=gone.jsonl"])
    with pytest.raises(EvaluationError, match=r"data\.path = gone\.jsonl: there is no such file"):
        _ = spec.dataset_revision


def test_a_misspelled_file_of_a_suite_is_looked_for_beside_the_suite(tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text("description: d\nbenchmarks: [mine.yaml]\n")
    with pytest.raises(UnknownNameError) as caught:
        load_suite(str(suite))
    assert str(tmp_path / "mine.yaml") in str(caught.value)
    suite.write_text("description: d\nbenchmarks: [scenes/retrieval, eval/scenes/retrieval.yaml]\n")
    assert {spec.name for spec in load_suite(str(suite))} == {"scenes/retrieval"}
