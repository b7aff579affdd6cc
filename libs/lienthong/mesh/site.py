"""Everything of a mesh that stays but its processes: server, databases, certificates, settings, profiles.

Every step only adds what is missing, so a start that was interrupted anywhere is completed by the next.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.ids import new_id
from lienthong.mesh.databases import MeshDatabases, connections_for
from lienthong.mesh.directory_import import import_rows
from lienthong.mesh.directory_news import mark_imported, pending, write_news
from lienthong.mesh.faults import FAULTS, problem_of
from lienthong.mesh.keys import hand_over, issue_lacking, refresh_revocations
from lienthong.mesh.node_settings import SettingsWriter
from lienthong.mesh.parts import WHOLE, Part
from lienthong.mesh.pki_check import check_pki
from lienthong.mesh.plan import Plan
from lienthong.mesh.profile_file import profiles_of
from lienthong.mesh.view import MeshView
from lienthong.postgres import EmbeddedPostgres, ExternalPostgres, Postgres

_log: Final = logging.getLogger("lienthong.mesh.site")

# Nodes may be added while the server runs, and max_connections cannot be changed then.
_ROOM_FOR_NODES: Final = 6
_GRACE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 5.0
_REGISTRIES: Final = frozenset({WHOLE, "registry"})


class Site:
    """One folder of a mesh, its plan, and its database server."""

    def __init__(self, folder: Path, plan: Plan, clock: Clock) -> None:
        self._folder = folder
        self._plan = plan
        self._clock = clock
        self._server: Postgres | None = None
        self._try_again = 0.0
        self._tell_again = 0.0
        self._fingerprints: dict[Part, str] = {}
        self.server_restarts = 0
        self.view: MeshView = plan.view(folder)

    def prepare(self) -> None:
        """Make or complete everything that the processes need before they start."""
        self.view.layout.nodes.mkdir(mode=0o700, exist_ok=True)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="mesh-keys") as pool:
            # RSA keys take processor time, a new server mostly waits.
            keys = pool.submit(self._certificates)
            self._server = self._started_server()
            self._databases().complete(self.view.layout.lived())
            keys.result()
        self._write()
        self._fingerprints = dict(self._fingerprinted())

    def grow(self, plan: Plan) -> list[Part]:
        """Take over what a plan adds, and return the processes that must start anew to know of it.

        Where it fails the plan is as it was; what was made of the new one is found by the next try.
        """
        before, kept = self._fingerprints, (self._plan, self.view)
        try:
            self._plan, self.view = plan, plan.view(self._folder)
            self._certificates()
            self._databases().complete(self.view.layout.lived())
            self._write()
            self._fingerprints = dict(self._fingerprinted())
        except BaseException:
            self._plan, self.view = kept
            raise
        return [part for part, old in before.items() if self._fingerprints[part] != old]

    @property
    def news_due(self) -> bool:
        """Whether `tell_news` may try: not so soon after it failed."""
        return self._clock.monotonic() >= self._tell_again

    def tell_news(self, serving: Collection[Part]) -> None:
        """Import into registries what they lack of the directory, and write down that they have it.

        Also what a registry read from its file a moment ago: the file may have grown after it was read.
        """
        try:
            self._tell(serving)
        except FAULTS:
            self._tell_again = self._clock.monotonic() + _RETRY_SECONDS
            raise

    def _tell(self, serving: Collection[Part]) -> None:
        for part in serving:
            own = self.view.layout.node(part.node)
            if part.service not in _REGISTRIES or not own.directory.exists():
                continue
            rows = pending(self.view.topology, own)
            address = self.view.ports[part.node].of("registry")
            problem = None
            if any(rows.values()):
                problem = import_rows(self.view.layout.part(part).tls, address, part.node, rows, new_id)
            if problem is None:
                self._writer().write_node(part.node, None)
                mark_imported(self.view.topology, own)
            else:
                self._tell_again = self._clock.monotonic() + _RETRY_SECONDS
                _log.warning("directory not imported yet", extra={"node": part.node, "problem": problem})

    def tend_server(self) -> None:
        """Start our own server again when it ended; where that fails the mesh waits, and this tries again."""
        server = self._server
        if not isinstance(server, EmbeddedPostgres) or server.pid is not None:
            return
        if self._clock.monotonic() < self._try_again:
            return
        _log.error("postgres ended, it is started again")
        self.server_restarts += 1
        try:
            server.stop()
            self._server = self._started_server()
        except FAULTS as error:
            self._try_again = self._clock.monotonic() + _RETRY_SECONDS
            problem = problem_of(error)
            _log.error("postgres not started", extra={"reason": problem.reason, "problem": problem.message})

    @property
    def server_pid(self) -> int | None:
        """Of our own server, while it runs."""
        return self._server.pid if isinstance(self._server, EmbeddedPostgres) else None

    def refresh_revocations(self) -> None:
        """New lists of the TEST hierarchy; of others' certificates the owner's own, where they changed."""
        layout = self.view.layout
        if layout.own_pki is None:
            refresh_revocations(self.view.topology, layout, self._clock)
        else:
            # All or nothing: their owner may be at work on the files just now.
            check_pki(self.view.topology, layout, self.view.mode, self._clock.now())
            self._hand_over()

    def close(self) -> None:
        """Stop our own server; another's is left alone, and so is all data."""
        if self._server is not None:
            self._server.stop()

    def _started_server(self) -> Postgres:
        layout, port = self.view.layout, self._plan.postgres_port
        if port is None:
            return ExternalPostgres(layout.postgres_url.read_text(encoding="utf-8").strip())
        settings = connections_for(len(self._plan.topology.nodes) + _ROOM_FOR_NODES)
        return EmbeddedPostgres.start(layout.postgres, port, settings)

    def _databases(self) -> MeshDatabases:
        assert self._server is not None
        nodes = [node.node for node in self.view.topology.nodes]
        return MeshDatabases(self._plan.mesh_id, dict.fromkeys(nodes, self._server))

    def _certificates(self) -> None:
        layout, topology, mode = self.view.layout, self.view.topology, self.view.mode
        if layout.own_pki is None:
            issue_lacking(topology, layout, self._clock, mode)
        check_pki(topology, layout, mode, self._clock.now())
        self._hand_over()

    def _hand_over(self) -> None:
        for node in self.view.topology.nodes:
            hand_over(self.view.topology, self.view.layout, node.node, self.view.mode)

    def _write(self) -> None:
        writer = self._writer()
        for node in self.view.topology.nodes:
            own = self.view.layout.node(node.node)
            writer.write_node(node.node, write_news(self.view.topology, own))
        profiles_of(self.view).write(self.view.layout.profiles)

    def _writer(self) -> SettingsWriter:
        view, databases = self.view, self._databases()
        return SettingsWriter(
            view.topology,
            view.layout,
            view.ports,
            databases.settings,
            {},
            view.mode,
            _GRACE_SECONDS,
            enrolment=True,
        )

    def _fingerprinted(self) -> Iterator[tuple[Part, str]]:
        """What each process is told, but for the directory, which operators import into one that runs."""
        writer = self._writer()
        for part in self.view.parts():
            digest = hashlib.sha256(json.dumps(writer.of_part(part, None), sort_keys=True).encode())
            if part.service in {WHOLE, "signing"}:
                keys = self.view.layout.node(part.node).keys
                for file in sorted(keys.rglob("*.pem")):
                    digest.update(f"{file}\0".encode() + file.read_bytes())
            yield part, digest.hexdigest()
