import pytest

from vlft.recipe import upstream


@pytest.mark.slow
def test_the_names_are_those_that_the_libraries_define():
    from dataclasses import fields

    from peft import PeftType
    from transformers import SchedulerType, TrainingArguments
    from transformers.training_args import OptimizerNames

    assert upstream.training_arguments() == {field.name for field in fields(TrainingArguments)}
    assert upstream.optimizers() == {name.value for name in OptimizerNames}
    assert upstream.schedulers() == {name.value for name in SchedulerType}
    assert upstream.peft_types() <= {name.value for name in PeftType}  # own types come on top


def test_what_is_not_installed_gives_no_names(monkeypatch):
    monkeypatch.setattr(upstream, "find_spec", lambda name: None)
    upstream._parse.cache_clear()
    try:
        assert upstream.optimizers() == frozenset()
        assert upstream.training_arguments() == frozenset()
    finally:
        upstream._parse.cache_clear()
