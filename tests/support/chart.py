"""Looking into what the chart renders."""

from __future__ import annotations

from pathlib import Path

from lienthong.settings import NodeSettings

from k8s.check import Manifest
from services.node import NodeProcess
from services.registry.settings import RegistryProcess
from services.reporting.settings import ReportingProcess
from services.routing.settings import RoutingProcess
from services.signing.settings import SigningProcess
from services.storage.settings import StorageProcess

# Who reads the settings that the chart writes, by the name of its ConfigMap.
PROCESSES: dict[str, type[NodeSettings]] = {
    "registry": RegistryProcess,
    "signing": SigningProcess,
    "routing": RoutingProcess,
    "storage": StorageProcess,
    "reporting": ReportingProcess,
    "migrations": NodeProcess,
}


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def settings_file(manifest: Manifest, folder: Path) -> Path:
    file = folder / f"{manifest['metadata']['name']}.yaml"
    file.write_text(manifest["data"]["settings.yaml"], encoding="utf-8")
    return file
