"""deploy/kubernetes: what the API's schema does not say, of both ways to deploy."""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from service.domain.caller_policy import read_policy
from service.settings import SettingsError
from service.stores.key_ring import new_entry
from service.transport.server import CUT_CALLS_SECONDS
from tests.deploy.manifests import (
    SECRETS,
    Manifest,
    Manifests,
    content,
    read,
    rendered,
    settings_of,
)
from tests.deploy.versions import PROJECT_VERSION

LISTEN, METRICS = "ENGAGEMENT_LISTEN", "ENGAGEMENT_METRICS_LISTEN"

OURS = {"ENGAGEMENT_KEYS": new_entry(), "ENGAGEMENT_DATABASE": "postgresql://engagement@db/steps"}
"""What stands in the Secret in place of the two placeholders that have a form."""


@pytest.fixture(params=["base", "behind-mesh"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


def given(manifests: Manifests, pod: Manifest) -> dict[str, str]:
    """Return the variables of a pod's container, once the placeholders are replaced."""
    [container] = pod["spec"]["containers"]
    return manifests.environment(container["envFrom"]) | OURS


def port_of(environment: dict[str, str], name: str) -> int:
    return int(environment[name].rpartition(":")[2])


def test_the_api_takes_them(manifests: Manifests) -> None:
    for manifest in manifests.objects.values():
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_settings_make_sense_in_each_pod(manifests: Manifests) -> None:
    for pod in manifests.pods():
        settings_of(given(manifests, pod))


def test_placeholders_are_not_served_with(manifests: Manifests) -> None:
    placeholders = {text for secret in read(SECRETS) for text in content(secret).values()}
    assert {text.rpartition("//")[2] for text in placeholders} == {"REPLACE-ME"}
    [container] = manifests.serving()["containers"]
    with pytest.raises(SettingsError, match="ENGAGEMENT_KEYS must be"):
        settings_of(manifests.environment(container["envFrom"]))


def test_files_that_settings_and_probes_name_are_mounted(manifests: Manifests) -> None:
    pod = manifests.serving()
    named = [text for text in given(manifests, {"spec": pod}).values() if text.startswith("/")]
    named += re.findall(r"=(/[^']+)", str(pod["containers"][0]["readinessProbe"]))
    assert {*named} == manifests.files(pod).keys()


def test_mounted_files_follow_their_sources_and_are_not_for_everybody(
    manifests: Manifests,
) -> None:
    pod = manifests.serving()
    for mount in pod["containers"][0]["volumeMounts"]:
        assert mount["readOnly"]
        assert "subPath" not in mount
    for volume in pod["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_the_policy_fits_the_way_callers_prove_themselves(manifests: Manifests) -> None:
    settings = settings_of(given(manifests, {"spec": manifests.serving()}))
    policy = manifests.files(manifests.serving())[str(settings.policy)]
    read_policy(policy, demands_certificates=settings.tls_client_ca is not None)


def test_the_kubelet_asks_by_itself_only_where_it_can(manifests: Manifests) -> None:
    """Its gRPC probe speaks no TLS; and no restart may hang on a certificate."""
    pod = manifests.serving()
    [container] = pod["containers"]
    speaks_tls = settings_of(given(manifests, {"spec": pod})).tls_certificate is not None
    kinds = {
        probe: next(kind for kind in ("exec", "grpc", "httpGet") if kind in container[probe])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    if speaks_tls:
        assert kinds == {
            "startupProbe": "httpGet",
            "livenessProbe": "httpGet",
            "readinessProbe": "exec",
        }
        asked = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
        assert asked == {"/live"}
    else:
        assert set(kinds.values()) == {"grpc"}


def test_a_pod_has_the_time_that_stopping_takes(manifests: Manifests) -> None:
    pod = manifests.serving()
    settings = settings_of(given(manifests, {"spec": pod}))
    stopping = settings.drain_delay_seconds + settings.grace_seconds + settings.finish_seconds
    assert stopping + 2 * CUT_CALLS_SECONDS < pod["terminationGracePeriodSeconds"]


def test_ports_are_the_same_everywhere(manifests: Manifests) -> None:
    pod = manifests.serving()
    environment = given(manifests, {"spec": pod})
    ports = {"grpc": port_of(environment, LISTEN), "metrics": port_of(environment, METRICS)}
    [container] = pod["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == ports
    service = manifests.one("Service")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    ingress = manifests.one("NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == {*ports.values()}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        for kind, name in (("grpc", "grpc"), ("httpGet", "metrics")):
            if kind in container[probe]:
                assert container[probe][kind]["port"] in {name, ports[name]}


def test_selectors_find_the_pods_that_serve_and_no_others(manifests: Manifests) -> None:
    serving, migrating = (pod["metadata"]["labels"].items() for pod in manifests.pods())
    deployment = manifests.one("Deployment")["spec"]
    selectors = [
        deployment["selector"]["matchLabels"],
        manifests.one("Service")["spec"]["selector"],
        manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in manifests.serving()["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert selector.items() <= serving
        assert not selector.items() <= migrating
    guarded = manifests.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    assert guarded <= serving
    assert guarded <= migrating


def test_callers_resolve_every_pod(manifests: Manifests) -> None:
    service = manifests.one("Service")["spec"]
    assert service["clusterIP"] == "None"
    assert not service.get("publishNotReadyAddresses", False)


def test_some_pod_always_serves(manifests: Manifests) -> None:
    deployment = manifests.one("Deployment")["spec"]
    budget = manifests.one("PodDisruptionBudget")["spec"]
    assert deployment["replicas"] - budget["maxUnavailable"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_no_pod_may_do_more_than_it_has_to(manifests: Manifests) -> None:
    for pod in manifests.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


def test_pods_reach_the_providers_and_nothing_private_by_https(manifests: Manifests) -> None:
    egress: list[dict[str, Any]] = manifests.one("NetworkPolicy")["spec"]["egress"]
    [https] = [rule for rule in egress if {"port": 443} in rule["ports"]]
    [to] = https["to"]
    excepted = [IPv4Network(each) for each in to["ipBlock"]["except"]]
    for private in ("10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254"):
        assert any(IPv4Address(private) in each for each in excepted)
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 443, 5432}


def test_all_pods_run_this_version(manifests: Manifests) -> None:
    images = {each["image"] for pod in manifests.pods() for each in pod["spec"]["containers"]}
    assert images == {f"sequence-step-service:{PROJECT_VERSION}"}
