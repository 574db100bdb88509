"""Adapters: what is added to a frozen host, or that the host itself is trained."""

from vlft.adapters.apply import ADAPTERS, apply_adapter, require_mergeable, wrapped
from vlft.adapters.base import Adapter, Flags

__all__ = ["ADAPTERS", "Adapter", "Flags", "apply_adapter", "require_mergeable", "wrapped"]
