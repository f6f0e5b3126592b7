"""Looks at each revision's SQL and at what it was measured to do.

Only upgrades are looked at: they are what is deployed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from plinth import settings
from plinth.apply.ledger import ancestors
from plinth.apply.phases import AFTER, phase_of
from plinth.apply.sources import unseen_in
from plinth.apply.standing import refuse_long_id
from plinth.configured import at_hand, configured
from plinth.connecting import connect
from plinth.errors import PlinthError
from plinth.lint import rules
from plinth.lint.exceptions import exceptions_in
from plinth.lint.rendering import Rendered, Sql, render
from plinth.lint.squawk import Complaint, complaints
from plinth.plan.facts import Revision, asks
from plinth.plan.measuring import Measured, measure
from plinth.plan.verdict import Reason, reasons
from plinth.revision_files import refuse_unloadable
from plinth.revision_names import LONGEST_ID
from plinth.scratch.revisions import History, histories_offline
from plinth.server_errors import words
from plinth.sql_text import Lexed, lexed, parts

REFUSED, NAMED, ALLOWED = "refused", "named", "allowed"

_STORED = "generated always as ( ... ) stored"
# What goes with a drop: constraints, indexes, defaults and types that were its own.
_DROPS = "drop | comment | alter table [if exists] [only] <table> {drop | alter [column] <column> drop}"

# Of all else, rows are read or written: how many, only a measurement tells.
_TOLD = (
    "create | alter | drop | comment | grant | revoke | set | reset | insert | reindex | security label | "
    "analyze | lock | import foreign schema"
)
_ABOUT_A_TABLE = (
    "{alter table [if exists] [only] | update [only] | delete from [only] | truncate [table] [only]} <table>"
)
_READS_ALL = "set {logged | unlogged | tablespace | access method} | attach partition | add ... exclude"


@dataclass(frozen=True)
class Finding:
    """What is found in a revision.

    Args:
        rule: its name.
        level: "refused"; "named", which is no objection; or "allowed" by an exception.
        message: what happens.
        instead: the safe form.
        sql: the statement; "" when it is the revision as a whole.
        reason: the exception's.
    """

    rule: str
    level: str
    message: str
    instead: str = ""
    sql: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Checked:
    """A revision.

    Args:
        revision: its id.
        file: its name.
        findings: what is found.
        measured: whether a measurement was the judge.
        database: for which of those that `env.py` leads to; None where it leads to one.
    """

    revision: str
    file: str
    findings: Sequence[Finding]
    measured: bool
    database: str | None = None


@dataclass(frozen=True)
class Lint:
    """What is found in all of them.

    Args:
        revisions: those that were looked at, oldest first.
        not_measured: why the rest, or all of them, could not be measured; None when all were.
    """

    revisions: Sequence[Checked] = field(default_factory=list)
    not_measured: str | None = None

    @property
    def exit_code(self) -> int:
        """1 when something is refused."""
        levels = {finding.level for revision in self.revisions for finding in revision.findings}
        return 1 if REFUSED in levels else 0

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self) | {"exit_code": self.exit_code}


def lint(config: Config, since: str | None = None) -> Lint:
    """Look at the revisions.

    Args:
        config: Alembic's.
        since: the newest revision that isn't looked at, nor those before it; `lint_since` when None.

    Raises:
        alembic.util.CommandError: there is no such revision.
        SettingsError: there is none that `lint_since` names.
        SquawkError: Squawk can't be run.
    """
    script = ScriptDirectory.from_config(config)
    refuse_unloadable(script)
    if since is None:
        applied = _given_start(script)
    else:
        applied = [each.revision for each in script.get_revisions(since) if each] if since else []
    before = ancestors(script, applied)
    chosen = [each for each in reversed(list(script.walk_revisions())) if each.revision not in before]
    if not chosen:
        return Lint()
    for each in chosen:
        refuse_long_id(each.revision, LONGEST_ID)
    histories = histories_offline(config, script)
    found = [_of_database(config, number, histories, chosen, applied) for number in range(len(histories))]
    failures = list(dict.fromkeys(each.not_measured for each in found if each.not_measured))
    return Lint([one for each in found for one in each.revisions], " ".join(failures) or None)


def _of_database(
    config: Config,
    number: int,
    histories: Sequence[History],
    chosen: Sequence[Script],
    applied: Sequence[str],
) -> Lint:
    """Look at revisions as they are for one of the databases that `env.py` leads to."""
    history = histories[number]
    database = " ".join(map(str, history.arguments.values())) or None if len(histories) > 1 else None
    measured = _measured(config, history, number, applied)
    found = {each.revision: each for each in measured.revisions}
    rendered = render(history, {each.revision for each in chosen})
    statements = {
        each.revision: _statements(rendered[each.revision], found.get(each.revision)) for each in chosen
    }
    said = _complaints({name: sql for name, sql in statements.items() if sql})
    checked = [
        _checked(
            each,
            statements[each.revision],
            said.get(each.revision, []),
            found.get(each.revision),
            measured.failure,
        )
        for each in chosen
    ]
    return Lint([replace(each, database=database) for each in checked], measured.failure)


def _given_start(script: ScriptDirectory) -> list[str]:
    """Return the revisions that `lint_since` names.

    Raises:
        SettingsError: there is none of that name, as after one has taken the place of many.
    """
    name = settings.configured().lint_since
    try:
        return [each.revision for each in script.get_revisions(name) if each] if name else []
    except CommandError as error:
        where = settings.said("lint_since")[0].replace("[tool.plinth]", "[tool.plinth] (pyproject.toml)")
        bases = script.get_bases()
        one = f', lint_since = "{bases[0]}" where that one took the place of it' if len(bases) == 1 else ""
        raise settings.SettingsError(
            f"{where} names a revision that there is no file of, {name!r}: write the newest one that the "
            f"lint is to leave out{one}; or take the line out."
        ) from error


def _measured(config: Config, history: History, number: int, applied: Sequence[str]) -> Measured:
    """Measure on the server of the tests: nobody's data are near, and CI has it."""
    try:
        with _server() as target:
            found = measure(history, target, applied)
        return _on_what_stands(config, number, applied, found) if found.is_missing else found
    except ImportError:
        return Measured(
            [], "There is no local PostgreSQL here to measure on. Run: pip install 'alembic-plinth[local]'"
        )
    except PlinthError as error:
        return Measured([], str(error))


