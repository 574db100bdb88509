"""Generated text of the CorDA study: facts, a grammar, and a new task that uses words of both.

Facts are lines of first name, last name, relation, value and a full stop; which value is drawn once
and has to be known by heart. Sentences of the grammar agree in number and have words that go
together. Code nests brackets of six kinds; the kind decides what may stand inside. The new task
has two new relations, whose values follow from a person's first or last name alone.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

Domain = Literal["facts", "grammar", "code"]
DOMAINS: tuple[Domain, ...] = ("facts", "grammar", "code")

WINDOW = 64
"""Tokens of a piece of text."""

START, STOP, NEW = 0, 1, 2
"""``NEW`` and the next are the relations of the new task; no text has them."""

FIRST, LAST, RELATION, VALUE = 4, 36, 68, 72
"""First tokens of 32 first names, 32 last names, 4 relations, and 16 values for each relation."""

DETERMINER, ADJECTIVE, NOUN, VERB, AND = 136, 140, 152, 176, 192
"""First tokens of 4 determiners (2 for each number), 12 adjectives, 12 nouns and 8 verbs in either
number, and the one that joins clauses."""

OPEN, CLOSE, NAME = 193, 199, 205
"""Six kinds of brackets; four names for each, and four that may stand anywhere."""

VOCABULARY = 233

PEOPLE, CALIBRATED = 640, 128
"""People that facts are about; what is known of the first ones may be calibrated with, that of the
others is asked for."""

ASKED = 3
"""Questions in an item of the new task; each is a line like a fact."""

ANSWERED = [5 * number + 4 for number in range(ASKED)]
"""Where an item has its answers."""


class World(NamedTuple):
    """What is drawn once, the same for every seed.

    Attributes:
        people: First and last name of each.
        values: Of each person and relation.
        adjectives: Three that go with each noun.
        verbs: Three that go with each noun.
        objects: Three nouns that go with each verb.
        derived: Of each first and last name, the value that the new task asks for.
    """

    people: Int[Tensor, "people 2"]
    values: Int[Tensor, "people relations"]
    adjectives: Int[Tensor, "nouns 3"]
    verbs: Int[Tensor, "nouns 3"]
    objects: Int[Tensor, "verbs 3"]
    derived: Int[Tensor, "2 names"]


def world() -> World:
    """Return it."""
    generator = torch.Generator().manual_seed(0)
    names = torch.randperm(32 * 32, generator=generator)[:PEOPLE]

    def three(rows: int, of: int) -> Tensor:
        return torch.rand(rows, of, generator=generator).argsort(1)[:, :3]

    return World(
        people=torch.stack([FIRST + names // 32, LAST + names % 32], dim=1),
        values=VALUE + 16 * torch.arange(4) + torch.randint(16, (PEOPLE, 4), generator=generator),
        adjectives=ADJECTIVE + three(12, 12),
        verbs=three(12, 8),
        objects=three(8, 12),
        derived=VALUE + torch.randint(64, (2, 32), generator=generator),
    )


WORLD = world()


def facts(people: Int[Tensor, " facts"], relations: Int[Tensor, " facts"]) -> Tensor:
    """Return lines of facts, one a row."""
    stops = torch.full((len(people), 1), STOP)
    values = WORLD.values[people, relations][:, None]
    return torch.cat([WORLD.people[people], RELATION + relations[:, None], values, stops], dim=1)


def text(domain: Domain, count: int, generator: torch.Generator) -> Int[Tensor, "windows tokens"]:
    """Return windows of a domain's text, each from the beginning of a fact or sentence."""
    starts = torch.full((count, 1), START)
    if domain != "facts":
        write = _sentences if domain == "grammar" else _code
        rows = [write(generator) for _ in range(count)]
        return torch.cat([starts, torch.tensor(rows)], dim=1)
    lines = WINDOW // 5 + 1
    people = torch.randint(PEOPLE, (count * lines,), generator=generator)
    relations = torch.randint(4, (count * lines,), generator=generator)
    told = facts(people, relations).reshape(count, -1)
    return torch.cat([starts, told], dim=1)[:, :WINDOW]


