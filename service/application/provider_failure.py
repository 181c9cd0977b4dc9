"""What a caller is told when a call to a provider did not succeed; pure.

The errors promise that this call wrote nothing; where an earlier write of the same operation did,
`execution.py` says so instead.
"""

from dataclasses import replace

from service.application.ports import Provider
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.provider_call import ProviderAnswer

UNAVAILABLE_RETRY_SECONDS = 2.0
FORBIDDEN = 403


def unavailable(provider: Provider, why: str) -> ServiceError:
    """Return the error for a call that was not sent, or a read that was not answered."""
    return ServiceError(
        Reason.PROVIDER_UNAVAILABLE,
        f"{_name(provider)} could not be asked: {why}.",
        retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
        advice="Nothing was written: call again later.",
    )


def turned_away(
    provider: Provider, wait_seconds: float, *, is_maintenance: bool = False
) -> ServiceError:
    """Return the error for a provider that takes no request for so long."""
    what = "is under maintenance" if is_maintenance else "limits this connection's requests"
    return ServiceError(
        Reason.PROVIDER_UNAVAILABLE if is_maintenance else Reason.PROVIDER_RATE_LIMITED,
        f"{_name(provider)} {what}.",
        retry_after_seconds=wait_seconds,
        advice=f"Nothing was written: call again in {max(wait_seconds, 1):.0f} seconds.",
    )


def credential_refused(provider: Provider) -> ServiceError:
    """Return the error for a credential that was refused, refreshed or not."""
    return ServiceError(
        Reason.CONNECTION_EXPIRED,
        f"{_name(provider)} refuses the credential of this connection.",
        advice="Nothing was written: connect the customer again.",
    )


def refused(
    provider: Provider, answer: ProviderAnswer, method: str, path: str, secret: str
) -> ServiceError:
    """Return the error for a 3xx or 4xx answer, in the vendor's own words where it has some.

    `secret` is the credential that was sent: a vendor that repeats it does not spread it.
    """
    # Before anything is cut out of the body, since a part of a secret is one too.
    refusal = provider.explain(replace(answer, body=answer.body.replace(secret.encode(), b"*")))
    sentence = refusal.sentence.replace(secret, "*") or f"HTTP status {answer.status}, no reason"
    metadata = {"httpStatus": str(answer.status), "failedCall": f"{method} {path}"}
    if answer.status == FORBIDDEN:
        permission = provider.permission(method, path)
        needs = f" It needs {permission}." if permission else ""
        message = f"{_name(provider)} forbids {method} {path} to this connection: {sentence}{needs}"
        return ServiceError(Reason.PROVIDER_FORBIDDEN, message, metadata=metadata)
    message = f"{_name(provider)} refused {method} {path}: {sentence}"
    violations = (FieldViolation(refusal.field, sentence),) if refusal.field else ()
    return ServiceError(Reason.PROVIDER_REJECTED, message, violations, metadata)


def _name(provider: Provider) -> str:
    return provider.name.capitalize()
