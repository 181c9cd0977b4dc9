"""What was read at the provider before the first write: the preflight and the snapshot in one."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.step import TemplateContent


class SequenceKind(enum.Enum):
    """How a sequence times its steps."""

    INTERVAL = "waits after the step before"
    DATE = "fixed dates"


@dataclass(frozen=True, slots=True)
class Survey:
    """The sequence as it was before the first write."""

    kind: SequenceKind | None
    """None where the provider does not say."""

    positions: Mapping[str, int | None]
    """The sequence's steps by id, with their positions where the provider gives them. The ids are
    the snapshot that a lost answer is reconciled with."""

    template: TemplateContent | None = None
    """The content behind the caller's template id, where the plan needs it."""

    @property
    def last_position(self) -> int:
        """The highest position in use; 0 in an empty sequence."""
        return max((position or 0 for position in self.positions.values()), default=0)
