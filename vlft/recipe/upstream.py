"""Names that transformers and PEFT define, read from their sources without importing them.

Importing transformers takes seconds and torch with it; parsing the file that defines the names
takes some hundredths of a second. What cannot be found is not checked here: it is checked when it
is used.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def training_arguments() -> frozenset[str]:
    """Fields of transformers' ``TrainingArguments``."""
    body = _class_body("transformers", "training_args.py", "TrainingArguments")
    return frozenset(
        statement.target.id
        for statement in body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    )


def optimizers() -> frozenset[str]:
    """Values of ``training.optim``."""
    return _enum_values("transformers", "training_args.py", "OptimizerNames")


def schedulers() -> frozenset[str]:
    """Values of ``training.lr_scheduler_type``."""
    return _enum_values("transformers", "trainer_utils.py", "SchedulerType")


def peft_types() -> frozenset[str]:
    """Values of ``adapter.peft_type``."""
    return _enum_values("peft", "utils/peft_types.py", "PeftType")


def _enum_values(package: str, file: str, name: str) -> frozenset[str]:
    return frozenset(
        statement.value.value
        for statement in _class_body(package, file, name)
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _class_body(package: str, file: str, name: str) -> list[ast.stmt]:
    for statement in _parse(package, file):
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return statement.body
    return []


@cache
def _parse(package: str, file: str) -> list[ast.stmt]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent / file
    return ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []
