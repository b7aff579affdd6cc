"""Memory of idle nodes and how long four of them take to be ready: `python -m tests.bench.footprint`.

PSS (proportional set size, /proc/<pid>/smaps_rollup) shares what processes map in common; PostgreSQL is a
process of its own and is not counted. Linux only. The limit beside a node's start is an interpreter that
imports nothing; that beside its memory is one that imports gRPC alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from lienthong.mesh import Mesh

from tests.bench.harness import Result, report
from tests.bench.mesh import four_nodes

_IDLE_SECONDS: Final = 60.0
_KIB_A_MIB: Final = 1024
_BARE: Final = "import grpc.aio, asyncpg, sys; print(open('/proc/self/smaps_rollup').read())"


def pss_mib(rollup: str) -> float:
    """The proportional set size in MiB, from a smaps_rollup."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / _KIB_A_MIB
    raise ValueError("no Pss in it")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare_start() -> tuple[float, float]:
    """Seconds and MiB of an interpreter with gRPC and the database driver and nothing of ours."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=True)
    return time.monotonic() - began, pss_mib(done.stdout)


def measure(mesh: Mesh, ready: float, idle_seconds: float) -> list[Result]:
    """Start-up as the mesh measured it, then memory and processor after leaving it alone."""
    seconds, mib = bare_start()
    nodes = [node.node for node in mesh.topology.nodes]
    started = {node: cpu_seconds(mesh.pid(node)) for node in nodes}
    results = [
        Result("four nodes ready, from nothing", ready, "s"),
        Result("of it keys, databases, settings", mesh.timings["prepared"], "s"),
        Result("of it the nodes", mesh.timings["ready"], "s"),
    ]
    for node, cpu in started.items():
        results.append(Result(f"node {node}: processor to start / bare Python", cpu, "s", seconds))
    time.sleep(idle_seconds)
    for node, cpu in started.items():
        pid = mesh.pid(node)
        idle = (cpu_seconds(pid) - cpu) / idle_seconds * 100
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        results.append(Result(f"node {node}: memory idle (PSS) / bare Python", pss_mib(rollup), "MiB", mib))
        results.append(Result(f"node {node}: processor idle", idle, "%"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.footprint", description=__doc__)
    parser.add_argument("--idle", type=float, default=_IDLE_SECONDS, help="seconds before memory is read")
    idle = parser.parse_args().idle
    began = time.monotonic()
    with four_nodes() as mesh:
        report("Start-up and memory", measure(mesh, time.monotonic() - began, idle))


if __name__ == "__main__":
    main()
