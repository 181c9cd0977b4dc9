"""Ids that are positive whole numbers, as Outreach and Salesloft have them [spec]."""

from collections.abc import Iterator, Mapping

from service.domain.errors import FieldViolation
from service.domain.json_value import JsonValue

DIGITS_MAX = 18
"""As many as always fit a signed 64-bit integer."""


def bad_ids(vendor: str, ids: Mapping[str, str]) -> Iterator[FieldViolation]:
    """Yield a violation for each id of another form; `ids` is by request field.

    They are refused before any of them gets into a URL.
    """
    for field, value in ids.items():
        if not _is_numeric_id(value):
            yield FieldViolation(
                field, f"Ids of {vendor} are positive whole numbers of at most {DIGITS_MAX} digits."
            )


def read_id(value: JsonValue) -> int | None:
    """Return an id from an answer, a number or its digits; None for anything else."""
    if isinstance(value, str):
        return int(value) if _is_numeric_id(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 10**DIGITS_MAX else None


def _is_numeric_id(value: str) -> bool:
    return value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= DIGITS_MAX
