"""The policy's file while a server serves: what a change does, and what a broken one does not."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.transport import policy_file
from service.transport.policy_file import PolicyFile, PolicyUnusable
from tests.callers.authority import uri
from tests.callers.stage import (
    BILLING_TOKEN,
    NAMED,
    SPIFFE,
    TOKENS_ALONE,
    Files,
    Server,
    bearer,
    failure_for,
    with_proof,
)
from tests.service.conftest import Client
from tests.transport.stand_in import step_request


def loaded(path: Path) -> PolicyFile:
    return PolicyFile(path, demands_certificates=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(TOKENS_ALONE)
    return path


async def test_a_change_is_in_force_for_the_next_call(server: Server, files: Files) -> None:
    async with server.api(server.authority.client(uri(SPIFFE))) as api:
        await api.create(step_request(), with_proof(customer="globex"))
        files.replace(files.policy, NAMED.replace("globex", "initech").encode())
        server.policy.reload_if_changed()

        assert (await api.failed(metadata=with_proof(customer="globex"))).reason == (
            "CUSTOMER_FORBIDDEN"
        )
        await api.create(step_request(), with_proof(customer="initech"))
        files.replace(files.policy, NAMED.replace("billing", "invoices").encode())
        server.policy.reload_if_changed()

        assert (await api.failed()).reason == "CALLER_UNAUTHENTICATED"
    assert (
        server.events("policy_loaded")
        == [
            {
                "event": "policy_loaded",
                "log_level": "info",
                "path": str(files.policy),
                "callers": 2,
                "tls_names": 4,
                "tokens": 2,
            }
        ]
        * 3
    )


BROKEN = [
    pytest.param(b"[callers.", "It is not valid TOML: ", id="no_toml"),
    pytest.param(b"", "It has no callers: each is a table [callers.NAME].", id="empty"),
    pytest.param(b"\xff", "It is not UTF-8.", id="not_utf_8"),
    pytest.param(b"#" * (1024 * 1024 + 1), "It has more than 1048576 bytes.", id="large"),
    pytest.param(NAMED.encode(), "callers.billing.tls_names proves nothing: ", id="other_problem"),
    pytest.param(None, "No such file or directory.", id="missing"),
]


@pytest.mark.parametrize(("content", "problem"), BROKEN)
def test_a_broken_change_keeps_the_policy_and_is_told_once(
    path: Path, content: bytes | None, problem: str
) -> None:
    with capture_logs() as log:
        policy = loaded(path)
        before = policy.current
        Files.replace(path, content)
        for _ in range(3):
            policy.reload_if_changed()

        assert policy.current is before
        kept = log[1:]
        assert [(line["event"], line["log_level"], line["path"]) for line in kept] == [
            ("policy_kept", "error", str(path))
        ]
        assert kept[0]["problems"][0].startswith(problem)

        Files.replace(path, TOKENS_ALONE.replace("acme", "initech").encode())
        policy.reload_if_changed()
    assert policy.current.callers[0].customers == {"initech", "globex"}
    assert log[-1]["event"] == "policy_loaded"


@pytest.mark.parametrize(("content", "problem"), BROKEN)
def test_a_server_does_not_start_with_a_broken_policy(
    path: Path, content: bytes | None, problem: str
) -> None:
    Files.replace(path, content)

    with pytest.raises(PolicyUnusable) as unusable:
        loaded(path)

    first, *others = str(unusable.value).splitlines()
    assert first == f"The policy {path} cannot be used:"
    assert others[0].startswith(problem)


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnusable, match=r"cannot be used:\nIs a directory\.$"):
        loaded(tmp_path)


def test_a_mounted_folder_that_is_swapped_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes does it: the path goes through a link, and the link is another one later.

    Size and time of the file are the same.
    """
    for name, customer in (("first", "acme"), ("second", "emca")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.toml").write_text(TOKENS_ALONE.replace("acme", customer))
        os.utime(tmp_path / name / "policy.toml", (1, 1))
    (tmp_path / "data").symlink_to("first")
    (tmp_path / "policy.toml").symlink_to("data/policy.toml")
    policy = loaded(tmp_path / "policy.toml")

    (tmp_path / "swapped").symlink_to("second")
    (tmp_path / "swapped").replace(tmp_path / "data")
    policy.reload_if_changed()

    assert "emca" in policy.current.callers[0].customers


def test_a_file_that_has_not_changed_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = loaded(path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(policy_file, "read_policy", never)
    for _ in range(3):
        policy.reload_if_changed()


def test_a_log_that_cannot_be_written_stops_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def info(self, *_: object, **__: object) -> None:
            raise ValueError("I/O operation on closed file")

        error = info

    monkeypatch.setattr(policy_file, "_log", Closed())
    policy = loaded(path)
    Files.replace(path, b"")
    policy.reload_if_changed()
    Files.replace(path, TOKENS_ALONE.replace("acme", "initech").encode())
    policy.reload_if_changed()

    assert "initech" in policy.current.callers[0].customers


async def test_the_service_follows_the_file_by_itself(client: Client, files: Files) -> None:
    """A caller whose customers are others now, within seconds and without a restart."""
    proof = with_proof(bearer(BILLING_TOKEN))
    assert (await failure_for(client, proof)).reason == "CONNECTION_MISSING"

    files.replace(files.policy, TOKENS_ALONE.replace("acme", "initech").encode())

    async with asyncio.timeout(30):
        while True:
            reason = (await failure_for(client, proof)).reason
            if reason != "CONNECTION_MISSING":
                break
            await asyncio.sleep(0.1)
    assert reason == "CUSTOMER_FORBIDDEN"
