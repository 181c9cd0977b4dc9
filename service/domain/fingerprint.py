"""What makes two requests the same: a digest of every field that says what step is wanted.

Kept in the journal in place of the fields themselves, so that a request id that comes back with
another request can be told which fields differ, and no content is stored for it. The digests are
keyed: who has only the database cannot try out which short text gives one.
"""

import dataclasses
import enum
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Final

from service.domain.step import SequenceStep, StepRequest

VERSION = 2
"""Changes when the same request would give another fingerprint; 1 had no key."""

DIGEST_CHARACTERS = 32
"""128 bits: enough that two values never share a digest by chance."""

_FINGERPRINT: Final = json.JSONEncoder(sort_keys=True)
_STEP_FIELDS: Final = tuple(field.name for field in dataclasses.fields(SequenceStep))


class Fingerprints:
    """Makes fingerprints with one key, which does not print."""

    def __init__(self, key: bytes) -> None:
        self._hmac = hmac.new(key, digestmod="sha256")

    def of(self, request: StepRequest) -> str:
        """Return the canonical JSON of the digests of all fields that are set, by their paths.

        `validate_only` and `fail_on_warning` do not count: they change whether a step is made, not
        which.
        """
        return self._keyed(_digests(request))

    def keyed(self, fingerprint: str) -> str:
        """Return a fingerprint as `of` made it; one of version 1 gets the key that it lacks."""
        known = json.loads(fingerprint)
        return fingerprint if known["version"] == VERSION else self._keyed(known["fields"])

    def _keyed(self, digests: Mapping[str, str]) -> str:
        fields = {name: self._keyed_digest(digest) for name, digest in digests.items()}
        return _FINGERPRINT.encode({"version": VERSION, "fields": fields})

    def _keyed_digest(self, digest: str) -> str:
        keyed = self._hmac.copy()  # Has taken in the key, which is most of the work.
        keyed.update(digest.encode())
        return keyed.hexdigest()[:DIGEST_CHARACTERS]


def differing_fields(one: str, other: str) -> tuple[str, ...]:
    """Return the paths of the fields in which two fingerprints differ, in order."""
    fields, others = json.loads(one)["fields"], json.loads(other)["fields"]
    names = sorted(fields.keys() | others.keys())
    return tuple(name for name in names if fields.get(name) != others.get(name))


def _digests(request: StepRequest) -> dict[str, str]:
    """Return a digest without a key of every field that is set, by its path."""
    digests = {
        f"step.{name}": _digest(value)
        for name in _STEP_FIELDS
        if name != "template_id" and not _is_unset(value := getattr(request.step, name))
    }
    if request.step.template_id:
        digests["step.template.id"] = _digest(request.step.template_id)
    if "step.template_content" in digests:
        digests["step.template.content"] = digests.pop("step.template_content")
    digests["sequence_id"] = _digest(request.sequence_id)
    return digests


def _is_unset(value: object) -> bool:
    """Whether a field was not given; an interval or an order of 0 was."""
    return value is None or value is False or (isinstance(value, str | dict) and not value)


def _digest(value: object) -> str:
    return hashlib.sha256(_VALUES.encode(value).encode()).hexdigest()[:DIGEST_CHARACTERS]


def _plain(value: object) -> object:
    """Return a value of the domain as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, enum.Enum):
        return value.value
    return str(value)  # A day, or a moment with its zone.


_VALUES: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_plain)
