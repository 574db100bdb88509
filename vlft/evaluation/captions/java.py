"""What needs Java: COCO's own tokenizer, METEOR and SPICE, through the package pycocoevalcap.

Nothing here is imported before a benchmark or ``--policy`` asks for it by name.
"""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from vlft.errors import EvaluationError

PACKAGE = "pycocoevalcap"

PUNCTUATION = frozenset(
    [*("''", "'", "``", "`"), *("-LRB-", "-RRB-", "-LCB-", "-RCB-"), *".?!,:;-", "--", "..."]
)
"""Tokens that COCO's evaluation drops. It asks for lower case, so the brackets in capitals never
come up and brackets stay."""


def ptb_java(texts: Sequence[str]) -> list[list[str]]:
    """Split captions with the tokenizer of Stanford CoreNLP, as COCO's evaluation calls it.

    Args:
        texts: Captions; blanks and line breaks in them count as one blank.

    Raises:
        EvaluationError: Java or the package is not there, or the program fails.
    """
    (jar,) = _folder("ptb-java").glob("tokenizer/stanford-corenlp-*.jar")
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    command = ["java", "-Dfile.encoding=UTF-8", "-cp", str(jar)]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    done = subprocess.run(
        command, input=lines.encode(errors="replace"), capture_output=True, check=False
    )
    found = done.stdout.decode(errors="replace").split("\n")[:-1]
    if done.returncode != 0 or len(found) != len(texts):
        said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        raise EvaluationError(
            f"extraction ptb-java: the tokenizer gave {len(found)} lines for {len(texts)} captions "
            f"({said or 'no message'}); use extraction ptb-like"
        )
    return [[word for word in line.split() if word not in PUNCTUATION] for line in found]


def java_metric(
    name: str,
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
) -> tuple[float, list[float]]:
    """Return METEOR 1.5 or SPICE over all captions, and of each, in 0..1.

    METEOR over all is no mean. The first call of SPICE downloads Stanford CoreNLP.

    Args:
        name: ``meteor`` or ``spice``.
        hypotheses: Words of each caption.
        references: Words of the reference captions of each.

    Raises:
        EvaluationError: Java or the package is not there, or the program fails.
    """
    _folder(name)
    kind = getattr(import_module(f"{PACKAGE}.{name}.{name}"), name.capitalize())
    said = {place: [" ".join(words)] for place, words in enumerate(hypotheses)}
    right = {
        place: [" ".join(words) for words in captions] for place, captions in enumerate(references)
    }
    scorer = kind()
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            total, each = scorer.compute_score(right, said)
    except Exception as error:  # whatever its Java program or its download raises
        raise EvaluationError(
            f"{name}: {PACKAGE} failed ({type(error).__name__}: {error}); it is made for Java 8. "
            f"Leave {name} out of settings.metrics"
        ) from error
    finally:
        program = getattr(scorer, "meteor_p", None)  # it ends with the scorer, its pipes do not
        for pipe in () if program is None else (program.stdout, program.stderr):
            pipe.close()
    values = [one["All"]["f"] if isinstance(one, dict) else one for one in each]
    return float(total), [float(value) for value in values]


def _folder(needed_for: str) -> Path:
    """Return the folder of the package.

    Raises:
        EvaluationError: Java or the package is not there.
    """
    spec = find_spec(PACKAGE)
    places = None if spec is None else spec.submodule_search_locations
    lacking = [] if places else [f"the package {PACKAGE} (pip install {PACKAGE})"]
    if which("java") is None:
        lacking.append("the command `java` (install a Java runtime)")
    if lacking or not places:
        raise EvaluationError(
            f"{needed_for} needs {' and '.join(lacking)}; without them use extraction ptb-like and "
            "the metrics bleu, rouge_l and cider"
        )
    return Path(places[0])
