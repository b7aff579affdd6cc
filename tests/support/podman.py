"""Builds and runs the real image with podman, as root, on a Debian where its packages can be had.

No registry is asked: the base is a Debian made by debootstrap from the mirror that apt uses here. It stays in
podman's own storage, so that a second run takes seconds. The flags are those that work inside a container.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

APT: Final = "apt-get install -y --no-install-recommends podman debootstrap runc"
_PODMAN: Final = ("podman", "--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs")
_LIMITS: Final = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_BASE_PACKAGES: Final = "python3-minimal,python3-pip,ca-certificates"
# What of the machine's pip configuration concerns where packages come from.
_PIP_KEYS: Final = frozenset(
    {"index-url", "extra-index-url", "trusted-host", "proxy", "cert", "client-cert", "timeout", "retries"}
)
_REPOSITORY: Final = Path(__file__).parents[2]


def missing() -> str:
    """Why no image can be built here; empty where one can."""
    lacking = [tool for tool in ("podman", "debootstrap", "runc") if shutil.which(tool) is None]
    if lacking:
        return f"needs {', '.join(lacking)}: {APT}"
    if os.geteuid() != 0:
        return "needs root"
    system = _os_release()
    if system.get("ID") != "debian" or int(system.get("VERSION_ID", "0")) < 12:
        return "needs Debian 12 or newer for the base of the test image"
    return "" if _mirror(system["VERSION_CODENAME"]) else "apt names no Debian mirror to make a base from"


def podman(*arguments: str, timeout: float = 60.0, check: bool = True) -> str:
    """What podman said; its complaint is part of the error."""
    done = subprocess.run(
        [*_PODMAN, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise AssertionError(f"podman {' '.join(arguments)}: {said[-3000:]}")
    return done.stdout


def base_image() -> str:
    """A Debian with Python and pip, made once a machine."""
    suite = _os_release()["VERSION_CODENAME"]
    digest = hashlib.sha256(_BASE_PACKAGES.encode()).hexdigest()[:12]
    name = f"localhost/lienthong-test-base:{suite}-{digest}"
    if podman("images", "--quiet", name).strip():
        return name
    with _scratch() as folder:
        root = folder / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}"]
        made = subprocess.run(
            [*command, suite, str(root), _mirror(suite)], capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, f"debootstrap: {made.stdout[-2000:]}{made.stderr[-2000:]}"
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
            subprocess.run([*_PODMAN, "import", "-", name], stdin=packed.stdout, check=True)
    return name


def build_image(name: str, folder: Path) -> None:
    """Build the Dockerfile of the repository; packages come from where this machine's pip gets them."""
    arguments = ["--isolation=chroot", "--network=host", *_LIMITS, "--build-arg", f"BASE={base_image()}"]
    for source, target in _pip_files(folder).items():
        arguments += ["--volume", f"{source}:{target}:ro"]
    dockerfile = _REPOSITORY / "k8s" / "Dockerfile"
    before = podman("images", "--quiet", name).strip()
    podman("build", *arguments, "-f", str(dockerfile), "-t", name, str(_REPOSITORY), timeout=600.0)
    if before and before != podman("images", "--quiet", name).strip():
        # Of an earlier run: only what it shares with this one is worth its room.
        podman("rmi", before, check=False)


def container(
    image: str, name: str, mounts: Mapping[Path, tuple[str, bool]], settings: Sequence[str]
) -> list[str]:
    """Arguments of `podman run` for a container that may do as little as the chart lets it.

    `mounts` are folders of this machine -> (where, read only); nothing else can be written.
    """
    arguments = ["--name", name, "--network=host", *_LIMITS, "--read-only", "--read-only-tmpfs=false"]
    arguments += ["--user", "10001:10001", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    for source, (target, read_only) in mounts.items():
        arguments += ["--volume", f"{source}:{target}:{'ro' if read_only else 'rw'}"]
    return [*arguments, *settings, image]


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in memory where that may be mounted: dpkg syncs every file, which takes minutes on a disk."""
    with tempfile.TemporaryDirectory(prefix="lienthong-base-", dir="/var/tmp") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1g,mode=0755", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        try:
            yield Path(folder)
        finally:
            if mounted.returncode == 0:
                subprocess.run(["umount", folder], check=True)


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _mirror(suite: str) -> str:
    """Where apt gets this suite from: asked of its own files, because it differs from machine to machine."""
    apt = Path("/etc/apt")
    for file in (*apt.glob("sources.list.d/*.sources"), *apt.glob("sources.list*"), *apt.glob("*.d/*.list")):
        if not file.is_file():
            continue
        text = file.read_text()
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^(\w[\w-]*):\s*(.+)$", stanza, re.MULTILINE))
            if suite in fields.get("Suites", "").split():
                return str(fields["URIs"].split()[0])
        one_line = re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{suite}\s", text, re.MULTILINE)
        if one_line:
            return one_line[1]
    return ""


def _pip_files(folder: Path) -> dict[str, str]:
    """Files to lay over the build: a pip.conf that says what pip here is told, and certificates it names."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found = dict(re.findall(r"^[^\n=]*\.([\w-]+)='(.*)'$", said.stdout, re.MULTILINE))
    told = {key: value for key, value in found.items() if key in _PIP_KEYS}
    conf = folder / "pip.conf"
    conf.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in told.items()))
    certificates = [told[key] for key in ("cert", "client-cert") if key in told]
    return {str(conf): "/etc/pip.conf", **{file: file for file in certificates}}
