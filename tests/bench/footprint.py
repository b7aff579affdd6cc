"""Memory of idle nodes and how long four of them take to be ready: `python -m tests.bench.footprint`.

PSS (proportional set size, /proc/<pid>/smaps_rollup) shares what processes map in common; PostgreSQL is a
process of its own and is not counted. Linux only. Figures mean something on a machine that does nothing else:
the load before the start is printed with them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from lienthong.mesh import Mesh, Topology

_IDLE_SECONDS = 60.0
_KIB_A_MIB = 1024


def pss_mib(pid: int) -> float:
    """The proportional set size of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / _KIB_A_MIB
    raise ValueError(f"no Pss of process {pid}")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(idle_seconds: float) -> None:
    """Start the shipped mesh, leave it alone, and print one line a node."""
    load, processors = os.getloadavg()[0], os.cpu_count()
    with tempfile.TemporaryDirectory(prefix="lienthong-footprint-") as folder:
        began = time.monotonic()
        with Mesh.start(Topology.four_levels(), Path(folder) / "mesh") as mesh:
            mesh.wait_ready()
            ready = time.monotonic() - began
            started = {node.node: cpu_seconds(mesh.pid(node.node)) for node in mesh.topology.nodes}
            print(
                f"{processors} processors, load before the start {load:.2f}, Python {sys.version.split()[0]}"
            )
            print(f"keys, databases, settings   {mesh.timings['prepared']:6.1f} s")
            print(f"nodes started -> all ready  {mesh.timings['ready']:6.1f} s")
            print(f"together                    {ready:6.1f} s", flush=True)
            time.sleep(idle_seconds)
            for node, begun in started.items():
                pid = mesh.pid(node)
                idle = (cpu_seconds(pid) - begun) / idle_seconds * 100
                print(
                    f"{node:<12}{pss_mib(pid):8.1f} MiB PSS  {begun:6.2f} s to start  {idle:5.2f} % CPU idle"
                )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.footprint", description=__doc__)
    parser.add_argument("--idle", type=float, default=_IDLE_SECONDS, help="seconds before memory is read")
    measure(parser.parse_args().idle)


if __name__ == "__main__":
    main()
