"""Random pairs of models: the revision takes the database from one to the other and back, with its rows.

What was met, and how many pairs were refused, stands at the end of the log. `pytest --hypothesis-seed=…`
draws the same pairs again (in each part the same); a pair that fails is printed as code, to become a kind
of its own.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from tests.plinth.described_models import Model, Pair, drops, kept_rows, metadata, rows
from tests.plinth.described_types import DomainOf, EnumOf, Scalar
from tests.plinth.history import psql
from tests.plinth.judge import Check, Outcome, creation_of_schemas, empty_place, try_change
from tests.plinth.random_edits import pairs

FEW = settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to make a failing pair small takes minutes
)
MANY = settings(FEW, max_examples=500, derandomize=False, phases=[Phase.generate, Phase.shrink])
PART = settings(MANY, max_examples=50)  # of hundreds of pairs, which several workers try

Record = Callable[[str, object], None]

# SQLAlchemy's own, of an index on a domain: it concerns the models alone.
pytestmark = pytest.mark.filterwarnings("ignore:Type object .*DOMAIN")


MODES = pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "in one revision"])


@MODES
def test_random_pairs(server: URL, tmp_path: Path, record_property: Record, x: tuple[str, ...]) -> None:
    try_pairs(server, tmp_path, record_property, FEW, x)


@MODES
@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_hundreds_of_random_pairs(
    server: URL,
    tmp_path: Path,
    record_property: Record,
    x: tuple[str, ...],
    part: int,  # each draws others
) -> None:
    try_pairs(server, tmp_path, record_property, PART, x)


def test_models_are_drawn_that_can_be_made(empty_engine: Engine) -> None:
    make_pairs(empty_engine, settings(FEW, max_examples=10))


@pytest.mark.slow
def test_hundreds_of_models_are_drawn_that_can_be_made(empty_engine: Engine) -> None:
    make_pairs(empty_engine, MANY)


# Trying


@dataclass
class Met:
    """What was met.

    Args:
        passed: the number of pairs that went both ways.
        failed: the number of those that did not.
        refusals: the messages of those that were refused.
        edits: how often an edit was made.
        kinds: in how many models a kind of object stood.
    """

    passed: int = 0
    failed: int = 0
    refusals: list[str] = field(default_factory=list)
    edits: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, pair: Pair, outcome: Outcome) -> None:
        """Count a pair."""
        self.edits.update(pair.edits)
        for model in (pair.before, pair.after):
            self.kinds.update(set(kinds_in(model)))
        if is_failure(outcome):
            self.failed += 1
        elif outcome.refusal is not None:
            self.refusals.append(outcome.refusal)
        else:
            self.passed += 1

    def say(self, record: Record) -> None:
        """Put it into the log."""
        tried = self.passed + self.failed + len(self.refusals)
        record("random pairs", f"{self.passed} passed of {tried} tried, {len(self.refusals)} were refused")
        record("random pairs, edits", listed(self.edits))
        record("random pairs, models with", listed(self.kinds))
        for refusal, number in Counter(self.refusals).most_common():
            record("random pairs, refused", f"{number} times: {refusal}")


def is_failure(outcome: Outcome) -> bool:
    """Whether it is neither passed nor refused; a revision that its own proof found wrong is no refusal."""
    refusal = outcome.refusal or ""
    return outcome.failed is not None or "isn't the models'" in refusal or "fails in its" in refusal


def listed(counts: Counter[str]) -> str:
    """Return names with their numbers, the most frequent first."""
    return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.most_common())


def kinds_in(model: Model) -> Iterator[str]:
    """Yield the kinds of object and option in a model."""
    for name in ("enums", "domains", "sequences", "convention", "rows"):
        if getattr(model, name):
            yield name
    for table in model.tables:
        for attribute in dataclasses.fields(table):
            if attribute.name not in {"key", "name", "columns", "filled"} and getattr(table, attribute.name):
                yield attribute.name
        for column in table.columns:
            yield kind_of(column.type)
            for name in ("default", "identity", "serial", "computed", "comment", "backfill", "spells"):
                if getattr(column, name) not in {None, False}:
                    yield f"column {name}"
        for index in table.indexes:
            yield f"{'unique ' if index.unique else ''}{index.using} index"
            yield from (f"index {name}" for name in ("where", "include", "storage") if getattr(index, name))
            if any(part.expression for part in index.parts):
                yield "index expression"
        yield from (f"foreign key {name}" for each in table.foreign_keys for name, _ in each.options)


def kind_of(kind: Scalar | EnumOf | DomainOf) -> str:
    """Return the name of a type."""
    match kind:
        case EnumOf(_, form):
            return f"{form} enum"
        case DomainOf():
            return "domain"
    return kind.sql


def try_pairs(server: URL, folder: Path, record: Record, how: settings, x: tuple[str, ...]) -> None:
    """Try pairs, with further arguments of `-x`; fail with the code of one that doesn't go both ways.

    Fail also when many are refused.
    """
    met = Met()
    numbers = iter(range(1_000_000))

    @how
    @given(pairs(major_version(server)))
    def go_both_ways(pair: Pair) -> None:
        with empty_place(server, folder / str(next(numbers))) as (history, engine):
            outcome = try_change(
                history,
                engine,
                metadata(pair.before),
                metadata(pair.after, pair.before),
                rows=rows(pair.before),
                checks=checks(pair),
                x=(*drops(pair), *x),
                keeps_rows=not renames_values(pair),  # else the checks alone know what rows hold
                schemas_may_stay=True,
            )
        met.add(pair, outcome)
        if is_failure(outcome):
            pytest.fail(f"{outcome}\n\n{pair}", pytrace=False)

    try:
        go_both_ways()
    finally:
        met.say(record)
    assert len(met.refusals) <= met.passed / 5  # of fifty that are drawn, by chance more than of all


def checks(pair: Pair) -> list[Check]:
    """Return queries that count the rows which still hold what they held."""
    up = [Check(query, up=number) for query, number in kept_rows(pair, back=False)]
    down = [Check(query, down=number) for query, number in kept_rows(pair, back=True)]
    return up + down


def renames_values(pair: Pair) -> bool:
    """Whether a value of an enum has another name afterwards."""
    old = {(enum.key, label.key): label.name for enum in pair.before.enums for label in enum.labels}
    new = {(enum.key, label.key): label.name for enum in pair.after.enums for label in enum.labels}
    return any(old[key] != new[key] for key in old.keys() & new.keys())


def major_version(url: URL) -> int:
    """Return the major version of a server."""
    with psql(url) as connection:
        return connection.info.server_version // 10_000


def make_pairs(engine: Engine, how: settings) -> None:
    """Draw pairs and make both models of each, with the rows, and nothing between them."""

    @how
    @given(pairs(major_version(engine.url)))
    def make(pair: Pair) -> None:
        with engine.connect() as connection:
            for statement in creation_of_schemas(metadata(pair.after)):
                connection.exec_driver_sql(statement)
            metadata(pair.after, pair.before).create_all(connection)
            connection.rollback()
            for statement in creation_of_schemas(metadata(pair.before)):
                connection.exec_driver_sql(statement)
            metadata(pair.before).create_all(connection)
            put_rows(connection, pair)
            connection.rollback()

    make()


def put_rows(connection: Connection, pair: Pair) -> None:
    """Put the rows of `before` into its tables, and see that they hold and that foreign keys find theirs."""
    cursor = connection.connection.cursor()  # psycopg's own: no % is a parameter
    for statement in rows(pair.before):
        cursor.execute(statement)
    cursor.execute("set session_replication_role = origin")
    cursor.execute("update pg_constraint set convalidated = false where contype = 'f'")
    cursor.execute(
        "select format('alter table %s validate constraint %I', conrelid::regclass, conname) "
        "from pg_constraint where contype = 'f'"
    )
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)
    for query, number in kept_rows(Pair(pair.before, pair.before), back=True):
        cursor.execute(query)
        found = cursor.fetchone()
        assert found
        assert found[0] == number
