"""deploy/Dockerfile: what it says, and what it makes, run as a cluster would run it."""

import asyncio
import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from service.stores.key_ring import new_entry
from tests.callers.authority import Authority, dns
from tests.deploy.image import Image, chain, copied, extras, made_image, stages, values
from tests.deploy.manifests import Manifests, rendered, settings_of
from tests.deploy.versions import PROJECT_VERSION
from tests.service.programs import PROGRAMS, ROOT, run
from tests.service.service_process import ServiceProcess

FINAL = pytest.mark.parametrize("name", ["service", "sandbox"])
MOUNTS = "/etc/sequence-steps"


async def test_its_linter_has_nothing_to_say(tmp_path: Path) -> None:
    found = await run(PROGRAMS / "hadolint", "deploy/Dockerfile", home=tmp_path)
    assert (found.status, found.output, found.errors) == (0, "", "")


@FINAL
def test_it_runs_as_a_number_that_is_not_root(name: str) -> None:
    [user] = values(chain(name), "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@FINAL
def test_it_says_which_version_it_is(name: str) -> None:
    [label] = values(chain(name), "LABEL")
    assert f'org.opencontainers.image.version="{PROJECT_VERSION}"' in label


def test_all_stages_are_of_one_base_with_a_tag() -> None:
    of_others = {steps[0][1] for steps in stages().values()} - stages().keys()
    assert len(of_others) == 1
    assert re.fullmatch(r"python:3\.11-slim-\w+", of_others.pop())


def test_the_service_is_what_is_built_without_a_target() -> None:
    assert [*stages()][-1] == "service"


def test_it_has_the_extras_that_it_is_for() -> None:
    assert extras("service") == {"postgres", "otel"}
    assert extras("sandbox") == {"sandbox"}


def test_nothing_is_installed_without_its_hash() -> None:
    [*commands] = re.findall(
        r"\b((?:uv )?pip install|uv build)\b(.*?)(?=&&|$)",
        "\n".join(rest for steps in stages().values() for rest in values(steps, "RUN")),
        re.MULTILINE,
    )
    assert len(commands) == 6
    for _, options in commands:
        assert "--require-hashes" in options or "--no-deps dist/*.whl" in options


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {*copied()}
    assert "**/__pycache__" in lines


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with made_image("service") as made:
        yield made


@pytest.fixture(scope="module")
def sandbox_image() -> Iterator[Image]:
    with made_image("sandbox") as made:
        yield made


class Pod:
    """A pod of the manifests: its files and variables, with values in place of placeholders."""

    def __init__(self, folder: Path, image: Image, database: str) -> None:
        self.manifests: Manifests = rendered("base")
        self.folder = folder
        [self.container] = self.manifests.serving()["containers"]
        self._write(image)
        ours = {
            "ENGAGEMENT_KEYS": new_entry(),
            "ENGAGEMENT_DATABASE": database,
            "ENGAGEMENT_LISTEN": "127.0.0.1:0",
            "ENGAGEMENT_METRICS_LISTEN": "127.0.0.1:0",
            "ENGAGEMENT_DRAIN_DELAY_SECONDS": "0",
        }
        given = self.manifests.environment(self.container["envFrom"]) | ours
        self.environment = {name: self.here(text) for name, text in given.items()}

    def here(self, text: str) -> str:
        """Return a path, or an option with one, as it is in this pod."""
        return text.replace(MOUNTS, str(self.folder))

    def _write(self, image: Image) -> None:
        """Write the mounted files; as in a cluster, the group may read them."""
        authority = Authority()
        server = authority.client(
            dns("sequence-step-service"), purpose=ExtendedKeyUsageOID.SERVER_AUTH
        )
        probe = authority.client(dns("probe.internal"))
        secret = {
            "tls/ca.crt": authority.certificate,
            "tls/tls.crt": server.certificate,
            "tls/tls.key": server.key,
            "probe/tls.crt": probe.certificate,
            "probe/tls.key": probe.key,
        }
        for path, text in self.manifests.files(self.manifests.serving()).items():
            file = Path(self.here(path))
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(secret.get(path.removeprefix(f"{MOUNTS}/"), text.encode()))
            file.chmod(0o440)
            if os.geteuid() == 0:
                os.chown(file, 0, image.user[1])


@pytest.fixture
def pod(image: Image, empty_postgres_url: str) -> Iterator[Pod]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Pod(Path(folder), image, empty_postgres_url)


async def finished(
    image: Image, *command: str, environment: Mapping[str, str]
) -> tuple[int | None, str]:
    """Run a command of the image to its end; return its exit status and what it said."""
    with tempfile.TemporaryFile() as output:
        process = await image.start(*command, environment=environment, output=output)
        status = await asyncio.wait_for(process.wait(), 60)
        output.seek(0)
        return status, output.read().decode()


def entry(image: Image, arguments: list[str] | None = None) -> list[str]:
    """Return the image's command; a container's arguments stand in place of its own."""
    [entrypoint] = values(image.steps, "ENTRYPOINT")
    own: list[str] = json.loads((values(image.steps, "CMD") or ["[]"])[0])
    return [*json.loads(entrypoint), *(own if arguments is None else arguments)]


def migration(manifests: Manifests) -> Any:
    [container] = manifests.one("Job")["spec"]["template"]["spec"]["containers"]
    return container["args"]


async def test_it_migrates_serves_answers_its_probe_and_stops(
    image: Image, pod: Pod, tmp_path: Path
) -> None:
    before = image.paths()
    migrated = await finished(
        image, *entry(image, migration(pod.manifests)), environment=pod.environment
    )
    assert migrated[0] == 0, migrated[1]
    with (tmp_path / "log").open("wb") as log:
        process = await image.start(
            *entry(image, pod.container["args"]), environment=pod.environment, output=log
        )
    try:
        service = ServiceProcess(process, tmp_path / "log", settings_of(pod.environment))
        port = await service.port()
        probe = [pod.here(each) for each in pod.container["readinessProbe"]["exec"]["command"]]
        asked = await finished(image, *probe, f"--address=127.0.0.1:{port}", environment={})
        process.terminate()
        ended = await service.ended()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert asked == (0, "SERVING\n")
    assert ended == 0
    assert image.paths() == before


def test_its_own_command_is_that_of_the_pods(image: Image, pod: Pod) -> None:
    assert entry(image) == entry(image, pod.container["args"])


async def test_the_sandbox_serves(sandbox_image: Image) -> None:
    before = sandbox_image.paths()
    process = await sandbox_image.start(
        *entry(sandbox_image), "--port=0", environment={}, output=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode()
        url = said.removeprefix("sandbox listening on ").strip()
        accounts = await asyncio.to_thread(urllib.request.urlopen, f"{url}/_sandbox/accounts")
        with accounts:
            assert b"outreach-demo" in accounts.read()
    finally:
        process.terminate()
        await process.communicate()
    assert sandbox_image.paths() == before
