"""docs/deployment.md: what it names is there, and its certificates are those that are needed."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest
import yaml

from service.__main__ import command_parser, main
from tests.callers.authority import Authority
from tests.callers.stage import NAMED, Files, serving
from tests.deploy.manifests import rendered
from tests.deploy.versions import PROJECT_VERSION
from tests.service.programs import ROOT, run

PAGE = (ROOT / "docs/deployment.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text for language, text in BLOCKS if not language]
COMMAND = (
    r"sequence-step-service(?:-- |:[\d.]+| |\\|\n)+"
    r"((?:health|migrate|connections|operations|keys|tokens)[\w -]*)"
)
SECURITY = (ROOT / "docs/security.md").read_text()


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bdeploy/[\w./-]+\w", PAGE))))
def test_a_file_that_it_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_versions_are_this_one() -> None:
    named = re.findall(r"(?:sequence-step-service:|newTag: |version=)([\w.-]+)", PAGE)
    assert set(named) == {PROJECT_VERSION}


def test_the_objects_that_it_names_are_there() -> None:
    names = {name for _, name in rendered("base").objects}
    named = set(re.findall(r"\bsequence-step-(?!service[.-])\w+", PAGE))
    assert named - {"sequence-step-service"} <= names


def test_its_own_kustomization_is_of_the_base() -> None:
    [text] = [text for language, text in BLOCKS if language == "yaml"]
    kustomization = yaml.safe_load(text)
    [base] = kustomization["resources"]
    assert (ROOT / base.partition("/sequence-step-service/")[2] / "kustomization.yaml").exists()
    [image] = kustomization["images"]
    pods = rendered("base").pods()
    images = {each["image"] for pod in pods for each in pod["spec"]["containers"]}
    assert images == {f"{image['name']}:{image['newTag']}"}


@pytest.mark.parametrize("command", sorted(set(re.findall(COMMAND, PAGE))))
def test_its_commands_are_the_services(command: str) -> None:
    assert command_parser().parse_args(shlex.split(command)).command == command.split(maxsplit=1)[0]


async def test_the_certificates_are_what_server_and_probe_need(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the authority of docs/security.md."""
    ca = re.findall(r"^openssl req -x509.*?ca\.crt$", SECURITY, re.MULTILINE | re.DOTALL)
    [made] = [text for text in COMMANDS if "openssl x509" in text]
    script = "\n".join((f"cd {tmp_path}", *ca, made))
    done = await run("bash", "-e", "-c", script, home=tmp_path)
    assert done.status == 0, done.errors
    files = Files(tmp_path)
    files.policy.write_text(NAMED)
    files.client_ca.write_bytes((tmp_path / "ca.crt").read_bytes())
    [container] = rendered("base").serving()["containers"]
    probe = container["readinessProbe"]["exec"]["command"]
    here = {"tls/ca.crt": "ca.crt", "probe/tls": "probe"}

    async with serving(files, Authority(), asks_clients=True) as server:
        options = [each.replace("/etc/sequence-steps", str(tmp_path)) for each in probe[1:]]
        for ours, its in here.items():
            options = [each.replace(ours, its) for each in options]
        capfd.readouterr()
        status = await asyncio.to_thread(main, [*options, f"--address=127.0.0.1:{server.port}"])
    assert (status, capfd.readouterr()) == (0, ("SERVING\n", ""))
