"""Who calls: proven by the client certificate's names and the bearer token, before anything else.

Whatever is wrong with a proof, the answer is the same, so that who tries learns nothing by it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from service.domain.caller_policy import LOCAL_CALLER, Caller, CallerPolicy
from service.domain.errors import Reason, ServiceError

if TYPE_CHECKING:
    import grpc

AUTHORIZATION_HEADER: Final = "authorization"

_URIS, _DNS_NAMES, _CERTIFICATE = "peer_uri", "peer_dns", "x509_pem_cert"
"""Properties of a connection. That of all alternative names together is not read: an e-mail address
or an IP address there could look like a name of another kind."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Identify: TypeAlias = Callable[[Context], Caller]
"""Says who calls; raises ServiceError where that is not proven."""


def local_caller(context: Context) -> Caller:
    """Take everybody for the local caller, where the address is a loopback one."""
    del context
    return LOCAL_CALLER


def proven_caller(current_policy: Callable[[], CallerPolicy]) -> Identify:
    """Return a function that takes nobody without proof; the policy may be another for each call.

    The function raises:
        ServiceError: CALLER_UNAUTHENTICATED.
    """

    def identify(context: Context) -> Caller:
        caller = current_policy().identify(_tls_names(context), _token(context))
        if caller is None:
            raise ServiceError(
                Reason.CALLER_UNAUTHENTICATED,
                "The caller is not known: each proof that it presents, client certificate or "
                "bearer token, has to be one of the same caller in the service's policy.",
            )
        return caller

    return identify


def require_customer(caller: Caller, customer_id: str) -> None:
    """Refuse a call for a customer that the caller may not act for.

    Raises:
        ServiceError: CUSTOMER_FORBIDDEN, whether or not there is such a customer.
    """
    if not caller.may_act_for(customer_id):
        raise ServiceError(
            Reason.CUSTOMER_FORBIDDEN, "The caller may not act for this customer; nothing was done."
        )


def _tls_names(context: Context) -> list[str] | None:
    """Return the names in the client's certificate, which gRPC has verified; None without one."""
    properties = context.auth_context()
    if _CERTIFICATE not in properties:
        return None
    uris = (name.decode("utf-8", "replace") for name in properties.get(_URIS, ()))
    dns_names = (name.decode("utf-8", "replace") for name in properties.get(_DNS_NAMES, ()))
    # By the colon, so that neither can be taken for the other, whatever an authority signed.
    return [
        *(name for name in uris if ":" in name),
        *(name.lower() for name in dns_names if ":" not in name),
    ]


def _token(context: Context) -> str | None:
    """Return the bearer token; None without the header, and empty where it is no such thing."""
    metadata = context.invocation_metadata() or ()
    values = [value for name, value in metadata if name == AUTHORIZATION_HEADER]
    if not values:
        return None
    (value, *others) = values
    if others or not isinstance(value, str):
        return ""
    scheme, _, token = value.partition(" ")
    return token if scheme.lower() == "bearer" else ""
