"""docs/deployment.md: its commands run as they are written, and fit the files that they are for."""

import json
import re
import shlex
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from service.__main__ import command_parser
from service.domain.caller_policy import read_policy
from service.settings import Settings
from tests.deploy.image import DOCKERFILE, stages, values
from tests.deploy.manifests import FOLDER, SECRETS, content, read, rendered
from tests.deploy.recorded import NOT_HERE, run_recorded
from tests.deploy.versions import PROJECT_VERSION
from tests.docs.known_programs import check
from tests.docs.shell import Command, commands
from tests.service.programs import PROGRAMS, ROOT, run

NAME = "docs/deployment.md"
PAGE = (ROOT / NAME).read_text()
IMAGE = f"sequence-step-service:{PROJECT_VERSION}"
OWN_PROGRAM = "sequence-step-service"
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]

SECTIONS = {
    title: text
    for title, text in re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE)
    if "\n```\n" in text
}
[OVERLAY] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMESPACE = yaml.safe_load(OVERLAY)["namespace"]

UNIT_FILE = "deploy/systemd/sequence-step-service.service"
UNIT = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / UNIT_FILE).read_text(), re.MULTILINE))


def script_of(title: str) -> str:
    """Return a section's blocks, then the commands within its sentences."""
    block = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    blocks = [text for language, text in block.findall(SECTIONS[title]) if not language]
    code = re.findall(r"`([^`\n]+)`", block.sub("", SECTIONS[title]))
    script = "\n".join([*blocks, *(each for each in code if each.partition(" ")[0] in NOT_HERE)])
    for command in commands(script):
        if command.program not in NOT_HERE:
            check(NAME, command)  # Nothing is run that is not known to be for this.
    return script


def refuse(program: str, arguments: Sequence[str]) -> None:
    pytest.fail(f"no test knows this form: {program} {shlex.join(arguments)}")


def check_own(command: Sequence[str]) -> None:
    assert command[0] == OWN_PROGRAM
    command_parser().parse_args(command[1:])


def test_each_section_with_commands_is_run() -> None:
    assert [*SECTIONS] == ["The image", "Kubernetes", "Compose", "systemd"]


async def test_the_image(tmp_path: Path) -> None:
    author = "-c user.name=A -c user.email=a@b.invalid"
    made = f"git init --quiet; git {author} commit --quiet --allow-empty --message=Empty"
    done = await run_recorded(f"{made}\n{script_of('The image')}", tmp_path)
    for arguments in done.of("docker"):
        check_docker(arguments)
        [revision] = [each for each in arguments if each.startswith("REVISION=")]
        assert re.fullmatch(r"REVISION=[0-9a-f]{40}", revision)


def check_docker(arguments: Sequence[str]) -> None:
    """Refuse what does not fit deploy/Dockerfile and deploy/compose.yaml."""
    match arguments:
        case ["build", "-f", file, "--build-arg", argument, "-t", tag, "."]:
            assert ROOT / file == DOCKERFILE
            declared = values(stages()["service"], "ARG")
            assert argument.partition("=")[0] in {each.partition("=")[0] for each in declared}
            assert tag == IMAGE
        case ["run", "--rm", image, *command]:
            assert image == IMAGE
            check_own([OWN_PROGRAM, *command])
        case ["compose", "build", *services]:
            assert all("build" in COMPOSE[name] for name in services)
        case ["compose", "up", "--detach", "--wait", service]:
            assert "healthcheck" in COMPOSE[service]
        case ["compose", "up", "--detach", "--build", service]:
            assert "build" in COMPOSE[service]
        case ["compose", "exec", "-T", service, *command]:
            assert COMPOSE[service]["image"] == IMAGE
            check_own(command)
        case _:
            refuse("docker", arguments)


async def test_kubernetes(tmp_path: Path) -> None:
    """In a folder beside the checkout, with the callers' authority of docs/security.md."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    (folder / "sequence-step-service").symlink_to(ROOT)
    folders = re.findall(r"^With `(.*)` and `(.*)` as your two folders", PAGE, re.MULTILINE)
    for name, ours in zip(*folders, ("base", "migration"), strict=True):
        write_overlay(folder / name, ours)
    lines = [f"{name}={text}\n" for name, text in content(read(SECRETS)[0]).items()]
    (folder / "secrets.env").write_text("".join(lines))
    (folder / "connection.json").touch()
    security = (ROOT / "docs/security.md").read_text()
    [authority] = re.findall(r"^openssl req -x509.*?ca\.crt$", security, re.MULTILINE | re.DOTALL)

    done = await run_recorded(f"{authority}\n{script_of('Kubernetes')}", folder)

    made = {}
    for arguments in done.of("kubectl"):
        match arguments:
            case ["-n", "engagement", "create", "secret", kind, name, *options]:
                made[name] = secret(kind, options, folder)
            case _:
                check_kubectl(arguments, folder)
    assert made == {
        each["metadata"]["name"]: (each.get("type", "Opaque"), {*content(each)})
        for each in read(SECRETS)
    }


def write_overlay(folder: Path, ours: str) -> None:
    """Write the page's kustomization, or what the page says of the one for the migration."""
    overlay = yaml.safe_load(OVERLAY)
    if ours == "migration":
        overlay = {name: overlay[name] for name in [*overlay][:2]}
        overlay["resources"] = [f"../sequence-step-service/{FOLDER.relative_to(ROOT)}/migration"]
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))


