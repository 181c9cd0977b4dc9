"""`health` as a probe runs it: against servers with and without TLS, that drain, or are gone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from service.__main__ import main
from service.transport import health_check
from service.transport.caller_identity import local_caller
from service.transport.server import GrpcServer, StopTimes
from tests.callers import conftest as of_callers
from tests.callers.authority import Authority, Identity, dns
from tests.callers.stage import Files, Server
from tests.transport.stand_in import StandIn, nothing_to_finish, servicer_for

authority, files = of_callers.authority, of_callers.files
server, token_server = of_callers.server, of_callers.token_server


class Health:
    """The command, and what it said."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    async def ask(self, port: int, *options: str | Path) -> tuple[int, str, str]:
        self._capfd.readouterr()
        arguments = ["health", "--address", f"127.0.0.1:{port}", *map(str, options)]
        status = await asyncio.to_thread(main, arguments)
        said = self._capfd.readouterr()
        return status, said.out, said.err

    async def refuse(self, *options: str | Path) -> str:
        """Return what it says of options that cannot be taken; it asks nobody then."""
        status, out, err = await self.ask(1, *options)
        assert (status, out) == (2, "")
        return err


@pytest.fixture
def health(capfd: pytest.CaptureFixture[str]) -> Health:
    return Health(capfd)


@pytest.fixture
async def plain() -> AsyncIterator[tuple[GrpcServer, int]]:
    """A server without TLS, and its port."""
    made = GrpcServer(
        servicer_for(StandIn()), local_caller, requests_in_flight_max=9, reflects=False
    )
    with capture_logs():
        port = await made.start("127.0.0.1:0")
        yield made, port
        await made.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())


def written(folder: Path, identity: Identity) -> tuple[str | Path, ...]:
    """Write a client's certificate and key; return the options that name them."""
    certificate, key = folder / "probe.crt", folder / "probe.key"
    certificate.write_bytes(identity.certificate)
    key.write_bytes(identity.key)
    return ("--certificate", certificate, "--key", key)


async def test_a_server_that_serves(health: Health, plain: tuple[GrpcServer, int]) -> None:
    assert await health.ask(plain[1]) == (0, "SERVING\n", "")


async def test_the_environments_proxy_is_not_asked(
    health: Health, plain: tuple[GrpcServer, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await health.ask(plain[1]) == (0, "SERVING\n", "")


async def test_a_server_that_drains(health: Health, plain: tuple[GrpcServer, int]) -> None:
    drains, port = plain
    hurry = asyncio.Event()
    stopping = asyncio.create_task(drains.stop(StopTimes(60, 0, 0), nothing_to_finish, hurry))
    while (said := await health.ask(port)) == (0, "SERVING\n", ""):
        continue
    hurry.set()
    await stopping
    assert said == (1, "NOT_SERVING\n", "")


async def test_nobody_there(health: Health) -> None:
    status, out, err = await health.ask(1)
    assert (status, out) == (1, "")
    assert err.startswith("error: UNAVAILABLE: ")
    assert err.count("\n") == 1


async def test_a_server_that_never_answers(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "CHECK_SECONDS_MAX", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # It takes connections, and is silent.
        status, out, err = await health.ask(mute.getsockname()[1])
    assert (status, out) == (1, "")
    assert err.startswith("error: DEADLINE_EXCEEDED: ")


async def test_a_certificate_that_is_in_no_policy_is_enough(
    health: Health, server: Server, files: Files, authority: Authority
) -> None:
    probe = written(files.folder, authority.client(dns("probe.internal")))
    said = await health.ask(server.port, "--ca", files.client_ca, *probe)
    assert said == (0, "SERVING\n", "")


async def test_without_a_certificate_there_is_no_answer(
    health: Health, server: Server, files: Files
) -> None:
    status, out, err = await health.ask(server.port, "--ca", files.client_ca)
    assert (status, out) == (1, "")
    assert "error: UNAVAILABLE: " in err


async def test_a_server_that_asks_for_no_certificate(
    health: Health, token_server: Server, files: Files
) -> None:
    said = await health.ask(token_server.port, "--ca", files.client_ca)
    assert said == (0, "SERVING\n", "")


async def test_a_server_of_another_authority(
    health: Health, token_server: Server, files: Files
) -> None:
    other = files.folder / "other.crt"
    other.write_bytes(Authority("Another").certificate)
    status, out, _ = await health.ask(token_server.port, "--ca", other)
    assert (status, out) == (1, "")


async def test_a_server_whose_certificate_lacks_the_address(
    health: Health, token_server: Server, files: Files, authority: Authority
) -> None:
    named = authority.client(
        dns("steps.internal"), purpose=ExtendedKeyUsageOID.SERVER_AUTH, common_name="server"
    )
    files.write_server(named)
    status, out, _ = await health.ask(token_server.port, "--ca", files.client_ca)
    assert (status, out) == (1, "")
    by_name = ("--ca", files.client_ca, "--server-name", "steps.internal")
    assert await health.ask(token_server.port, *by_name) == (0, "SERVING\n", "")


async def test_options_that_make_no_sense(health: Health, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    both = "error: give both --certificate and --key, or neither\n"
    assert await health.refuse("--ca", file, "--certificate", file) == both
    assert await health.refuse("--ca", file, "--key", file) == both
    no_ca = "error: --ca is missing: without it there is no TLS\n"
    assert await health.refuse("--certificate", file, "--key", file) == no_ca
    assert await health.refuse("--server-name", "steps.internal") == no_ca
    gone = tmp_path / "gone"
    said = await health.refuse("--ca", gone)
    assert said == f"error: cannot read {gone}: No such file or directory\n"


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1", ":50051", "host:port"])
def test_an_address_that_is_none(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["health", "--address", address])
    assert ended.value.code == 2
    assert "must be host:port" in capsys.readouterr().err
