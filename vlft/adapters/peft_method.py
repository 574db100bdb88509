"""Every other method of PEFT, by its own name and options."""

import inspect

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.peft_types import PeftType

from vlft.adapters.base import EVERY_FAMILY, Adapter, Flags, with_fields
from vlft.errors import AdapterError, pick, unknown
from vlft.recipe.adapter import PeftAdapter
from vlft.types import Backbone


def peft_config(section: PeftAdapter, modules: list[str], backbone: Backbone) -> PeftConfig:
    """Return the method's config.

    Raises:
        UnknownNameError: For a name that PEFT does not have.
        AdapterError: For an option that the method does not have.
    """
    by_name = {member.value: member for member in PeftType}
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING[
        pick(by_name, section.peft_type.upper(), kind="PEFT method")
    ]
    fields = inspect.signature(config_class).parameters
    if "target_modules" not in fields:
        raise AdapterError(
            f"adapter.peft_type: {section.peft_type} is not placed on modules (it learns prompts); "
            "choose a method with target_modules, such as IA3, LOHA, LOKR, VERA or OFT"
        )
    for option in section.options:
        if option not in fields or option == "target_modules":
            raise AdapterError(
                f"adapter.options: {unknown(section.peft_type + ' option', option, fields)}"
            )
    return with_fields(config_class(**section.options), target_modules=modules)


def peft_flags(section: PeftAdapter) -> Flags:
    """Nothing is promised for a method that vlft does not know."""
    return Flags(identity=False, mergeable=False, mutates_base=False)


PEFT = Adapter(flags=peft_flags, families=EVERY_FAMILY, config=peft_config)
