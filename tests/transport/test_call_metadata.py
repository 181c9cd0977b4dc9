"""Whose call it is: every way in which the two headers can be wrong, told all at once."""

import grpc
import pytest

from service.domain.step import ConnectionKey, ProviderName
from service.providers.registry import PROVIDERS
from service.transport.call_metadata import read_connection_key
from tests.transport.stand_in import Api, Metadata, step_request

CUSTOMER = "metadata.x-customer-id"
PROVIDER = "metadata.x-provider-name"
ACME = ("x-customer-id", "acme")
OUTREACH = ("x-provider-name", "outreach")

ID_RULE = "Must be 1 to 256 printable ASCII characters without spaces."
PROVIDER_RULE = "Must be one of outreach, salesloft, apollo, in any case."


@pytest.mark.parametrize(
    ("metadata", "violations"),
    [
        pytest.param((OUTREACH,), {CUSTOMER: "Required."}, id="customer_missing"),
        pytest.param((("x-customer-id", ""), OUTREACH), {CUSTOMER: "Required."}, id="no_text"),
        pytest.param(
            (ACME, ACME, OUTREACH),
            {CUSTOMER: "Given 2 times; give it exactly once."},
            id="customer_twice_even_if_equal",
        ),
        pytest.param((("x-customer-id", "a b"), OUTREACH), {CUSTOMER: ID_RULE}, id="inner_space"),
        pytest.param((("x-customer-id", " a"), OUTREACH), {CUSTOMER: ID_RULE}, id="space_before"),
        pytest.param((("x-customer-id", "a "), OUTREACH), {CUSTOMER: ID_RULE}, id="space_after"),
        pytest.param(
            (("x-customer-id", "a" * 257), OUTREACH), {CUSTOMER: ID_RULE}, id="customer_too_long"
        ),
        pytest.param((ACME,), {PROVIDER: "Required."}, id="provider_missing"),
        pytest.param((ACME, ("x-provider-name", "")), {PROVIDER: "Required."}, id="provider_empty"),
        pytest.param(
            (ACME, OUTREACH, ("x-provider-name", "apollo")),
            {PROVIDER: "Given 2 times; give it exactly once."},
            id="provider_twice",
        ),
        pytest.param((), {CUSTOMER: "Required.", PROVIDER: "Required."}, id="nothing_at_all"),
        pytest.param(
            (("x-customer-id", "a b"), ("x-provider-name", "hubspot")),
            {CUSTOMER: ID_RULE, PROVIDER: PROVIDER_RULE},
            id="bad_customer_and_unknown_provider",
        ),
    ],
)
async def test_malformed_metadata_is_refused(
    api: Api, metadata: Metadata, violations: dict[str, str]
) -> None:
    failure = await api.refused(step_request(), metadata)

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "METADATA_INVALID"
    assert failure.violations == violations


@pytest.mark.parametrize("name", ["hubspot", "out reach", "outreach ", "outreach,apollo"])
async def test_an_unknown_provider_is_refused_naming_the_known_ones(api: Api, name: str) -> None:
    failure = await api.refused(step_request(), (ACME, ("x-provider-name", name)))

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "PROVIDER_UNKNOWN"
    assert failure.violations == {PROVIDER: PROVIDER_RULE}
    assert name not in failure.message


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("outreach", ProviderName("outreach")),
        ("Salesloft", ProviderName("salesloft")),
        ("APOLLO", ProviderName("apollo")),
    ],
)
async def test_a_provider_is_known_in_any_case(api: Api, name: str, provider: ProviderName) -> None:
    await api.create(step_request(), (ACME, ("x-provider-name", name)))

    (call,) = api.application.calls
    assert call.key.connection == ConnectionKey("acme", provider)


async def test_a_customer_id_may_have_256_characters_of_any_printable_kind(api: Api) -> None:
    customer_id = "".join(chr(code) for code in range(0x21, 0x7F)).ljust(256, "~")
    await api.create(step_request(), (("x-customer-id", customer_id), OUTREACH))

    (call,) = api.application.calls
    assert call.key.connection.customer_id == customer_id


def test_a_customer_id_in_a_form_that_clients_cannot_send_is_refused_all_the_same() -> None:
    for value in ("ä", "a\n", "\x00", b"\xff"):
        with pytest.raises(Exception, match="x-customer-id: Must be 1 to 256"):
            read_connection_key((("x-customer-id", value), OUTREACH), PROVIDERS)


async def test_metadata_is_judged_before_the_message(api: Api) -> None:
    failure = await api.refused(step_request(order=0), ())

    assert failure.reason == "METADATA_INVALID"


async def test_a_deadline_reaches_the_application(api: Api) -> None:
    await api.create(step_request(), timeout_seconds=7)

    (call,) = api.application.calls
    assert call.deadline_seconds is not None
    assert 6 < call.deadline_seconds < 8  # gRPC rounds it up to the millisecond.


async def test_no_deadline_is_no_deadline(api: Api) -> None:
    await api.create(step_request(), timeout_seconds=None)

    (call,) = api.application.calls
    assert call.deadline_seconds is None