def check_kubectl(arguments: Sequence[str], folder: Path) -> None:
    """Refuse what does not fit deploy/kubernetes, or another namespace than the page's own."""
    objects = {
        f"{kind.lower()}/{name}": it for (kind, name), it in rendered("base").objects.items()
    }
    match arguments:
        case ["create", "namespace", namespace]:
            assert namespace == NAMESPACE
        case ["apply", "-k", name]:
            kustomization = yaml.safe_load((folder / name / "kustomization.yaml").read_text())
            assert kustomization["namespace"] == NAMESPACE
            for resource in kustomization["resources"]:
                assert (folder / name / resource / "kustomization.yaml").exists()
        case ["-n", namespace, *command]:
            assert namespace == NAMESPACE
            match command:
                case ["wait", "--for=condition=complete", "--timeout=15m", target]:
                    assert objects[target]["spec"]["activeDeadlineSeconds"] == 15 * 60
                case ["rollout", "status" | "undo" | "restart", target]:
                    assert objects[target]["kind"] == "Deployment"
                case ["exec", "-i", target, "--", *inside]:
                    assert objects[target]["kind"] == "Deployment"
                    check_own(inside)
                case ["delete", "job", name, "--ignore-not-found"]:
                    assert f"job/{name}" in objects
                case _:
                    refuse("kubectl", arguments)
        case _:
            refuse("kubectl", arguments)


def secret(kind: str, options: Sequence[str], folder: Path) -> tuple[str, set[str]]:
    """Return the type and the entries of a Secret; certificates have to be of their keys."""
    entries: dict[str, str] = {}
    type_ = "kubernetes.io/tls" if kind == "tls" else "Opaque"
    for option in options:
        match option.split("="):
            case ["--from-env-file", file] if kind == "generic":
                names = re.findall(r"^(\w+)=", (folder / file).read_text(), re.MULTILINE)
                entries |= dict.fromkeys(names, file)
            case ["--from-file", name, file] if kind == "generic":
                entries[name] = file
            case ["--type", type_] if kind == "generic":
                pass
            case ["--cert" | "--key" as name, file] if kind == "tls":
                entries[{"--cert": "tls.crt", "--key": "tls.key"}[name]] = file
            case _:
                refuse(f"kubectl create secret {kind}", options)
    for file in entries.values():
        assert (folder / file).read_text()
    if type_ == "kubernetes.io/tls":
        certificate, key = (folder / entries[name] for name in ("tls.crt", "tls.key"))
        ssl.create_default_context().load_cert_chain(certificate, key)
    return type_, {*entries}