def _on_what_stands(config: Config, number: int, applied: Sequence[str], found: Measured) -> Measured:
    """Measure on a copy of what no revision makes, which the database at hand may have."""
    try:
        # Its version table may be named where a database is asked, and only there.
        at = configured(config)[number]
        with at_hand(config, at) as target:
            then = measure(at.history, target, applied)
            name = target.engine.url.database
    except Exception as error:  # of any driver
        where = f"The database at hand may have it, and can't be asked. {words(error)}"
    else:
        if not then.is_missing:
            return then
        where = f"Database {name!r} hasn't it either."
    why = f"{found.failure} {where} A revision that makes it is written by: plinth adopt --write-baseline"
    return replace(found, failure=why)


def _server() -> Any:  # noqa: ANN401
    configured = settings.variable("TEST_DATABASE_URL")
    if configured:
        return connect(settings.parse_url(configured, "TEST_DATABASE_URL"))
    from plinth.local_server import test_server  # noqa: PLC0415 - a library for development only

    test_server().start()
    return connect(test_server().url("postgres"))


def _statements(rendered: Rendered, measured: Revision | None) -> list[Sql] | None:
    """Return a revision's statements: as it sent them where it needs a database; None when it couldn't."""
    if rendered.statements is not None:
        return [each for each in rendered.statements if not {*lexed(each.text).listed} <= {";"}]
    if measured is not None:
        return [Sql(each.sql, each.in_transaction) for each in measured.statements]
    return None


