"""Runs the pods of the rendered chart as the kubelet would, on this machine's own network.

Volumes are laid out as Kubernetes lays them: entries of Secrets and ConfigMaps are links through `..data`,
those of Secrets belong to root and may be read by the pod's group. Every pod gets a loopback address of its
own; where the chart says 0.0.0.0 and names of the cluster's DNS, the environment says that address.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from lienthong.settings import SERVICES

from k8s.check import RELEASE, Manifest
from tests.support.chart import of_kind
from tests.support.podman import container, podman

_GROUP: Final = 10001
_DATA: Final = "..2026_01_01"

# Name of a Secret or ConfigMap -> its entries.
Entries = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class Cluster:
    """One release on this machine; `secrets` and `config` are what an administrator would have created."""

    manifests: list[Manifest]
    folder: Path
    secrets: Entries
    config: Entries
    # The first three numbers of the pods' addresses, as "127.31.7".
    network: str

    def migrate(self) -> str:
        """Run the Job to its end; what it said."""
        job = of_kind(self.manifests, "Job")[f"{RELEASE}-migrations"]
        return self._run("migrations", job["spec"]["template"]["spec"], [])

    def start(self, service: str) -> None:
        """Start the pod of a Deployment: its first containers to their end, then its own."""
        deployment = of_kind(self.manifests, "Deployment")[f"{RELEASE}-{service}"]
        addresses = {name: f"{self.host(name)}:{self.port(service, 'grpc')}" for name in SERVICES}
        own = {
            "LIENTHONG_LISTEN": addresses[service],
            "LIENTHONG_HEALTH_LISTEN": f"{self.host(service)}:{self.port(service, 'health')}",
            "LIENTHONG_ADDRESSES": json.dumps(addresses),
        }
        self._run(service, deployment["spec"]["template"]["spec"], _environment(own), detached=True)

    def address(self, service: str, port: str) -> str:
        return f"{self.host(service)}:{self.port(service, port)}"

    def host(self, service: str) -> str:
        return f"{self.network}.{SERVICES.index(service) + 1}"

    def port(self, service: str, name: str) -> int:
        deployment = of_kind(self.manifests, "Deployment")[f"{RELEASE}-{service}"]
        ports = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
        return int(next(port["containerPort"] for port in ports if port["name"] == name))

    def grace(self, service: str) -> float:
        """Seconds that Kubernetes gives the pod to end."""
        deployment = of_kind(self.manifests, "Deployment")[f"{RELEASE}-{service}"]
        return float(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])

    def container(self, service: str) -> str:
        return f"{self.folder.name}-{service}"

    def log(self, service: str) -> str:
        """What a process wrote: logs go to standard error."""
        asked = ["podman", "logs", self.container(service)]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        return said.stdout + said.stderr

    def remove(self) -> None:
        """End whatever still runs; folders stay."""
        names = [self.container(name) for name in (*SERVICES, "migrations")]
        podman("rm", "--force", "--ignore", "--time", "0", *names, check=False)

    def _run(self, name: str, pod: dict[str, Any], extra: list[str], *, detached: bool = False) -> str:
        volumes = {volume["name"]: self._volume(name, volume) for volume in pod["volumes"]}
        for first in pod["initContainers"]:
            arguments = _arguments(first, f"{self.container(name)}-{first['name']}", volumes, [])
            podman("run", "--rm", *arguments)
        [main] = pod["containers"]
        arguments = _arguments(main, self.container(name), volumes, extra)
        return podman("run", *(["--detach"] if detached else []), *arguments)

    def _volume(self, pod: str, volume: dict[str, Any]) -> Path:
        folder = self.folder / pod / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume or "persistentVolumeClaim" in volume:
            # What fsGroup means: the pod's group may write.
            os.chown(folder, 0, _GROUP)
            folder.chmod(0o2775)
            return folder
        for source in volume["projected"]["sources"] if "projected" in volume else [volume]:
            self._lay_out(folder, source)
        return folder

    def _lay_out(self, folder: Path, source: dict[str, Any]) -> None:
        secret = "secret" in source
        named = source["secret" if secret else "configMap"]
        entries = {**(self.secrets if secret else self._config())[named["name"]]}
        items = named.get("items") or [{"key": key, "path": key} for key in entries]
        for item in items:
            file = folder / _DATA / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(entries[item["key"]])
            os.chown(file, 0, _GROUP)
            file.chmod(0o440 if secret else 0o644)
            link = folder / Path(item["path"]).parts[0]
            if not link.is_symlink():
                link.symlink_to(Path("..data") / link.name)
        if not (folder / "..data").is_symlink():
            (folder / "..data").symlink_to(_DATA)

    def _config(self) -> dict[str, Mapping[str, bytes]]:
        rendered = of_kind(self.manifests, "ConfigMap")
        own = {name: {k: v.encode() for k, v in m["data"].items()} for name, m in rendered.items()}
        return {**self.config, **own}


def _arguments(spec: dict[str, Any], name: str, volumes: Mapping[str, Path], extra: list[str]) -> list[str]:
    mounts = {
        volumes[mount["name"]]: (mount["mountPath"], bool(mount.get("readOnly")))
        for mount in spec["volumeMounts"]
    }
    told = _environment({entry["name"]: entry["value"] for entry in spec.get("env", [])})
    command = list(spec.get("command", []))
    entry = ["--entrypoint", json.dumps(command[:1])] if command else []
    rest = [*command[1:], *spec.get("args", [])]
    return [*container(spec["image"], name, mounts, [*told, *extra, *entry]), *rest]


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]


def yaml_bytes(content: Any) -> bytes:
    """An entry of a ConfigMap."""
    return yaml.safe_dump(content, allow_unicode=True).encode()
