"""Questions are written in our own words, or in those of a file, character by character."""

import json

import pytest

from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.mmra_prompts import prompts_of

TEMPLATES = {
    "four_options": "Look.    Say it: {question}\n A: {A}  B: {B}  C: {C}  D: {D} \nSay ",
    "three_options": "{question}  [{A}|{B}|{C}]",
    "yes_no": "yes?   {question} ",
}


@pytest.fixture
def written(tmp_path):
    def write(templates, name="mine.json"):
        path = tmp_path / name
        path.write_text(templates if isinstance(templates, str) else json.dumps(templates))
        return str(path)

    return write


def spec(prompt_format="template"):
    return load_benchmark("mmra/generate").model_copy(update={"prompt_format": prompt_format})


def test_our_own_wording():
    write, digest = prompts_of(spec("letters"), None)
    assert digest is None
    assert write("what?", ["a", "b", "c"]) == (
        "what?\nA. a\nB. b\nC. c\nAnswer with the letter of the right option only."
    )
    assert write("is it?", []) == "is it?\nAnswer with Yes or No only."


def test_templates_are_taken_character_by_character(written):
    prompts = prompts_of(spec(), written(TEMPLATES))
    assert prompts.write("a {B} {x}?", ["1", "{A}", "3", "4"]) == (
        "Look.    Say it: a {B} {x}?\n A: 1  B: {A}  C: 3  D: 4 \nSay "
    )
    assert prompts.write("q", ["1", "2", "3"]) == "q  [1|2|3]"
    assert prompts.write("q", []) == "yes?   q "


def test_json_and_yaml_of_one_content_have_one_hash(written):
    lines = "".join(f"{name}: {json.dumps(text)}\n" for name, text in TEMPLATES.items())
    one = prompts_of(spec(), written(TEMPLATES)).digest
    other = prompts_of(spec(), written(lines, "mine.yaml")).digest
    assert one == other
    assert one != prompts_of(spec(), written(TEMPLATES | {"yes_no": "yes? {question} "})).digest


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"yes_no": "{question}"}, r"found yes_no, expected four_options, three_options, yes_no"),
        (["{question}"], r"found no keys, expected four_options"),
        (TEMPLATES | {"yes_no": "what?"}, r"yes_no: expected .* \{question\}, .* there is: none"),
        (TEMPLATES | {"yes_no": 3}, r"yes_no: expected a text"),
        (
            TEMPLATES | {"three_options": "{question} {A} {B} {C} {D}"},
            r"three_options: expected .* there is: \{question\}, \{A\}, \{B\}, \{C\}, \{D\}",
        ),
    ],
)
def test_other_files_are_refused(written, templates, message):
    with pytest.raises(EvaluationError, match=rf"settings\.template: .*mine\.json: {message}"):
        prompts_of(spec(), written(templates))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(EvaluationError, match=r"settings\.template: gone\.yaml cannot be read"):
        prompts_of(spec(), "gone.yaml")


@pytest.mark.parametrize(("prompt_format", "given"), [("template", False), ("letters", True)])
def test_format_and_file_belong_together(written, prompt_format, given):
    path = written(TEMPLATES) if given else None
    with pytest.raises(EvaluationError, match=r"belong together"):
        prompts_of(spec(prompt_format), path)


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'letters'"):
        prompts_of(spec("letter"), None)
