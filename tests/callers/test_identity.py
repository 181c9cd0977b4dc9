"""Who is taken for which caller, by what it presents over real TLS; and who for none."""

import asyncio
import hmac
import secrets
from collections.abc import Callable

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.callers.authority import DAY, Authority, Identity, dns, email, self_signed, uri
from tests.callers.stage import (
    BILLING_TOKEN,
    CRM_TOKEN,
    DNS,
    SPIFFE,
    UNKNOWN_TOKEN,
    Server,
    bearer,
    with_proof,
)
from tests.transport.health_probe import NOT_SERVING, SERVING, check, next_status, watch
from tests.transport.stand_in import Failure, step_request
from tests.transport.test_server import listed_services

MESSAGE = (
    "The caller is not known: each proof that it presents, client certificate or bearer token, has "
    "to be one of the same caller in the service's policy."
)

New = Callable[[Authority], Identity]


def assert_unknown(failure: Failure, server: Server) -> None:
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED
    assert failure.reason == "CALLER_UNAUTHENTICATED"
    assert failure.message == MESSAGE
    assert failure.metadata == {}
    assert set(failure.details) == {"ErrorInfo"}
    assert failure.pushback is None
    assert server.application.calls == []
    assert server.events("rpc")[-1]["caller"] == ""


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(lambda ca: ca.client(uri(SPIFFE)), id="uri"),
        pytest.param(lambda ca: ca.client(dns(DNS)), id="dns"),
        pytest.param(lambda ca: ca.client(dns("Billing.INTERNAL")), id="dns_in_any_case"),
        pytest.param(lambda ca: ca.client(uri(SPIFFE), dns(DNS)), id="two_names_of_one_caller"),
        pytest.param(
            lambda ca: ca.client(uri("https://other.example"), dns("other"), uri(SPIFFE)),
            id="names_of_nobody_beside_it",
        ),
        pytest.param(
            lambda ca: ca.client(uri(SPIFFE), common_name="crm.internal"), id="cn_is_not_read"
        ),
    ],
)
async def test_a_certificate_names_its_caller(server: Server, new: New) -> None:
    async with server.api(new(server.authority)) as api:
        await api.create(step_request())

    (arrival,) = server.application.calls
    assert arrival.key.caller == "billing"
    assert server.events("rpc")[-1]["caller"] == "billing"


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(lambda ca: ca.client(), id="no_name"),
        pytest.param(lambda ca: ca.client(common_name=DNS), id="cn_alone"),
        pytest.param(lambda ca: ca.client(common_name=SPIFFE), id="uri_as_cn"),
        pytest.param(lambda ca: ca.client(dns("other"), common_name=DNS), id="cn_and_another_name"),
        pytest.param(lambda ca: ca.client(uri("spiffe://example.org/other")), id="unknown_uri"),
        pytest.param(lambda ca: ca.client(uri(f"{SPIFFE}/x")), id="longer_uri"),
        pytest.param(lambda ca: ca.client(uri("spiffe://example.org/billin")), id="shorter_uri"),
        pytest.param(lambda ca: ca.client(uri("spiffe://example.org/Billing")), id="uri_case"),
        pytest.param(lambda ca: ca.client(dns(f"x.{DNS}")), id="below_the_dns_name"),
        pytest.param(lambda ca: ca.client(dns("*.internal")), id="wildcard"),
        pytest.param(lambda ca: ca.client(uri(SPIFFE), dns("crm.internal")), id="two_callers"),
        pytest.param(lambda ca: ca.client(dns(SPIFFE)), id="uri_as_dns_name"),
        pytest.param(lambda ca: ca.client(uri(DNS)), id="dns_name_as_uri"),
        pytest.param(lambda ca: ca.client(email(f"a@{DNS}")), id="email"),
    ],
)
async def test_a_certificate_that_names_nobody_or_two_is_none(server: Server, new: New) -> None:
    async with server.api(new(server.authority)) as api:
        assert_unknown(await api.failed(), server)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(lambda ca: ca.client(uri(SPIFFE), ends_in=-DAY), id="expired"),
        pytest.param(lambda _: Authority("An authority").client(uri(SPIFFE)), id="other_ca"),
        pytest.param(lambda _: self_signed(uri(SPIFFE)), id="self_signed"),
        pytest.param(
            lambda ca: ca.client(uri(SPIFFE), purpose=ExtendedKeyUsageOID.SERVER_AUTH),
            id="certificate_of_a_server",
        ),
        pytest.param(lambda _: None, id="none"),
    ],
)
async def test_a_client_that_its_authority_does_not_vouch_for_has_no_connection(
    server: Server, new: New
) -> None:
    async with server.api(new(server.authority)) as api:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await api.create(step_request(), with_proof(bearer(BILLING_TOKEN)))

    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.application.calls == []
    assert server.events("rpc") == []


