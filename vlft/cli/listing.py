"""``vlft list``: the names that recipes and commands take."""

from collections.abc import Callable

from vlft.errors import pick



def run(kind: str) -> None:
    """Print the names of one kind, or the kinds."""
    if not kind:
        for name, names in KINDS.items():
            print(f"{name:<12} {len(names()):>3}   vlft list {name}")
        return
    for name in pick(KINDS, kind, kind="kind of thing to list")():
        print(name)


def _shipped(kind: Kind) -> Callable[[], list[str]]:
    def names() -> list[str]:
        return list(list_shipped(kind))

    return names


def _adapters() -> list[str]:
    from vlft.adapters import ADAPTERS

    return sorted(ADAPTERS)


def _backbones() -> list[str]:
    from vlft.backbones import BACKBONES

    return sorted(BACKBONES)


def _datasets() -> list[str]:
    from vlft.data import DATASETS

    return sorted(DATASETS)


def _objectives() -> list[str]:
    from vlft.objectives import OBJECTIVES

    return sorted(OBJECTIVES)


def _questions() -> list[str]:
    from vlft.data.scenes import QUESTIONS

    return sorted(QUESTIONS)


KINDS: dict[str, Callable[[], list[str]]] = {
    "recipes": _shipped("recipes"),
    "configs": _shipped("configs"),
    "benchmarks": _shipped("eval"),
    "launches": _shipped("accelerate_configs"),
    "adapters": _adapters,
    "backbones": _backbones,
    "datasets": _datasets,
    "objectives": _objectives,
    "questions": _questions,
}
