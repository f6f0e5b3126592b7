"""A server of a PostgreSQL that is installed on the machine: another version than the wheel's."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from plinth.local_server import PORT, SUPERUSER, spread_databases

TIMEOUT = 60.0  # seconds


def system_programs() -> list[Path]:
    """Return the folders of the programs of every PostgreSQL server on the machine, oldest first."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    asked = shutil.which("pg_config")
    if asked:
        done = subprocess.run([asked, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(done.stdout.strip()))
    found = {
        each.resolve() for each in folders if (each / "initdb").exists() and (each / "postgres").exists()
    }
    return sorted(found)


@contextmanager
def system_server(programs: Path) -> Iterator[URL]:
    """Yield the URL of a server that lives in a temporary folder and listens on a socket there.

    Args:
        programs: the folder of initdb and postgres.
    """
    account = _account()
    with tempfile.TemporaryDirectory(prefix="plinth-") as name:
        folder = Path(name)
        data = folder / "data"
        if "user" in account:
            os.chown(folder, account["user"], account["group"])
        initdb = [str(programs / "initdb"), "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [*initdb, f"--username={SUPERUSER}", str(data)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **account,
        )
        spread_databases(data)
        options = [f"unix_socket_directories={folder}", "listen_addresses=", f"port={PORT}", "fsync=off"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(part for each in options for part in ("-c", each))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **account,
            )
        try:
            _wait(folder, server)
            place = {"host": str(folder), "port": str(PORT)}
            yield URL.create("postgresql+psycopg", SUPERUSER, database="postgres", query=place)
        finally:
            server.terminate()
            try:
                server.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _account() -> dict[str, Any]:
    """Return how a program is started as an account that PostgreSQL runs as, which root is none of."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _wait(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            psycopg.connect(host=str(folder), port=PORT, user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.05)
        else:
            return