def questions(count: int, generator: torch.Generator) -> Int[Tensor, "windows tokens"]:
    """Return windows of questions without their answers, on the people for calibration."""
    lines = WINDOW // 4 + 1
    people = torch.randint(CALIBRATED, (count * lines,), generator=generator)
    relations = torch.randint(4, (count * lines,), generator=generator)
    asked = facts(people, relations)[:, [0, 1, 2, 4]].reshape(count, -1)
    return torch.cat([torch.full((count, 1), START), asked], dim=1)[:, :WINDOW]


def known() -> Int[Tensor, "facts 5"]:
    """Return all facts on the people that nothing is calibrated with; a start comes first."""
    people = torch.arange(CALIBRATED, PEOPLE).repeat_interleave(4)
    asked = facts(people, torch.arange(4).repeat(PEOPLE - CALIBRATED))
    return torch.cat([torch.full((len(asked), 1), START), asked[:, :4]], dim=1)


def items(
    count: int, generator: torch.Generator, *, held_out: bool = False
) -> Int[Tensor, "items tokens"]:
    """Return items of the new task.

    Args:
        count: How many.
        generator: Draws them.
        held_out: Ask about a quarter of all pairs of names, which the others leave out.
    """
    lines = ASKED * count
    pairs = torch.cartesian_prod(torch.arange(32), torch.arange(32))
    pairs = pairs[(pairs.sum(1) % 4 == 0) == held_out]
    names = pairs[torch.randint(len(pairs), (lines,), generator=generator)]
    which = torch.randint(2, (lines, 1), generator=generator)
    values = WORLD.derived[which, names.gather(1, which)]
    stops = torch.full((lines, 1), STOP)
    told = torch.cat([names + torch.tensor([FIRST, LAST]), NEW + which, values, stops], dim=1)
    return torch.cat([torch.full((count, 1), START), told.reshape(count, -1)], dim=1)


def _sentences(generator: torch.Generator) -> list[int]:
    """Return sentences: clauses of a noun phrase, its verb and another noun phrase."""
    draws = iter(torch.randint(2**20, (4 * WINDOW,), generator=generator).tolist())
    found: list[int] = []

    def noun_phrase(noun: int) -> int:
        number = next(draws) % 2
        found.append(DETERMINER + 2 * number + next(draws) % 2)
        if next(draws) % 2:
            found.append(int(WORLD.adjectives[noun, next(draws) % 3]))
        found.append(NOUN + 12 * number + noun)
        return number

    while len(found) < WINDOW:
        subject = next(draws) % 12
        number = noun_phrase(subject)
        verb = int(WORLD.verbs[subject, next(draws) % 3])
        found.append(VERB + 8 * number + verb)
        noun_phrase(int(WORLD.objects[verb, next(draws) % 3]))
        found.append(AND if next(draws) % 3 == 0 else STOP)
    return found[: WINDOW - 1]


def _code(generator: torch.Generator) -> list[int]:
    """Return nested brackets, six deep at most, that hold names of their kind."""
    draws = iter(torch.randint(2**20, (4 * WINDOW,), generator=generator).tolist())
    found: list[int] = []
    opened: list[int] = []
    while len(found) < WINDOW:
        what = next(draws) % 8
        if not opened or (what < 2 and len(opened) < 6):
            opened.append(next(draws) % 6)
            found.append(OPEN + opened[-1])
        elif what < 4:
            found.append(CLOSE + opened.pop())
        elif what == 4:
            found.append(NAME + 24 + next(draws) % 4)
        else:
            found.append(NAME + 4 * opened[-1] + next(draws) % 4)
    return found[: WINDOW - 1]
