"""A changed copy of a frozen dataclass, at half the price of the standard one.

An operation is copied with each fact that is noted, about ten times a request.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["changed"]

if TYPE_CHECKING:  # So the names and types of what is changed are checked.
    from dataclasses import replace as changed
else:

    def changed(record: Any, /, **changes: Any) -> Any:
        """Return a copy with other values in some fields; the class has slots, and no bases."""
        kind = type(record)
        copy = object.__new__(kind)
        for name in kind.__slots__:
            value = changes[name] if name in changes else getattr(record, name)
            object.__setattr__(copy, name, value)  # Past the guard of a frozen class.
        return copy