async def test_compose(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    folder.mkdir()

    done = await run_recorded(script_of("Compose"), folder)

    asked = {"POSTGRES_PASSWORD", "ENGAGEMENT_KEYS"}
    environment = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    assert environment.keys() == asked
    assert all(environment.values())
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    [first, *_] = done.calls
    assert {name: first.environment.get(name) for name in asked} == dict.fromkeys(asked, "-")
    for arguments in done.of("docker"):
        check_docker(arguments)
    check_policy(folder / "compose", done.output)
    [put] = [call for call in done.calls if call.arguments[:2] == ["compose", "exec"]]
    database = {"ENGAGEMENT_DATABASE": str(tmp_path / "db"), **environment}
    line = f"{shlex.join(put.arguments[4:])} <<< {shlex.quote(put.input)}"
    stored = await run("bash", "-c", f"{PROGRAMS}/{line}", home=tmp_path, environment=database)
    assert stored.status == 0, stored.errors
    assert f"`{json.loads(put.input)['credential']}`" in (ROOT / "sandbox/README.md").read_text()


def check_policy(folder: Path, printed: str) -> None:
    """Check the mounted folder, once the entry that `tokens new` printed is in its policy."""
    service = COMPOSE["service"]
    [mount] = service["volumes"]
    assert mount["source"] == f"./{folder.name}"
    file = folder / Path(service["environment"]["ENGAGEMENT_POLICY"]).name
    _, entry = printed.splitlines()
    policy = file.read_text().replace('token_sha256 = ["…"]', entry)
    assert entry in policy
    read_policy(policy, demands_certificates=False)
    assert [path.stat().st_mode & 0o777 for path in (folder, file)] == [0o755, 0o644]


async def test_systemd(tmp_path: Path) -> None:
    """In a checkout in which `make` has run; below a folder that stands for the machine's /opt."""
    folder = tmp_path / "checkout"
    (folder / "dist").mkdir(parents=True)
    wheel = f"dist/sequence_step_service-{PROJECT_VERSION}-py3-none-any.whl"
    (folder / wheel).touch()
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / OWN_PROGRAM).symlink_to(PROGRAMS / OWN_PROGRAM)
    installed = f"/opt/{OWN_PROGRAM}/bin/{OWN_PROGRAM}"
    here = f"{tmp_path}{installed}"

    done = await run_recorded(
        script_of("systemd").replace(f"\n{installed}", f"\n{here}"),
        folder,
        programs / "uv",
        Path(here),
    )

    target = f"/opt/{OWN_PROGRAM}-{PROJECT_VERSION}"
    install, build, install_wheel = (shlex.split(each) for each in of_the_dockerfile(target))
    locked = "requirements.lock"
    user, environment = UNIT["User"], UNIT["EnvironmentFile"]
    no_shell = ("--shell", "/usr/sbin/nologin")
    attached = ("--pipe", "--wait", "--collect", "--quiet")
    names = ("User", "EnvironmentFile", "Environment")
    properties = [each for name in names for each in ("-p", f"{name}={UNIT[name]}")]
    assert UNIT["ExecStart"] == f"{installed} serve"
    assert done.of("uv") == [[*build[:-3], "--build-constraints", locked, *build[-3:]]]
    assert done.of(OWN_PROGRAM) == [["health"]]
    assert done.of("journalctl") == [["-u", user]]
    assert done.of("sudo") == [
        ["python3", "-m", "venv", "--without-pip", target],
        [".venv/bin/uv", *install, "--constraints", locked],
        [".venv/bin/uv", *install_wheel[:-1], wheel],
        ["ln", "-sfn", target, f"/opt/{OWN_PROGRAM}"],
        ["useradd", "--system", "--home-dir", UNIT["WorkingDirectory"], *no_shell, user],
        ["install", "-d", "-m", "0755", str(Path(environment).parent)],
        ["install", "-m", "0600", "/dev/stdin", environment],
        ["install", "-m", "0644", UNIT_FILE, "/etc/systemd/system/"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", Path(UNIT_FILE).stem],
        ["systemd-run", *attached, *properties, installed, "operations", "list"],
        ["systemctl", "restart", Path(UNIT_FILE).stem],
    ]
    [written] = [call.input for call in done.calls if "/dev/stdin" in call.arguments]
    lines = [*written.splitlines(), UNIT["Environment"]]
    Settings.from_environment(dict(line.split("=", 1) for line in lines))


def of_the_dockerfile(target: str) -> list[str]:
    """Return the arguments of uv there; on SQLite and without telemetry no extra is needed."""
    [*runs] = values(stages()["build"], "RUN")
    text = re.sub(r" --extra \w+", "", "\n".join(runs)).replace("/opt/service", target)
    return re.findall(r"\buv (pip install --python .*?|build .*?)(?: &&|$)", text, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        each
        for each in commands(SECTIONS["systemd"].split("```\n")[1])
        if ".venv/bin/uv" in str(each)
    ],
    ids=str,
)
async def test_uv_takes_its_options(command: Command, tmp_path: Path) -> None:
    words = [command.program, *command.arguments]
    options = words[words.index(".venv/bin/uv") + 1 :]
    asked = await run(PROGRAMS / "uv", *options, "--help", home=tmp_path)
    assert asked.status == 0, asked.errors


@pytest.mark.parametrize(
    "line", ["docker compose down", "docker build -t image .", "docker run --rm other:9.9.9 serve"]
)
def test_another_line_of_docker_is_refused(line: str) -> None:
    with pytest.raises((pytest.fail.Exception, AssertionError, KeyError)):
        check_docker(shlex.split(line)[1:])


@pytest.mark.parametrize(
    "line",
    [
        "kubectl get pods",
        "kubectl -n engagement scale deployment/sequence-step-service --replicas=5",
        "kubectl -n other rollout status deployment/sequence-step-service",
        "kubectl -n engagement rollout status deployment/sequence-steps",
        "kubectl -n engagement exec -i deployment/sequence-step-service -- sh",
    ],
)
def test_another_line_of_kubectl_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises((pytest.fail.Exception, AssertionError, KeyError)):
        check_kubectl(shlex.split(line)[1:], tmp_path)
