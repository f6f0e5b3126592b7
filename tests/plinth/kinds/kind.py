"""What a kind of change is, and words to write one down."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import DDL, Column, Integer, MetaData, Table, event

from tests.plinth.judge import ANYTHING, Check

__all__ = ["Check", "Kind", "Models", "also", "check", "first", "kept", "nothing", "t"]

# That of the scaffold, written out: what the list of kinds was measured with must not change with it.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Models = Callable[[MetaData], object]  # puts tables into an empty MetaData


@dataclass(frozen=True)
class Kind:
    """One change of models.

    Args:
        name: group and name, for instance "column.rename".
        before: makes the models at first.
        after: makes the models then.
        rows: statements that put rows into the database of `before`.
        checks: queries on the rows.
        x: arguments of `-x`.
        prepare: statements of a hand-written revision that comes first.
        handmade: statements of a hand-written revision that follows on `before`.
        in_reference: statements after create_all() of `after`, where that makes something else.
        foreign: statements that no revision runs.
        refusal: what the message says with which autogenerate must decline (a regular expression).
        online_refusal: likewise, unless it may write a plain file.
        server: the oldest major version of PostgreSQL that has this.
        keeps_rows: columns that keep their name and type must keep their values too.
        schemas_may_stay: a schema that has become empty may stay.
        downgrade_may_stop: the downgrade may end with a sentence.
        convention: whether the models have a naming convention.
        schema: the models' default schema.
        listed: the kind is one of those that plain Alembic was measured with.
    """

    name: str
    before: Models
    after: Models
    rows: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    x: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    handmade: tuple[str, ...] = ()
    in_reference: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    refusal: str | None = None
    online_refusal: str | None = None
    server: int = 14
    keeps_rows: bool = True
    schemas_may_stay: bool = False
    downgrade_may_stop: bool = False
    convention: bool = True
    schema: str | None = None
    listed: bool = False

    def metadata(self, models: Models) -> MetaData:
        """Return models made anew: two trials must not share any."""
        convention = NAMING_CONVENTION if self.convention else None
        metadata = MetaData(naming_convention=convention, schema=self.schema)
        models(metadata)
        return metadata


def nothing(_: MetaData) -> None:
    """Put no table into the models."""


def t(metadata: MetaData, *items: Any, name: str = "t", **options: Any) -> Table:
    """Return a table `t` with a column `id`, and whatever else is given."""
    return Table(name, metadata, Column("id", Integer, primary_key=True), *items, **options)


def check(sql: str, up: object = ANYTHING, down: object = ANYTHING) -> Check:
    """Return a query on the rows and the value it must have."""
    return Check(sql, up, down)


def kept(sql: str, value: object) -> Check:
    """Return a query on the rows whose value is the same after upgrade and downgrade."""
    return Check(sql, value, value)


def also(target: Any, statement: str) -> None:
    """Let `create_all()` run a statement after it has made the table, or all of them."""
    event.listen(target, "after_create", _ddl(statement))


def first(target: Any, statement: str) -> None:
    """Let `create_all()` run a statement before it makes the table, or any of them."""
    event.listen(target, "before_create", _ddl(statement))


def _ddl(statement: str) -> DDL:
    ddl: DDL = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
    return ddl
