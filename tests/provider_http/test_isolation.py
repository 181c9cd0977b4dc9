"""Nothing of one customer, of the environment, or of a hostile answer gets into a request."""

import traceback
from pathlib import Path

import pytest

from service.domain.provider_call import AnswerLost, CallKind, ProviderRequest
from service.providers.provider_http import ProviderHttp
from tests.provider_http.calls import Answered, Unsent, outcome, request
from tests.provider_http.scripted_server import (
    Peer,
    ScriptedServer,
    answer,
    answer_every_request,
)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_an_answer_and_is_not_followed(client: ProviderHttp, status: int) -> None:
    async with ScriptedServer(answer_every_request) as elsewhere:
        target = elsewhere.url("/stolen")

        async def redirect(peer: Peer) -> None:
            await peer.request()
            peer.send(answer(status, Location=target))

        async with ScriptedServer(redirect) as server:
            received = await client.send(request(server.url()), timeout_seconds=5)
            assert (received.status, received.headers["location"]) == (status, target)
            assert len(server.requests) == 1
        assert elsewhere.peers == []


async def test_cookie_of_one_answer_is_not_sent_with_the_next_request(
    client: ProviderHttp,
) -> None:
    """Two customers share a connection here, as they do in real life."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.send(answer(Set_Cookie="session=first-customer; Path=/"))

    async with ScriptedServer(script) as server:
        for credential in ("first", "second"):
            sent = ProviderRequest(
                "outreach",
                CallKind.WRITE,
                "POST",
                server.url(),
                {"Authorization": credential},
                b"{}",
            )
            assert await outcome(client, sent) == Answered(200)
        assert len(server.peers) == 1
        assert b"Authorization: second".lower() in server.requests[1].lower()
        assert b"cookie" not in server.requests[1].lower()


async def test_proxy_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        ScriptedServer(answer_every_request) as proxy,
        ScriptedServer(answer_every_request) as server,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client = ProviderHttp()
        assert await outcome(client, request(server.url())) == Answered(200)
        await client.aclose()
        assert proxy.peers == []


async def test_netrc_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = ProviderHttp()
    async with ScriptedServer(answer_every_request) as server:
        sent = ProviderRequest(
            "outreach", CallKind.READ, "GET", server.url(), {"X-Api-Key": "secret"}, None
        )
        assert await outcome(client, sent) == Answered(200)
        assert b"authorization" not in server.requests[0].lower()
    await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://provider.example/steps",
        "http://10.0.0.1/steps",
        "http://localhost.provider.example/steps",
        "http://127.0.0.1.provider.example/steps",
    ],
)
async def test_plain_http_is_spoken_to_loopback_only(client: ProviderHttp, url: str) -> None:
    assert await outcome(client, request(url)) == Unsent("the address is not allowed")


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:1/steps",
        "http://LOCALHOST:1/steps",
        "https://Provider.Invalid/steps",
        "https://bücher.invalid/steps",
    ],
)
async def test_unusual_spelling_of_an_allowed_host_is_allowed(
    client: ProviderHttp, url: str
) -> None:
    """Nobody is there, but it is tried: the check of the host does not depend on its spelling."""
    ended = await outcome(client, request(url), timeout_seconds=30)
    assert ended in {
        Unsent("could not connect"),
        Unsent("the host name was not found"),
        Unsent("no connection in time"),
    }


@pytest.mark.parametrize("value", ["secret\r\nX-Evil: 1", "secret\n", "secret\0", "sécret"])
async def test_header_that_cannot_be_sent_is_not_sent(client: ProviderHttp, value: str) -> None:
    async with ScriptedServer(answer_every_request) as server:
        ended = await outcome(
            client,
            ProviderRequest(
                "outreach", CallKind.WRITE, "POST", server.url(), {"X-Key": value}, b""
            ),
        )
        assert ended == Unsent("a header holds a character that cannot be sent")
        assert server.peers == []


@pytest.mark.parametrize("url", ["http://[::1/steps", "https://host:port/steps"])
async def test_url_that_is_none_is_not_sent(client: ProviderHttp, url: str) -> None:
    assert await outcome(client, request(url)) == Unsent("the URL is not valid")


async def test_no_credential_hangs_on_a_failure(client: ProviderHttp) -> None:
    """The exception underneath holds the request's headers; ours must not bring it along."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"garbage\r\n\r\n")

    async with ScriptedServer(script) as server:
        with pytest.raises(AnswerLost) as raised:
            await client.send(request(server.url()), timeout_seconds=5)
    error = raised.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert "secret" not in "".join(traceback.format_exception(error)) + repr(error)
