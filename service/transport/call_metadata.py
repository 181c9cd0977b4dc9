"""What a call says beside its message: for whose connection it is, and how long there is."""

from collections.abc import Collection
from typing import Any, TypeAlias, cast

import grpc

from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.step import CUSTOMER_ID, CUSTOMER_ID_RULE, ConnectionKey, ProviderName

CUSTOMER_ID_HEADER = "x-customer-id"
PROVIDER_NAME_HEADER = "x-provider-name"

Metadata: TypeAlias = Collection[tuple[str, str | bytes]]
"""Names in lower case, as gRPC gives them."""


def read_connection_key(metadata: Metadata, providers: Collection[ProviderName]) -> ConnectionKey:
    """Return whose connection at which provider a call is for.

    Raises:
        ServiceError: METADATA_INVALID, naming every entry that is wrong, or PROVIDER_UNKNOWN when
            nothing else is.
    """
    violations: list[FieldViolation] = []
    customer_id = _only_value(metadata, CUSTOMER_ID_HEADER, violations)
    provider_name = _only_value(metadata, PROVIDER_NAME_HEADER, violations)
    if customer_id is not None and not CUSTOMER_ID.fullmatch(customer_id):
        violations.append(_violation(CUSTOMER_ID_HEADER, CUSTOMER_ID_RULE))
    reason = Reason.METADATA_INVALID if violations else Reason.PROVIDER_UNKNOWN
    provider = None if provider_name is None else known_provider(provider_name, providers)
    if provider_name is not None and provider is None:
        violations.append(_violation(PROVIDER_NAME_HEADER, provider_rule(providers)))
    if violations:
        sentences = " ".join(f"{each.field}: {each.description}" for each in violations)
        raise ServiceError(reason, sentences, tuple(violations))
    assert customer_id is not None
    assert provider is not None
    return ConnectionKey(customer_id, provider)


def known_provider(name: str, providers: Collection[ProviderName]) -> ProviderName | None:
    """Return the provider that a caller names; None when there is no such one."""
    provider = ProviderName(name.lower())
    return provider if provider in providers else None


def provider_rule(providers: Collection[ProviderName]) -> str:
    """Return what a provider's name has to be."""
    return f"Must be one of {', '.join(providers)}, in any case."


def deadline_seconds(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """Return the seconds left until the caller's deadline; None when the caller gave none."""
    # The stubs say that it is never None; without a deadline it is.
    return cast("float | None", context.time_remaining())


def _only_value(metadata: Metadata, header: str, violations: list[FieldViolation]) -> str | None:
    """Return the one value of a header; else note what is wrong and return None."""
    values = [value for name, value in metadata if name == header]
    if len(values) > 1:
        violations.append(_violation(header, f"Given {len(values)} times; give it exactly once."))
        return None
    if not values or not values[0]:
        violations.append(_violation(header, "Required."))
        return None
    value = values[0]
    return value if isinstance(value, str) else value.decode("latin-1")


def _violation(header: str, description: str) -> FieldViolation:
    return FieldViolation(f"metadata.{header}", description)