def _complaints(statements: Mapping[str, Sequence[Sql]]) -> dict[str, list[Complaint]]:
    said: dict[str, list[Complaint]] = {}
    for in_transaction in (True, False):
        group = {
            name: [each.text for each in sql]
            for name, sql in statements.items()
            if all(each.in_transaction for each in sql) == in_transaction
        }
        said |= complaints(group, in_transaction=in_transaction)
    return said


def _checked(
    revision: Script,
    statements: Sequence[Sql] | None,
    said: Sequence[Complaint],
    measured: Revision | None,
    failure: str | None,
) -> Checked:
    file = Path(revision.path)
    if statements is None:
        found = [_finding("not-checked", f"It was not measured ({str(failure).rstrip('.')})")]
    else:
        judged = (
            _of_measurement(measured, statements, said)
            if measured
            else _of_text(statements, said, str(failure).rstrip("."))
        )
        found = [*judged, *_of_form(statements, measured, said)]
        by = unseen_in(file.read_bytes())
        found += [_finding("not-checked", f"{by} speaks to the driver itself")] if by else []
        if phase_of(revision) == AFTER:
            found = [each for each in found if each.rule not in rules.BEFORE_THE_CODE]
        if not settings.configured().online:
            found = [replace(each, level=NAMED) if each.rule in rules.ONLINE else each for each in found]
    return Checked(revision.revision, file.name, _with_exceptions(file, found), measured is not None)


def _of_measurement(
    measured: Revision, statements: Sequence[Sql], said: Sequence[Complaint]
) -> Iterator[Finding]:
    """Yield what the measurement says, in Squawk's words where it has any."""
    matching = _matching(statements, measured)
    why = reasons(measured, lambda _: True)
    heavy = {
        each.statement: each
        for each in why
        if each.word in {"blocks", "rewrites"} and each.statement is not None
    }
    worded: set[int] = set()
    for complaint in _most_telling(said):
        rule = rules.SQUAWK[complaint.rule]
        number = matching.get(complaint.statement)
        if rule.judged and number is not None and number not in heavy:
            continue
        if number is not None and not rule.judged and _touches_nothing(measured, number, complaint):
            continue
        if number is not None:
            worded.add(number)
        about = heavy.get(number) if number is not None else None
        text = statements[complaint.statement].text
        yield _finding(_in_other_words(complaint.rule, text), _detail(about), text)
    for number, reason in heavy.items():
        if number not in worded:
            yield _finding(reason.word, _detail(reason), measured.statements[number].sql)
    for reason in why:
        if reason.word == "destroys" and reason.statement is not None:
            yield _finding("empties", _detail(reason), measured.statements[reason.statement].sql)
        elif reason.word in {"destroys", "renames"}:
            yield _finding("drops" if reason.word == "destroys" else "renames", _detail(reason))
    for name in measured.gone:
        yield _finding("drops", f"{name} is gone afterwards")


def _in_other_words(rule: str, sql: str) -> str:
    """Return our rule where Squawk takes what generates a column for a default."""
    return (
        "stored-generated-column" if rule == "adding-field-with-default" and lexed(sql).has(_STORED) else rule
    )


def _touches_nothing(measured: Revision, number: int, complaint: Complaint) -> bool:
    """Whether a column is required of a table that has just been made."""
    return complaint.rule == "adding-required-field" and not measured.statements[number].uses


def _of_text(statements: Sequence[Sql], said: Sequence[Complaint], failure: str) -> Iterator[Finding]:
    """Yield what Squawk says, where nothing was measured, and what a text doesn't tell at all."""
    for complaint in _most_telling(said):
        text = statements[complaint.statement].text
        yield _finding(_in_other_words(complaint.rule, text), sql=text)
    for complaint in said:
        if complaint.rule in rules.ALIASES:
            yield _finding(rules.ALIASES[complaint.rule], sql=statements[complaint.statement].text)
    new = _tables_made(statements)
    untold = [each.text for each in statements if not (asks(each.text) or _is_told(each.text, new))]
    if untold:
        yield _finding("not-checked", f"It was not measured ({failure})", untold[0])


