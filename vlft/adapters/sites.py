"""From names of places to module paths of a host."""

import re

from torch import nn

from vlft.errors import SiteError, near, pick
from vlft.recipe.adapter.placed import Placed
from vlft.types import Backbone


def resolve_modules(backbone: Backbone, section: Placed) -> list[str]:
    """Return the paths of all modules that an adapter section asks for, in module order.

    Args:
        backbone: The host, not yet wrapped.
        section: Its ``sites`` and ``target_modules`` are read.

    Raises:
        UnknownNameError: For a site that the host does not name.
        SiteError: For a site or pattern that matches no module; PEFT would say nothing when one of
            two patterns matches.
    """
    paths = [path for path, _ in backbone.model.named_modules() if path]
    wanted: set[str] = set()
    for site in section.sites:
        matched = _fullmatch(pick(backbone.sites, site, kind="site"), paths)
        if not matched:
            raise SiteError(
                f"adapter.sites: {site!r} matches no module of this {backbone.type} host; "
                "the installed transformers may have renamed its modules"
            )
        wanted.update(matched)
    if section.target_modules is not None:
        wanted.update(_match_pattern(section.target_modules, paths))
    return [path for path in paths if path in wanted]


def _match_pattern(pattern: str, paths: list[str]) -> list[str]:
    matched = _fullmatch(pattern, paths)
    if not matched:
        nearest = near(pattern, paths) or near(pattern, {path.rsplit(".", 1)[-1] for path in paths})
        hint = f"; near it is {nearest!r}" if nearest else ""
        raise SiteError(
            f"adapter.target_modules: {pattern!r} matches no full module name{hint} "
            "(the pattern must match the whole path, so begin it with `.*` for a suffix)"
        )
    return matched


def _fullmatch(pattern: str, paths: list[str]) -> list[str]:
    compiled = re.compile(pattern)
    return [path for path in paths if compiled.fullmatch(path)]


def require_kind(
    backbone: Backbone, modules: list[str], kinds: tuple[type[nn.Module], ...], *, method: str
) -> None:
    """Refuse modules that a method cannot wrap.

    Raises:
        SiteError: Naming the first such module, its class, and what the method wraps.
    """
    for path in modules:
        module = backbone.model.get_submodule(path)
        if not isinstance(module, kinds):
            wrapped = ", ".join(kind.__name__ for kind in kinds)
            usable = ", ".join(
                site
                for site, pattern in backbone.sites.items()
                if _is_usable(backbone, pattern, kinds)
            )
            raise SiteError(
                f"adapter: {method} cannot wrap {path!r} ({type(module).__name__}); it wraps "
                f"{wrapped}. Sites of this host that it can use: {usable}"
            )


def refuse_tied(backbone: Backbone, modules: list[str], *, method: str) -> None:
    """Refuse to change a weight that other modules compute with as well (tied embeddings).

    Raises:
        SiteError: Naming the first such module and who shares its weight.
    """
    users: dict[int, list[str]] = {}
    for name, parameter in backbone.model.named_parameters(remove_duplicate=False):
        users.setdefault(id(parameter), []).append(name.rpartition(".")[0])
    for path in modules:
        for parameter in backbone.model.get_submodule(path).parameters(recurse=False):
            others = [user for user in users[id(parameter)] if user != path]
            if others:
                raise SiteError(
                    f"adapter: {method} takes its start out of the weights, and that of {path!r} "
                    f"is also that of {others[0]!r} (tied): leave it out of the sites"
                )


def _is_usable(backbone: Backbone, pattern: str, kinds: tuple[type[nn.Module], ...]) -> bool:
    compiled = re.compile(pattern)
    found = [m for path, m in backbone.model.named_modules() if compiled.fullmatch(path)]
    return bool(found) and all(isinstance(module, kinds) for module in found)
