"""From requests to answers: unique ones in fixed batches, asked of a model, kept in a log.

Which requests share a batch depends on the requests and the batch size alone: not on their order,
on the number of processes, or on what a log holds already. A batch is asked as a whole or not at
all. So a measurement that was killed, or that ran on other processes, gives the same answers to the
last bit.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from time import perf_counter
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from vlft.evaluation.log import Log
from vlft.evaluation.processes import ALONE, Processes
from vlft.evaluation.requests import (
    TEXTS_PER_IMAGE,
    Answer,
    Classify,
    ClassNames,
    EmbedImage,
    EmbedPrompt,
    EmbedText,
    Generate,
    Request,
    Score,
)
from vlft.types import Classifies, Embeds, EmbedsPrompts, Generates, Scores

DECODING_THREADS = 4  # they wait for the disk, or decode without Python's lock
BATCHES_AHEAD = 2  # decoded while the model computes
DAMAGED_TOLD = 3  # lines of a log that are named


class Kind(NamedTuple):
    """How one kind of request is dealt with.

    Attributes:
        open: Decode the images of a request.
        ask: Ask a model for a batch; takes the model, the requests, and what ``open`` gave.
    """

    open: Callable[[Any], Any]
    ask: Callable[[Any, Sequence[Any], list[Any]], Iterable[Answer]]


def _generate(model: Generates, batch: Sequence[Generate], prompts: list[Any]) -> list[str]:
    return model.generate(prompts, max_new_tokens=batch[0].max_new_tokens)


def _score(model: Scores, batch: Sequence[Score], prompts: list[Any]) -> Iterable[Answer]:
    return model.score(prompts, [request.continuations for request in batch])


def _embed_prompts(
    model: EmbedsPrompts, batch: Sequence[EmbedPrompt], prompts: list[Any]
) -> Iterable[Answer]:
    return model.embed_prompts(prompts, chat_template=batch[0].chat_template).numpy()


def _embed_images(model: Embeds, batch: object, images: list[Any]) -> Iterable[Answer]:
    return model.embed_images(images).numpy()


def _embed_texts(model: Embeds, batch: object, texts: list[Any]) -> Iterable[Answer]:
    return model.embed_texts(texts).numpy()


def _classify(model: Classifies, batch: object, images: list[Any]) -> Iterable[Answer]:
    return model.classify(images).numpy()


def _class_names(model: Classifies, batch: object, contents: list[Any]) -> list[str]:
    return [json.dumps(list(model.classes))]


KINDS: dict[type[Request], Kind] = {
    Generate: Kind(lambda request: request.asked.open(), _generate),
    Score: Kind(lambda request: request.asked.open(), _score),
    EmbedPrompt: Kind(lambda request: request.asked.open(), _embed_prompts),
    EmbedImage: Kind(lambda request: request.picture.open(), _embed_images),
    EmbedText: Kind(lambda request: request.text, _embed_texts),
    Classify: Kind(lambda request: request.picture.open(), _classify),
    ClassNames: Kind(lambda request: None, _class_names),
}


@dataclass(frozen=True)
class Answers:
    """Answers, looked up by request.

    Attributes:
        by_key: Answers by the key of the request.
        seconds: Time that the model took for them, over all processes and all parts of a resumed
            measurement.
        began: When the first of them was asked for, as the log has it; None: there is no log.
    """

    by_key: Mapping[str, Answer]
    seconds: float = 0
    began: str | None = None

    def __getitem__(self, request: Request) -> Any:
        """Return the answer to a request that was asked."""
        return self.by_key[request.key]


def in_batches(requests: Iterable[Request], batch_size: int) -> list[list[Request]]:
    """Make requests unique and put alike ones together, the longest first.

    Args:
        requests: In any order, with any repetitions.
        batch_size: Most requests of a batch; of texts alone, ``TEXTS_PER_IMAGE`` times as many.
    """
    different = {request.key: request for request in requests}

    def order(request: Request) -> tuple[Any, ...]:
        return (*request.batched_with, -request.length, request.key)

    batches = []
    for _, alike in groupby(
        sorted(different.values(), key=order), key=lambda request: request.batched_with
    ):
        rows = list(alike)
        texts = isinstance(rows[0], EmbedText)
        size = batch_size * TEXTS_PER_IMAGE if texts else batch_size
        batches += [rows[start : start + size] for start in range(0, len(rows), size)]
    return batches


def name_of(batches: Iterable[Sequence[Request]]) -> str:
    """Return a hash of requests and of how they share batches: all that a log must agree in."""
    digest = sha256()
    for batch in batches:
        digest.update(f"{' '.join(request.key for request in batch)}\n".encode())
    return digest.hexdigest()[:32]


def ask_all(
    model: object,
    requests: Iterable[Request],
    *,
    batch_size: int,
    log: Callable[[str], Log] | None = None,
    processes: Processes = ALONE,
    progress: str | None = None,
) -> Answers:
    """Answer requests, each different one once, and none that the log holds.

    Every process gives the same requests and gets all answers.

    Args:
        model: Has the capabilities that the requests need.
        requests: In any order, with any repetitions.
        batch_size: Requests that are asked together.
        log: Opens the log in which answers are kept and found; takes what ``name_of`` gives. None:
            no log.
        processes: Which share the work.
        progress: Name of a bar with the time left, on stderr of the main process; None: no bar.

    Raises:
        RecordError: An image is bad.
        EvaluationError: The model cannot answer.
    """
    batches = in_batches(requests, batch_size)
    opened = None if log is None else log(name_of(batches))
    known = {} if opened is None else opened.read()
    if opened is not None and opened.damaged and processes.is_main:
        sys.stderr.write(
            f"vlft: {opened.folder}: left out what cannot be read, and asked again what is missing "
            f"({', '.join(opened.damaged[:DAMAGED_TOLD])}); a process that is killed leaves such a "
            "line\n"
        )
    held = [number for number, batch in enumerate(batches) if all(r.key in known for r in batch)]
    # Processes of one machine read one log; those of another find only their own part of it.
    owner: dict[int, int] = {}
    for rank, numbers in enumerate(processes.gather(held)):
        owner = dict.fromkeys(numbers, rank) | owner
    left = [number for number in range(len(batches)) if number not in owner]
    mine = left[processes.rank :: processes.size]

    found: dict[str, Answer] = {
        request.key: known[request.key]
        for number in held
        if owner[number] == processes.rank
        for request in batches[number]
    }
    seconds = 0.0 if opened is None else opened.seconds
    size = sum(len(batches[number]) for number in mine)
    with tqdm(
        total=len(found) + size,
        initial=len(found),
        desc=progress,
        unit="request",
        disable=progress is None or not processes.is_main,
    ) as bar:
        for batch, contents in _opened([batches[number] for number in mine]):
            start = perf_counter()
            answers = KINDS[type(batch[0])].ask(model, batch, contents)
            took = perf_counter() - start
            new = {request.key: answer for request, answer in zip(batch, answers, strict=True)}
            if opened is not None:
                opened.append(new, seconds=took)
            found |= new
            seconds += took
            bar.update(len(batch))
    merged: dict[str, Answer] = {}
    for part in processes.gather(found):
        merged |= part
    began = None if opened is None else opened.began
    return Answers(merged, sum(processes.gather(seconds)), began)


def _opened(batches: Sequence[Sequence[Request]]) -> Iterator[tuple[Sequence[Request], list[Any]]]:
    """Yield batches with their images decoded.

    Where the model computes elsewhere, the next batches are decoded meanwhile; on a CPU that would
    only take the cores from it.
    """
    if not torch.cuda.is_available():
        for batch in batches:
            yield batch, [KINDS[type(request)].open(request) for request in batch]
        return
    waiting: list[tuple[Sequence[Request], list[Future[Any]]]] = []
    pool = ThreadPoolExecutor(DECODING_THREADS)
    try:
        for batch in batches:
            waiting.append((batch, [pool.submit(KINDS[type(r)].open, r) for r in batch]))
            if len(waiting) > BATCHES_AHEAD:
                ready, futures = waiting.pop(0)
                yield ready, [future.result() for future in futures]
        for ready, futures in waiting:
            yield ready, [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)
