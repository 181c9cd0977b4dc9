"""The service as a process: how it starts with callers and without, and what it says of it."""

import signal
from pathlib import Path

import grpc
import pytest

from sandbox.server import RunningSandbox
from service.__main__ import main
from service.domain.caller_policy import read_policy
from tests.callers.authority import Authority, channel_credentials, self_signed, uri
from tests.callers.stage import SPIFFE, Files
from tests.service.conftest import environment_for
from tests.service.service_process import run_to_its_end, service_process
from tests.transport.health_probe import check


async def test_without_a_policy_it_says_so_loudly(sandbox: RunningSandbox, tmp_path: Path) -> None:
    environment = environment_for(sandbox.base_url, tmp_path / "db", ENGAGEMENT_LOG_LEVEL="warning")
    async with service_process(environment, tmp_path / "log") as process:
        line = await process.line("callers_not_identified")

    assert line["level"] == "warning"


async def test_with_a_policy_and_tls_it_serves_beyond_loopback(
    sandbox: RunningSandbox, files: Files
) -> None:
    environment = environment_for(
        sandbox.base_url,
        files.folder / "db",
        ENGAGEMENT_LISTEN="0.0.0.0:0",
        ENGAGEMENT_DRAIN_DELAY_SECONDS="0",
        **files.settings,
    )
    async with service_process(environment, files.folder / "log") as process:
        await process.port()
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0

    events = [line["event"] for line in process.log()]
    assert events == ["policy_loaded", "serving", "stopping", "stopped"]


async def test_strangers_write_nothing_into_the_log(
    sandbox: RunningSandbox, files: Files, authority: Authority
) -> None:
    """Each handshake that fails would be a line of gRPC's core, which is no JSON."""
    environment = environment_for(sandbox.base_url, files.folder / "db", **files.settings)
    credentials = channel_credentials(authority.certificate, self_signed(uri(SPIFFE)))
    async with service_process(environment, files.folder / "log") as process:
        port = await process.port()
        for channel in (
            grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials),
            grpc.aio.insecure_channel(f"127.0.0.1:{port}"),
        ):
            async with channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await check(channel)

    assert [line["event"] for line in process.log()] == ["policy_loaded", "serving"]


async def test_a_policy_that_is_wrong_is_told_in_full(
    sandbox: RunningSandbox, files: Files
) -> None:
    files.policy.write_text("[callers.billing]\n[callers.crm]")
    environment = environment_for(sandbox.base_url, files.folder / "db", **files.settings)

    status, said = await run_to_its_end(environment, files.folder / "log")

    assert status == 2
    assert said.splitlines() == [
        f"The policy {files.policy} cannot be used:",
        'callers.billing has no customers: list their ids, or ["*"].',
        "callers.billing has no proof: give it tls_names or token_sha256.",
        'callers.crm has no customers: list their ids, or ["*"].',
        "callers.crm has no proof: give it tls_names or token_sha256.",
    ]


async def test_certificate_names_without_an_authority_of_clients_are_refused(
    sandbox: RunningSandbox, files: Files
) -> None:
    environment = environment_for(sandbox.base_url, files.folder / "db", **files.settings)
    del environment["ENGAGEMENT_TLS_CLIENT_CA"]

    status, said = await run_to_its_end(environment, files.folder / "log")

    assert status == 2
    assert "callers.billing.tls_names proves nothing: without ENGAGEMENT_TLS_CLIENT_CA" in said


async def test_a_certificate_that_is_wrong_is_told(sandbox: RunningSandbox, files: Files) -> None:
    files.key.unlink()
    environment = environment_for(sandbox.base_url, files.folder / "db", **files.settings)

    status, said = await run_to_its_end(environment, files.folder / "log")

    assert (status, said) == (2, f"{files.key} cannot be read: No such file or directory.\n")


def test_a_new_token_comes_with_its_line_for_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(20):
        assert main(["tokens", "new"]) == 0
        written = capsys.readouterr()
        token, line = written.out.splitlines()
        assert written.err.startswith("note: ")
        assert token not in written.err + line
        text = f'[callers.a]\ncustomers = ["acme"]\n{line}'
        policy = read_policy(text, demands_certificates=False)
        caller = policy.identify(None, token)
        assert caller is not None
        assert caller.name == "a"
        tokens.add(token)

    assert len(tokens) == 20
