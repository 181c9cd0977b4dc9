"""docs/security.md: its commands run as they are written, and a call with what they made."""

import json
import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.domain.caller_policy import read_policy
from service.transport.policy_file import CHECK_SECONDS
from service.transport.server import CONNECTION_AGE_GRACE_MS, CONNECTION_AGE_MS_MAX
from tests.service.conftest import NewAccount, environment_for
from tests.service.programs import PROGRAMS, ROOT, Finished, run
from tests.service.service_process import service_process

PAGE = (ROOT / "docs/security.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text for language, text in BLOCKS if not language]
POLICIES = [text for language, text in BLOCKS if language == "toml"]
[SETTINGS] = [block for block in COMMANDS if "export" in block]
[CALL] = [block for block in COMMANDS if "grpcurl -" in block]
CERTIFICATES = [block for block in COMMANDS if "openssl" in block]


async def in_folder(folder: Path, script: str) -> Finished:
    """Run commands as a person does who has the checkout's programs on the path."""
    line = f"cd {folder}; export PATH={PROGRAMS}:$PATH; {script}"
    return await run("bash", "-e", "-c", line, home=folder)


async def test_a_caller_with_certificates_as_they_are_written(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    made = await in_folder(tmp_path, "\n".join(CERTIFICATES))
    assert made.status == 0, made.errors
    (tmp_path / "policy.toml").write_text(POLICIES[0])
    environment = environment_for(
        sandbox.base_url, tmp_path / "db", **page_settings(tmp_path), ENGAGEMENT_LISTEN="0.0.0.0:0"
    )
    account = await new_account("outreach")

    async with service_process(environment, tmp_path / "log") as process:
        port = await process.port()
        async with opened_stores(process.settings) as stores:
            await stores.connections.put(replace(account, name="acme").connection())
        called = await in_folder(tmp_path, CALL.replace(":50051", f":{port}"))
        stranger = CALL.replace(":50051", f":{port}").replace("acme", "initech")
        refused = await in_folder(tmp_path, stranger)

    assert (called.status, called.errors) == (0, "")
    assert json.loads(called.output)["id"] in await account.step_ids()
    assert "PermissionDenied" in refused.errors
    assert {"callers": 2, "tls_names": 3, "tokens": 0}.items() <= process.log()[0].items()


def page_settings(folder: Path) -> dict[str, str]:
    """Return the page's settings, with paths that are right from anywhere."""
    said = dict(re.findall(r"^export (ENGAGEMENT_\w+)=(\S+)", SETTINGS, re.MULTILINE))
    assert said.pop("ENGAGEMENT_LISTEN") == "0.0.0.0:50051"
    assert said.pop("ENGAGEMENT_REFLECTION") == "true"
    assert set(said.values()) == {"policy.toml", "server.crt", "server.key", "ca.crt"}
    return {name: str(folder / file) for name, file in said.items()}


async def test_a_token_is_made_as_it_is_written(tmp_path: Path) -> None:
    [command] = [block for block in COMMANDS if "tokens new" in block]
    made = await in_folder(tmp_path, command)

    assert made.status == 0
    token, line = made.output.splitlines()
    assert tomllib.loads(line).keys() == {"token_sha256"}
    assert token not in line


@pytest.mark.parametrize("text", POLICIES)
def test_the_policies_are_good_ones(text: str) -> None:
    read_policy(text, demands_certificates="tls_names" in text)


def test_the_times_are_the_servers() -> None:
    with_jitter_ms = 1.1 * CONNECTION_AGE_MS_MAX + CONNECTION_AGE_GRACE_MS
    assert set(re.findall(r"(\d+) minutes", PAGE)) == {str(math.ceil(with_jitter_ms / 60_000))}
    assert f"every {CHECK_SECONDS:.0f} seconds" in PAGE