async def test_a_client_without_tls_has_no_connection(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await check(channel)

    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_names_its_caller(token_server: Server, scheme: str) -> None:
    async with token_server.api() as api:
        await api.create(step_request(), with_proof(("authorization", f"{scheme} {BILLING_TOKEN}")))

    (arrival,) = token_server.application.calls
    assert arrival.key.caller == "billing"


@pytest.mark.parametrize(
    "proofs",
    [
        pytest.param((), id="none"),
        pytest.param((bearer(UNKNOWN_TOKEN),), id="unknown"),
        pytest.param((bearer(BILLING_TOKEN), bearer(BILLING_TOKEN)), id="twice"),
        pytest.param((bearer(UNKNOWN_TOKEN), bearer(BILLING_TOKEN)), id="a_second_one"),
        pytest.param((bearer(""),), id="empty"),
        pytest.param((("authorization", ""),), id="no_text"),
        pytest.param((("authorization", BILLING_TOKEN),), id="no_scheme"),
        pytest.param((("authorization", f"Basic {BILLING_TOKEN}"),), id="other_scheme"),
        pytest.param((bearer(f" {BILLING_TOKEN}"),), id="two_spaces"),
        pytest.param((bearer(f"{BILLING_TOKEN} "),), id="space_after"),
        pytest.param((bearer(f"{BILLING_TOKEN}, {BILLING_TOKEN}"),), id="list"),
        pytest.param((bearer(BILLING_TOKEN[:-1]),), id="shorter"),
        pytest.param((bearer(f"{BILLING_TOKEN}="),), id="padded"),
        pytest.param((bearer("b" * 7000),), id="long"),
        pytest.param((("x-authorization", f"Bearer {BILLING_TOKEN}"),), id="other_header"),
        pytest.param((("x-forwarded-client-cert", f"URI={SPIFFE}"),), id="header_of_a_proxy"),
    ],
)
async def test_a_token_that_is_none_names_nobody(
    token_server: Server, proofs: tuple[tuple[str, str], ...]
) -> None:
    async with token_server.api() as api:
        assert_unknown(await api.failed(metadata=with_proof(*proofs)), token_server)


async def test_a_token_of_many_is_found(
    token_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each of them is compared in constant time, whichever fits."""
    compared: list[bool] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", noted)
    async with token_server.api() as api:
        for token in (BILLING_TOKEN, CRM_TOKEN):
            await api.create(step_request(), with_proof(bearer(token)))
        await api.send(step_request().SerializeToString(), with_proof(bearer(CRM_TOKEN)))
        with pytest.raises(grpc.aio.AioRpcError):
            await api.create(step_request(), with_proof(bearer(secrets.token_urlsafe(32))))

    assert [call.key.caller for call in token_server.application.calls] == ["billing", "crm", "crm"]
    assert compared == [True, False, False, True, False, True, False, False]


async def test_both_proofs_have_to_be_of_one_caller(server: Server) -> None:
    async with server.api(server.authority.client(uri(SPIFFE))) as api:
        await api.create(step_request(), with_proof(bearer(BILLING_TOKEN)))
        (arrival,) = server.application.calls
        assert arrival.key.caller == "billing"
        server.application.calls.clear()

        for token in (CRM_TOKEN, UNKNOWN_TOKEN, ""):
            assert_unknown(await api.failed(metadata=with_proof(bearer(token))), server)


async def test_a_token_does_not_help_a_certificate_that_names_nobody(server: Server) -> None:
    for client in (server.authority.client(), server.authority.client(dns("other"))):
        async with server.api(client) as api:
            failure = await api.failed(metadata=with_proof(bearer(BILLING_TOKEN)))
            assert_unknown(failure, server)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff", step_request(request_id="x").SerializeToString(), b"\x0a" + b"x" * 800_000],
    ids=["empty", "garbage", "invalid", "too_large"],
)
async def test_who_is_not_known_learns_nothing_of_its_request(
    token_server: Server, raw: bytes
) -> None:
    async with token_server.api() as api:
        for metadata in ((), (("x-customer-id", ""),), with_proof()):
            assert_unknown(await api.failed(raw, metadata), token_server)


async def test_health_and_the_contract_are_for_everybody(token_server: Server) -> None:
    async with token_server.api() as api:
        assert await check(api.channel) == SERVING
        watching = watch(api.channel)
        assert await next_status(watching) in {SERVING, NOT_SERVING}
        watching.cancel()
        assert "engagement.v1.SequenceStepService" in await listed_services(api.channel)


async def test_neither_a_token_nor_a_name_is_logged(server: Server) -> None:
    async with server.api(server.authority.client(uri("spiffe://canary.example"))) as api:
        for token in ("canary", BILLING_TOKEN):
            await api.failed(metadata=with_proof(bearer(token)))

    assert "canary" not in repr(server.log)
    assert BILLING_TOKEN not in repr(server.log)


async def test_callers_on_connections_of_their_own_are_not_mixed_up(server: Server) -> None:
    ca = server.authority
    async with (
        server.api(ca.client(uri(SPIFFE))) as billing,
        server.api(ca.client(dns("crm.internal"))) as crm,
    ):
        await asyncio.gather(
            *(
                api.create(step_request(), with_proof(customer=customer))
                for _ in range(20)
                for api, customer in ((billing, "globex"), (crm, "acme"))
            )
        )

    seen = {(call.key.caller, call.key.connection.customer_id) for call in server.application.calls}
    assert seen == {("billing", "globex"), ("crm", "acme")}
    assert len(server.application.calls) == 40
