"""Changes of tables that others inherit from, and of these."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, t

Part = Callable[[], Any]
ROWS = (
    "insert into regions select n from generate_series(1, 9) n",
    "insert into places (id, n) select n, nullif(n % 3, 0) from generate_series(1, 300) n",
    "insert into cities (id, n, people) select n, nullif(n % 3, 0), n from generate_series(301, 600) n",
    "insert into ports (id, n, people, ships) select n, 1, n, n from generate_series(601, 900) n",
)
FULL = tuple(each.replace("nullif(n % 3, 0)", "n % 3 + 1") for each in ROWS)
COUNT = kept("select count(*) from places", 900)
BACKFILLED = {"backfill": "n * 2"}


def places(
    *parts: Part, cities: tuple[Part, ...] = (), n: Part | None = lambda: Column("n", Integer)
) -> Models:
    """Return models of places, of which some are cities, of which some are ports.

    Args:
        parts: what places have further.
        cities: what cities have further.
        n: a column of places.
    """

    def made(m: MetaData) -> None:
        t(m, name="regions")
        own = [] if n is None else [n()]
        t(m, *own, *(part() for part in parts), name="places")
        people = Column("people", Integer)
        city = Table("cities", m, people, *(part() for part in cities), postgresql_inherits="places")
        port = Table("ports", m, Column("ships", Integer), postgresql_inherits="cities")
        port.add_is_dependent_on(city)

    return made


def both(name: str, before: Models, after: Models, **options: Any) -> list[Kind]:
    """Return a change and its reverse."""
    given = {"rows": FULL, "checks": (COUNT,), **options}
    return [
        Kind(f"heir.{name}", before, after, **given),
        Kind(f"heir.{name}_taken_back", after, before, **given),
    ]


def required(**info: str) -> Part:
    return lambda: Column("n", Integer, nullable=False, info=info)


def _inherited(*columns: str, default: str | None = "1") -> Models:
    """Return models of a table with a default, and of an heir, if it says anything of a column."""

    def made(m: MetaData) -> None:
        table = t(m, Column("n", Integer, server_default=default))
        for column in columns:
            also(table, "create table heir () inherits (t)")
            also(table, f"alter table heir alter {column.replace('n ', 'n set ', 1)}")

    return made


def _each(sql: str) -> Models:
    """Return models of a table with a check, and of an heir without columns that has it as its own, too."""

    def made(m: MetaData) -> None:
        table = t(m, Column("n", Integer), CheckConstraint(sql, name="positive"))
        heir = Table("heir", m, CheckConstraint(sql, name="positive"), postgresql_inherits="t")
        heir.add_is_dependent_on(table)

    return made


KINDS = [
    Kind("heir.check_of_the_heir_changes", _each("n > 0"), _each("n > 1"), convention=False),
    Kind(
        "heir.not_null_of_all",
        places(),
        places(n=required(backfill="7")),
        rows=ROWS,
        checks=(COUNT, check("select count(*) from places where n = 7", 200, 200)),
    ),
    Kind("heir.null_of_all", places(n=required()), places(), rows=FULL, checks=(COUNT,)),
    Kind(
        "heir.required_column_of_all",
        places(),
        places(lambda: Column("more", Integer, nullable=False, info={"backfill": "id * 2"})),
        rows=ROWS,
        checks=(COUNT, check("select sum(more) from places", 900 * 901)),
    ),
    Kind(
        "heir.volatile_default_of_all",
        places(),
        places(
            lambda: Column("token", Text, nullable=False, server_default=text("gen_random_uuid()::text")),
            lambda: Column("maybe", Text, server_default=text("gen_random_uuid()::text")),
        ),
        rows=ROWS,
        checks=(COUNT, check("select count(distinct token) + count(distinct maybe) from places", 1800)),
    ),
    Kind(
        "heir.required_column_of_its_own",
        places(),
        places(cities=(lambda: Column("more", Integer, nullable=False, info={"backfill": "id * 2"}),)),
        rows=ROWS,
        checks=(COUNT,),
    ),
    Kind(
        "heir.drop_required_column_of_all",
        places(n=required()),
        places(n=None),
        rows=FULL,
        checks=(COUNT,),
        x=("drop=places.n",),
        downgrade_may_stop=True,
    ),
    *both("check_of_all", places(), places(lambda: CheckConstraint("n > 0", name="positive"))),
    *both(
        "check_of_each_changes",
        places(
            lambda: CheckConstraint("n > 0", name="positive"),
            cities=(lambda: CheckConstraint("n > 0", name="positive"),),
        ),
        places(
            lambda: CheckConstraint("n > -1", name="positive"),
            cities=(lambda: CheckConstraint("n > -1", name="positive"),),
        ),
    ),
    *both(
        "check_of_some",
        places(),
        places(cities=(lambda: CheckConstraint("people > 0 and n > 0", name="positive"),)),
    ),
    *both(
        "keys_of_its_own",
        places(),
        places(
            lambda: ForeignKeyConstraint(["n"], ["regions.id"]),
            lambda: Index("by_n", "n"),
            cities=(
                lambda: Column("region_id", Integer, ForeignKey("regions.id")),
                lambda: UniqueConstraint("people"),
                lambda: Index("by_people", "people"),
            ),
        ),
    ),
    Kind(
        "heir.identity_column",
        places(),
        places(lambda: Column("number", Integer, Identity(), nullable=False)),
        rows=ROWS,
        refusal="places.number is an identity column, and cities inherits.*gives heirs' rows no numbers",
    ),
    Kind(
        "heir.identity_column_that_goes",
        places(lambda: Column("number", Integer, Identity(), nullable=False)),
        places(),
        refusal="places.number is an identity column, and cities inherits.*Let it be a plain column first",
    ),
    Kind(
        "heir.identity_column_becomes_plain",
        places(lambda: Column("number", Integer, Identity(), nullable=False)),
        places(lambda: Column("number", Integer, nullable=False)),
        rows=("insert into places (n) values (1)",),
    ),
    *both("default_of_all", places(), places(n=lambda: Column("n", Integer, server_default="5"))),
    Kind("heir.new_with_a_default_of_its_own", _inherited(), _inherited("n default 3")),
    Kind("heir.new_without_default", _inherited(), _inherited("n default null")),
    *both(
        "default_that_stays_its_own",
        _inherited("n default 1"),
        _inherited("n default 1", default="2"),
        rows=(),
        checks=(),
    ),
    *both(
        "none_where_its_table_gets_one",
        _inherited("n default null", default=None),
        _inherited("n default null"),
        rows=(),
        checks=(),
    ),
    *both(
        "none_any_more_where_its_table_gets_another",
        _inherited("n default 1"),
        _inherited("n default null", default="2"),
        rows=(),
        checks=(),
    ),
    Kind(
        "heir.rename_column_of_all",
        places(),
        places(n=lambda: Column("amount", Integer, info={"renamed_from": "n"})),
        rows=ROWS,
        checks=(COUNT,),
    ),
    Kind(
        "heir.type_of_column_of_all",
        places(),
        places(n=lambda: Column("n", BigInteger)),
        rows=ROWS,
        checks=(COUNT, kept("select sum(n) from places", 900)),
        x=("rewrite=places.n", "rewrite=cities.n", "rewrite=ports.n"),
    ),
]
