"""Own PEFT methods, registered from outside: PEFT itself takes only names of its own enum.

A process that loads such an adapter with PEFT alone has to ``import vlft.adapters`` first.
"""

from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType

from vlft.errors import AdapterError


def register(
    name: str, *, config_cls: type[PeftConfig], model_cls: type[BaseTuner], prefix: str
) -> PeftType:
    """Make a method known to PEFT; a second call with the same classes changes nothing.

    Args:
        name: Name in ``PeftType``, in capitals.
        config_cls: Its config.
        model_cls: Its tuner.
        prefix: What its attributes begin with; global in PEFT.

    Returns:
        The member of PEFT's enum.

    Raises:
        AdapterError: PEFT has another method of that name.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    known = PeftType.__members__.get(name)
    if known is None:
        known = _member(name)
    if known not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(
            name=name.lower(), config_cls=config_cls, model_cls=model_cls, prefix=prefix
        )
    found = (PEFT_TYPE_TO_CONFIG_MAPPING[known], PEFT_TYPE_TO_TUNER_MAPPING[known])
    if [one.__qualname__ for one in found] != [config_cls.__qualname__, model_cls.__qualname__]:
        raise AdapterError(
            f"this PEFT has a method {name} of its own ({found[0].__module__}): install "
            "a version that vlft supports"
        )
    return known


def _member(name: str) -> PeftType:
    """Add a member to PEFT's enum as the enum itself would have (Python 3.11 to 3.13)."""
    member: Any = str.__new__(PeftType, name)
    member._name_, member._value_ = name, name
    type.__setattr__(PeftType, name, member)
    PeftType._member_map_[name] = member
    PeftType._member_names_.append(name)
    PeftType._value2member_map_[name] = member
    return member
