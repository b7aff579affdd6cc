"""A whole mesh on one machine: for as long as a process lives (demo, tests), or to stay (`lienthong up`).

with Mesh.start(Topology.four_levels(), folder) as mesh:
    mesh.wait_ready()
    mesh.kill("H01")
    mesh.start_node("H01")
"""

from __future__ import annotations

from lienthong.mesh.launcher import Mesh
from lienthong.mesh.layout import Layout, NodeLayout
from lienthong.mesh.topology import Node, Organization, Person, Topology
from lienthong.mesh.view import MeshView

__all__ = ["Layout", "Mesh", "MeshView", "Node", "NodeLayout", "Organization", "Person", "Topology"]
