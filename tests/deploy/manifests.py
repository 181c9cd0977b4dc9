"""The manifests of deploy/kubernetes, as a cluster gets them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings
from tests.service.programs import ROOT

Manifest = dict[str, Any]

FOLDER = ROOT / "deploy" / "kubernetes"
SECRETS = FOLDER / "secrets.example.yaml"


def read(path: Path) -> list[Manifest]:
    """Return the documents of a file."""
    return [*yaml.safe_load_all(path.read_text())]


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings that these variables make."""
    return Settings.from_environment(environment)


@cache
def rendered(name: str) -> "Manifests":
    """Return what `kubectl apply -k` sends of a kustomization, with the migration and the Secrets.

    Of kustomize it knows what these files use: resources, and patches by JSON Patch.
    """
    manifests = [*_kustomized(FOLDER / name), *_kustomized(FOLDER / "migration"), *read(SECRETS)]
    return Manifests({(each["kind"], each["metadata"]["name"]): each for each in manifests})


def _kustomized(folder: Path) -> list[Manifest]:
    [kustomization] = read(folder / "kustomization.yaml")
    assert kustomization.keys() <= {"apiVersion", "kind", "resources", "patches"}
    manifests: list[Manifest] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        manifests += _kustomized(path) if path.is_dir() else read(path)
    for patch in kustomization.get("patches", ()):
        [target] = [each for each in manifests if _is(each, patch["target"])]
        for change in yaml.safe_load(patch["patch"]):
            _change(target, **change)
    return manifests


def _is(manifest: Manifest, target: Mapping[str, str]) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (target["kind"], target["name"])


def _change(place: Any, op: str, path: str, value: object = None) -> None:
    *way, last = path.removeprefix("/").split("/")
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    assert (last in place) == (op != "add"), f"{op} {path}"
    if op == "remove":
        del place[last]
    else:
        place[last] = value


@dataclass(frozen=True)
class Manifests:
    """All objects, by their kind and name."""

    objects: Mapping[tuple[str, str], Manifest]

    def one(self, kind: str) -> Manifest:
        """Return the only object of a kind."""
        [found] = [each for (its, _), each in self.objects.items() if its == kind]
        return found

    def pods(self) -> Iterator[Manifest]:
        """Yield what pods are made from."""
        for kind in ("Deployment", "Job"):
            yield self.one(kind)["spec"]["template"]

    def serving(self) -> Manifest:
        """Return the specification of the pods that serve."""
        found: Manifest = self.one("Deployment")["spec"]["template"]["spec"]
        return found

    def environment(self, sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the variables that `envFrom` makes."""
        variables: dict[str, str] = {}
        for source in sources:
            [(reference, its)] = source.items()
            kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[reference]
            entries = content(self.objects[kind, its["name"]])
            assert not entries.keys() & variables.keys()
            variables |= entries
        return variables

    def files(self, pod: Manifest) -> dict[str, str]:
        """Return the files that a pod's container sees of its volumes, by their paths."""
        [container] = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        seen: dict[str, str] = {}
        for mount in container.get("volumeMounts", ()):
            volume = volumes.pop(mount["name"])
            if "secret" in volume:
                source = self.objects["Secret", volume["secret"]["secretName"]]
            else:
                source = self.objects["ConfigMap", volume["configMap"]["name"]]
            seen |= {f"{mount['mountPath']}/{name}": it for name, it in content(source).items()}
        assert not volumes, "a volume that nobody mounts"
        return seen


def content(source: Manifest) -> dict[str, str]:
    """Return the entries of a ConfigMap or a Secret."""
    [entries] = [source[each] for each in ("data", "stringData") if each in source]
    assert all(isinstance(text, str) for text in entries.values())
    return dict(entries)