def _tables_made(statements: Sequence[Sql]) -> set[tuple[str, ...]]:
    made = (
        one.begins("create table [if not exists] <table>")
        for each in statements
        for one in lexed(each.text).statements
    )
    return {tuple(parts(each["table"])) for each in made if each}


def _is_told(sql: str, new: Collection[tuple[str, ...]]) -> bool:
    """Whether the text of some statements tells what each does to a busy database, so that Squawk knows.

    Args:
        sql: the statements.
        new: the tables that the same revision makes.
    """

    def is_new(statement: Lexed) -> bool:
        found = statement.begins(_ABOUT_A_TABLE)
        return found is not None and tuple(parts(found["table"])) in new

    return all(
        is_new(each) or (each.begins(_TOLD) and not each.has(_READS_ALL)) for each in lexed(sql).statements
    )


def _of_form(
    statements: Sequence[Sql], measured: Revision | None, said: Sequence[Complaint]
) -> Iterator[Finding]:
    works = [each for each in statements if not asks(each.text)]
    drops = (
        measured.dropped if measured else [each for each in said if rules.ALIASES.get(each.rule) == "drops"]
    )
    others = [each for each in works if not _only_drops(each.text)]
    if drops and others:
        yield _finding("drop-not-alone", sql=others[0].text)


def _only_drops(sql: str) -> bool:
    return all(each.begins(_DROPS) or asks(each.text) for each in lexed(sql).statements)


def _most_telling(said: Sequence[Complaint]) -> list[Complaint]:
    """Return the complaints that count, without those that say less than another of the same statement."""
    counted = [each for each in said if each.rule in rules.SQUAWK]
    told = {each.statement for each in counted if each.rule not in rules.VAGUE}
    return [each for each in counted if each.rule not in rules.VAGUE or each.statement not in told]


def _matching(statements: Sequence[Sql], measured: Revision) -> dict[int, int]:
    """Return which rendered statement is which measured one: they are sent in the same order."""
    sent = [number for number, each in enumerate(measured.statements) if not asks(each.sql)]
    written = [number for number, each in enumerate(statements) if not asks(each.text)]
    if len(sent) == len(written):
        return dict(zip(written, sent, strict=True))
    by_text = {_plain(measured.statements[number].sql): number for number in sent}
    found = {number: by_text.get(_plain(statements[number].text)) for number in written}
    return {number: other for number, other in found.items() if other is not None}


def _plain(sql: str) -> str:
    return " ".join(sql.rstrip("; \n").split()).lower()


def _detail(reason: Reason | None) -> str:
    return reason.sentence if reason else ""


def _finding(rule: str, detail: str = "", sql: str = "") -> Finding:
    found = rules.ALL[rule]
    message = f"{detail}: {found.why}" if detail else found.why
    return Finding(rule, NAMED if rule == "drops" else REFUSED, message, found.instead, sql)


def _with_exceptions(file: Path, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings, those that the file allows marked so, and what is to be said of its exceptions."""
    given = exceptions_in(file)
    allowed = {each.rule: each.reason for each in given if each.reason}
    result = [
        Finding(each.rule, ALLOWED, each.message, each.instead, each.sql, allowed[each.rule])
        if each.rule in allowed and each.level == REFUSED
        else each
        for each in found
    ]
    result += [
        _finding("exception-without-reason", f"lint: allow {each.rule}") for each in given if not each.reason
    ]
    refused = {each.rule for each in found if each.level == REFUSED}
    for rule in allowed:
        if rule not in refused:
            known = "nothing is found that it allows" if rule in rules.ALL else "there is no such rule"
            result.append(Finding("unused-exception", NAMED, f"lint: allow {rule}: {known}", "take it out"))
    return result
