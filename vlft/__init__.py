"""vlft: fine-tune vision-language models from one recipe, measure them in one harness.

``vlft.load(path_or_hub_id)`` opens a run directory, a checkpoint or a Hub repository. Importing the
package costs nothing; torch is imported when ``load`` is first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlft.hub import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        from vlft.hub import load

        return load
    raise AttributeError(f"module 'vlft' has no attribute {name!r}")
