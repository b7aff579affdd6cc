"""What the chart renders: rules of the house that no schema of Kubernetes knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lienthong.settings import SERVICES, DatabaseSettings, load

from k8s.check import RELEASE, Case, Manifest, cases, main, render
from services.node import NodeProcess
from tests.support.chart import PROCESSES, of_kind, settings_file

_RENDERED: dict[str, list[Manifest]] = {}


@pytest.fixture(params=cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def manifests(case: Case) -> list[Manifest]:
    if case.name not in _RENDERED:
        _RENDERED[case.name] = render(case.values)
    return _RENDERED[case.name]


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Everything that runs pods: name -> pod template."""
    kinds = {**of_kind(manifests, "Deployment"), **of_kind(manifests, "Job")}
    return {name: manifest["spec"]["template"] for name, manifest in kinds.items()}


def containers(manifests: list[Manifest]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every container with the spec of its pod, those before the start too."""
    for template in workloads(manifests).values():
        spec = template["spec"]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            yield spec, container


def test_every_way_to_install_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().err


def test_a_node_is_five_deployments_and_its_migrations(manifests: list[Manifest]) -> None:
    assert set(of_kind(manifests, "Deployment")) == {f"{RELEASE}-{service}" for service in SERVICES}
    assert set(of_kind(manifests, "Job")) == {f"{RELEASE}-migrations"}


def test_no_container_may_do_more_than_it_must(manifests: list[Manifest]) -> None:
    for pod, container in containers(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])


def test_every_container_says_what_it_needs(manifests: list[Manifest]) -> None:
    for _, container in containers(manifests):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), container["name"]
        assert "memory" in container["resources"]["limits"], container["name"]


def test_one_image_named_exactly(manifests: list[Manifest]) -> None:
    # The migrations too: another image could hold other migrations than the services expect.
    [image] = {container["image"] for _, container in containers(manifests)}
    assert re.fullmatch(r"[^:@]+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})", image)


def test_probes_ask_the_health_listener_of_the_settings(manifests: list[Manifest], tmp_path: Path) -> None:
    settings = of_kind(manifests, "ConfigMap")
    for name, deployment in of_kind(manifests, "Deployment").items():
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        told = yaml.safe_load(settings[name]["data"]["settings.yaml"])
        port = int(told["health_listen"].rpartition(":")[2])
        assert container["livenessProbe"]["grpc"] == {"port": port, "service": "live"}
        assert container["startupProbe"]["grpc"] == {"port": port, "service": "live"}
        assert container["readinessProbe"]["grpc"] == {"port": port}
        offered = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
        assert offered["health"] == port
        assert offered["grpc"] == int(told["listen"].rpartition(":")[2])


def test_kubernetes_waits_longer_than_the_process_takes_to_end(manifests: list[Manifest]) -> None:
    settings = of_kind(manifests, "ConfigMap")
    for name, deployment in of_kind(manifests, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        grace = yaml.safe_load(settings[name]["data"]["settings.yaml"])["grace"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] > grace + sleep


def test_processes_take_their_settings(manifests: list[Manifest], tmp_path: Path) -> None:
    """Strictly: a key that the process does not know is refused."""
    found = of_kind(manifests, "ConfigMap")
    assert set(found) == {f"{RELEASE}-{name}" for name in PROCESSES}
    for name, process in PROCESSES.items():
        loaded = load(process, settings_file(found[f"{RELEASE}-{name}"], tmp_path), environ={})
        assert loaded.node == "H01"
        assert loaded.service == ("node" if name == "migrations" else name)
        assert set(SERVICES) <= set(loaded.addresses)


def test_what_the_settings_name_is_mounted(manifests: list[Manifest], tmp_path: Path) -> None:
    settings = of_kind(manifests, "ConfigMap")
    for name, deployment in of_kind(manifests, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        text = settings[name]["data"]["settings.yaml"]
        for path in re.findall(r"(?<![\w:.])/(?:keys|trust|config|data|spool)[\w/.-]*", text):
            assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), path
            if path.startswith("/keys/"):
                assert any(secret.startswith(path.removeprefix("/keys/")) for secret in secret_paths(pod))
        assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}


def secret_paths(pod: dict[str, Any]) -> list[str]:
    """Where the entries of Secrets appear under /keys."""
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    return [item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]]


def test_migrations_reach_the_databases_that_the_services_use(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    found = of_kind(manifests, "ConfigMap")
    node = load(NodeProcess, settings_file(found[f"{RELEASE}-migrations"], tmp_path), environ={})
    for service in SERVICES:
        own = load(PROCESSES[service], settings_file(found[f"{RELEASE}-{service}"], tmp_path), environ={})
        database: DatabaseSettings = getattr(own, service).database
        assert getattr(node, service).database == database
        assert "password" not in database.url
    job = of_kind(manifests, "Job")[f"{RELEASE}-migrations"]
    paths = secret_paths(job["spec"]["template"]["spec"])
    assert sorted(paths) == sorted(f"database/{service}" for service in SERVICES)
    hooks = [job, found[f"{RELEASE}-migrations"]]
    weights = [int(hook["metadata"]["annotations"]["helm.sh/hook-weight"]) for hook in hooks]
    assert weights[1] < weights[0], "the Job starts after its settings are there"


def test_no_secret_in_a_config_map_and_no_secret_of_ours(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    for name, manifest in of_kind(manifests, "ConfigMap").items():
        text = manifest["data"]["settings.yaml"]
        assert not re.search(r"://[^/\s@]+:[^/\s@]+@", text), name
        assert "PRIVATE KEY" not in text
        for key, value in leaves(yaml.safe_load(text)):
            if re.search(r"password|secret|token|access_key", key):
                assert str(value).startswith("/keys/"), f"{name}: {key}"


def leaves(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for name, value in content.items():
            yield from leaves(value, name)
    else:
        yield key, content


def test_a_service_sees_no_key_of_another(manifests: list[Manifest]) -> None:
    for name, deployment in of_kind(manifests, "Deployment").items():
        service = name.removeprefix(f"{RELEASE}-")
        paths = secret_paths(deployment["spec"]["template"]["spec"])
        assert {p for p in paths if p.startswith("database/")} == {f"database/{service}"}
        assert any(p.startswith("signing/") for p in paths) is (service == "signing")
        assert "tls/key.pem" in paths


def test_services_lead_to_pods(manifests: list[Manifest]) -> None:
    deployments = of_kind(manifests, "Deployment")
    services = of_kind(manifests, "Service")
    assert set(services) == set(deployments)
    for name, service in services.items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        others = [d for n, d in deployments.items() if n != name]
        for other in others:
            assert not service["spec"]["selector"].items() <= other["spec"]["selector"]["matchLabels"].items()
        [container] = deployments[name]["spec"]["template"]["spec"]["containers"]
        offered = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= offered
        assert "health" not in {port["targetPort"] for port in service["spec"]["ports"]}


def test_addresses_are_the_services(manifests: list[Manifest]) -> None:
    services = of_kind(manifests, "Service")
    for manifest in of_kind(manifests, "ConfigMap").values():
        told = yaml.safe_load(manifest["data"]["settings.yaml"])
        for service, address in told["addresses"].items():
            host, _, port = address.partition(":")
            spec = services[host.split(".")[0]]["spec"]
            assert host.split(".")[0] == f"{RELEASE}-{service}"
            assert int(port) in {entry["port"] for entry in spec["ports"]}


def test_what_is_shared_by_replicas_may_be(case: Case, manifests: list[Manifest]) -> None:
    deployments = of_kind(manifests, "Deployment")
    storage = deployments[f"{RELEASE}-storage"]["spec"]
    if case.values.get("storage", {}).get("backend") == "bucket":
        assert not of_kind(manifests, "PersistentVolumeClaim")
    else:
        assert storage["replicas"] == 1
        # Two processes on one folder, even for a moment, would each sweep what the other is writing.
        assert storage["strategy"] == {"type": "Recreate"}
        [claim] = of_kind(manifests, "PersistentVolumeClaim").values()
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert set(budgets) == {n for n, d in deployments.items() if d["spec"]["replicas"] > 1}


def test_pods_are_not_told_of_services_by_environment(manifests: list[Manifest], tmp_path: Path) -> None:
    """A release named `lienthong` would set variables that a process takes for misspelt settings."""
    for template in workloads(manifests).values():
        assert template["spec"]["enableServiceLinks"] is False
