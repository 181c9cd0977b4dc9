"""How a store says that it cannot be used: to an operator at the start, to callers afterwards."""

from typing import Final

from service.domain.errors import Reason, ServiceError

RETRY_AFTER_SECONDS: Final = 5.0
"""What a caller is told to wait when the store failed."""


class DatabaseUnusable(Exception):  # noqa: N818 - the name reads as the sentence it stands for
    """The database cannot be opened; the message tells an operator which one and why."""


def store_unavailable() -> ServiceError:
    """Return what a caller is told when the store cannot be used at the moment."""
    return ServiceError(
        Reason.STORE_UNAVAILABLE,
        "The service cannot reach its store at the moment.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
