"""Changes of tables that have partitions, made by models and by hand, some with partitions of their own."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tests.plinth.kinds.kind import Check, Kind, Models, also, check, kept, nothing

OLD = "create table orders_old partition of orders for values from (minvalue) to ('2024-01-01')"
OLDER = "create table orders_older partition of orders_old for values from ('2023-01-01') to ('2024-01-01')"
NEW = "create table \"Orders New\" partition of orders for values from ('2024-01-01') to ('2025-01-01')"
HAND = "create table by_hand partition of orders for values from ('2025-01-01') to (maxvalue)"
EVERYWHERE = (
    "insert into regions select n from generate_series(1, 9) n",
    "insert into orders (day, id, n, s) select '2023-01-01'::date + n, n, nullif(n % 9, 0), 'a' || n "
    "from generate_series(1, 900) n",
    "insert into refunds select '2023-01-01'::date + n, n from generate_series(1, 900) n",
)
OWN_DEFAULT = 'alter table "Orders New" alter n set default 3'
OTHER_DEFAULTS = (
    HAND,
    "alter table by_hand alter n set default 4",
    "create table none_at_all partition of orders default",
    "alter table none_at_all alter n drop default",
)
DEFAULTS = (
    "select string_agg(coalesce(pg_get_expr(adbin, adrelid), 'NULL'), ', ' order by relname) "
    "from pg_class join pg_attribute on attrelid = pg_class.oid and attname = 'n' "
    "left join pg_attrdef on adrelid = attrelid and adnum = attnum "
    "where relname in ('by_hand', 'none_at_all', 'Orders New', 'orders', 'orders_old', 'orders_older')"
)
COUNT = kept("select count(*) from orders", 900)


def _dollars(default: str) -> Models:
    def made(m: MetaData) -> None:
        columns = Column("id", Integer), Column("n$$", Text, server_default=default)
        Table("a$$b", m, *columns, postgresql_partition_by="LIST (id)")
        also(m, 'create table "$change$" partition of "a$$b" for values in (1)')

    return made


ODD = ("a:b::c :d {e} %f %s", "\\:g\"h'i", "é" * 31, "é" * 30 + "ab", "x" * 63)


def _odd(*parts: Callable[[], Any], n: type[Integer] = Integer) -> Models:
    """Return models of a table whose partitions have odd names."""

    def made(m: MetaData) -> None:
        Table("kinds", m, Column("n: {}", Integer, primary_key=True))
        columns = Column("id", Integer, nullable=False), Column("n: {}", n())
        table = Table(
            "odd :{}%", m, *columns, *(part() for part in parts), postgresql_partition_by="LIST (id)"
        )
        for number, name in enumerate(ODD):
            said = name.replace('"', '""')
            also(table, f'create table "{said}" partition of "odd :{{}}%" for values in ({number})')

    return made


ON_ODD = (
    lambda: PrimaryKeyConstraint("id", "n: {}", name="pk :{}%"),
    lambda: UniqueConstraint("n: {}", "id", name="uq :{}%"),
    lambda: ForeignKeyConstraint(["n: {}"], ["kinds.n: {}"], name="fk :{}%"),
    lambda: Index("ix :{}%", "n: {}"),
)
ODD_ROWS = (
    "insert into kinds select n from generate_series(1, 9) n",
    f'insert into "odd :{{}}%" select n % {len(ODD)}, n from generate_series(1, 9) n',  # noqa: S608 - a number
)


Parts = tuple[Callable[[], Any], ...]


def orders(
    *parts: Callable[[], Any], n: Callable[[], Any] | None = lambda: Column("n", Integer), **more: Any
) -> Models:
    """Return models of a table with partitions, of which one has partitions itself.

    Args:
        parts: what the table has further.
        n: one of its columns.
        more: "refunds": what a table that may refer to it has; "partitions": further ones;
            "regions": the type of the key to which it may refer; "s": the length of another column.
    """

    def made(m: MetaData) -> None:
        Table("regions", m, Column("id", more.get("regions", Integer), primary_key=True))
        table = Table(
            "orders",
            m,
            Column("day", Date, nullable=False),
            Column("id", Integer, nullable=False),
            *([] if n is None else [n()]),
            Column("s", String(more.get("s", 20))),
            *(part() for part in parts),
            postgresql_partition_by="RANGE (day)",
        )
        refunds = Table("refunds", m, Column("day", Date), Column("id", Integer))
        for part in more.get("refunds", ()):
            refunds.append_constraint(part())
        for statement in (f"{OLD} partition by range (day)", OLDER, NEW, *more.get("partitions", ())):
            also(table, statement)

    return made


def both(
    name: str, before: Models, after: Models, *, up: tuple[Check, ...] = (), **options: Any
) -> list[Kind]:
    """Return a change and its reverse, beside a partition that no model knows."""
    given = {"rows": EVERYWHERE, "handmade": (HAND,), **options}
    return [
        Kind(f"partition.{name}", before, after, checks=(COUNT, *up), **given),
        Kind(f"partition.{name}_taken_back", after, before, checks=(COUNT,), **_reversed(given)),
    ]


def _reversed(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "rows": options.pop("rows_after", options["rows"])}


def required(**info: str) -> Callable[[], Any]:
    return lambda: Column("n", Integer, nullable=False, info=info)


def key(*columns: str, **options: Any) -> Callable[[], Any]:
    return lambda: PrimaryKeyConstraint(*columns, **options)


DEFAULT = check(
    "with new as (insert into orders (day, id) values ('2024-06-01', 0) returning n) select n from new", 5, 5
)


def retyped(
    name: str,
    *parts: Callable[[], Any],
    key: tuple[str, ...] = ("day", "id"),
    n: dict[str, Any] | None = None,
    up: tuple[Check, ...] = (),
    **more: Any,
) -> list[Kind]:
    """Return another type for a column on which something stands, beside a partition that no model knows."""
    given = {each: more.pop(each, ()) for each in ("partitions", "refunds")}
    identity = more.pop("identity", None)

    def models(type_: type[Integer]) -> Models:
        def of_key() -> PrimaryKeyConstraint:
            return PrimaryKeyConstraint(*key)

        return orders(
            of_key,
            *parts,
            n=lambda: Column("n", type_(), *([identity()] if identity else []), **(n or {})),
            **given,
        )

    options = {"rows": FULL, "handmade": (HAND,), **more}
    checks = (COUNT, kept("select sum(n) from orders", 4500), *up)
    return [
        Kind(
            f"partition.type_of_column_{name}", models(Integer), models(BigInteger), checks=checks, **options
        )
    ]


TRIGGER = (
    "create function no_less() returns trigger language plpgsql as "
    "$$ begin new.n := greatest(new.n, 1); return new; end $$",
    "create trigger no_less before insert or update on orders for each row execute function no_less()",
)
FULL = (
    EVERYWHERE[0],
    EVERYWHERE[1].replace("nullif(n % 9, 0)", "n % 9 + 1"),
    EVERYWHERE[2],
)

REST = "create table rest partition of orders default"
LATE = "insert into orders (day, id) select '2028-1-1', n from generate_series(1, 900) n"
YEAR = "for values from ('2026-1-1') to ('2027-1-1')"


def shops(*, notes: str | None = None, **options: Any) -> Callable[[MetaData, Any], object]:
    """Return models of a table with partitions, to whose primary key two others, and it itself, refer.

    Args:
        notes: by what one of these is partitioned.
        options: of the foreign keys.
    """

    def made(m: MetaData, kind: Any) -> None:
        table = Table(
            "orders",
            m,
            Column("id", kind, *([] if notes else [Identity()]), nullable=False),
            Column("day", Date, nullable=False),
            Column("parent", kind),
            PrimaryKeyConstraint("day", "id"),
            ForeignKeyConstraint(["day", "parent"], ["orders.day", "orders.id"], **options),
            Index("by_parent", "parent"),
            postgresql_partition_by="RANGE (day)",
        )
        for statement in (f"{OLD} partition by range (day)", OLDER, NEW):
            also(table, statement)
        key = ForeignKeyConstraint(["day", "id"], ["orders.day", "orders.id"], **options)
        Table("refunds", m, Column("day", Date), Column("id", kind, nullable=False), key)
        table = Table(
            "notes",
            m,
            Column("day", Date, nullable=False),
            Column("id", kind),
            Column("n", Integer),
            ForeignKeyConstraint(["id", "day"], ["orders.id", "orders.day"], comment="of what", **options),
            postgresql_partition_by=notes,
        )
        if notes:
            also(table, "create table notes_some partition of notes for values in (1)")
            also(table, "create table notes_rest partition of notes default partition by list (n)")
            also(table, "create table notes_deep partition of notes_rest default")

    return made


def rekeyed(name: str, make: Callable[[MetaData, Any], object], **options: Any) -> list[Kind]:
    """Return another type for such a key."""
    rows = (
        "insert into orders (id, day, parent) overriding system value "
        "select n, '2023-1-1'::date + n / 9 * 9, nullif(n / 9 * 9, n) from generate_series(9, 908) n",
        "insert into refunds select day, id from orders where id % 3 = 0",
        "insert into notes select day, id, id % 4 from orders where id % 2 = 0",
    )
    content = (
        "select (select count(parent) from orders) + (select sum(id) from refunds) "
        "+ (select sum(id) from notes)"
    )
    checks = COUNT, kept(content, 344600)
    return [
        Kind(
            f"partition.{name}",
            lambda m: make(m, Integer),
            lambda m: make(m, BigInteger),
            rows=rows,
            handmade=(HAND,),
            checks=checks,
            **options,
        )
    ]


def of_default_1() -> Column[int]:
    return Column("n", Integer, server_default="1")


KINDS = [
    *both(
        "not_null",
        orders(),
        orders(n=required(backfill="7")),
        up=(check("select count(*) from orders where n = 7", 200, 200),),
        rows=EVERYWHERE,
    )[:1],
    Kind(
        "partition.not_null_taken_back",
        orders(n=required()),
        orders(),
        rows=FULL,
        handmade=(HAND,),
        checks=(COUNT,),
    ),
    Kind(
        "partition.not_null_with_key",
        orders(key("day", "id")),
        orders(key("day", "id"), n=required(backfill="7")),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT, check("select count(*) from orders where n = 7", 200, 200)),
    ),
    *both(
        "required_column",
        orders(key("day", "id")),
        orders(
            key("day", "id"),
            lambda: Column("more", Integer, nullable=False, server_default="5", info={"backfill": "id * 2"}),
        ),
        up=(check("select sum(more) from orders", 900 * 901),),
        rows=FULL,
    )[:1],
    Kind(
        "partition.required_column_without_key",
        orders(),
        orders(lambda: Column("more", Text, nullable=False, info={"backfill": "'x' || id"})),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT, check("select count(distinct more) from orders", 900)),
    ),
    Kind(
        "partition.drop_required_column",
        orders(key("day", "id"), n=required()),
        orders(key("day", "id"), n=None),
        rows=FULL,
        handmade=(HAND,),
        checks=(COUNT,),
        x=("drop=orders.n",),
        downgrade_may_stop=True,
    ),
    Kind(
        "partition.volatile_default",
        orders(key("day", "id")),
        orders(
            key("day", "id"),
            lambda: Column("token", Text, nullable=False, server_default=text("gen_random_uuid()::text")),
            lambda: Column("maybe", Text, server_default=text("gen_random_uuid()::text")),
        ),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT, check("select count(distinct token) + count(distinct maybe) from orders", 1800)),
    ),
    *both(
        "foreign_key_from",
        orders(),
        orders(lambda: ForeignKeyConstraint(["n"], ["regions.id"], ondelete="CASCADE")),
    ),
    *both(
        "foreign_key_with_odd_name",
        orders(),
        orders(lambda: ForeignKeyConstraint(["n"], ["regions.id"], name="Odd {fk}:%", deferrable=True)),
    ),
    *both(
        "foreign_key_changes",
        orders(lambda: ForeignKeyConstraint(["n"], ["regions.id"])),
        orders(lambda: ForeignKeyConstraint(["n"], ["regions.id"], ondelete="SET NULL")),
    ),
    *both(
        "foreign_key_to",
        orders(key("day", "id")),
        orders(
            key("day", "id"),
            refunds=(lambda: ForeignKeyConstraint(["day", "id"], ["orders.day", "orders.id"]),),
        ),
    ),
    *both(
        "foreign_key_to_and_its_key",
        orders(),
        orders(
            key("day", "id"),
            refunds=(lambda: ForeignKeyConstraint(["day", "id"], ["orders.day", "orders.id"]),),
        ),
    ),
    *both("primary_key", orders(), orders(key("day", "id"))),
    *both(
        "primary_key_of_nullable",
        orders(n=required()),
        orders(key("day", "n", "id"), n=required()),
        rows=FULL,
    ),
    *both(
        "primary_key_and_not_null",
        orders(),
        orders(key("day", "n", "id"), n=required(backfill="7")),
        rows=FULL,
    ),
    *both("primary_key_changes", orders(key("day", "id")), orders(key("id", "day"))),
    *both("primary_key_deferrable", orders(), orders(key("day", "id", deferrable=True))),
    *both(
        "unique_changes",
        orders(lambda: UniqueConstraint("day", "id", name="one")),
        orders(lambda: UniqueConstraint("id", "day", name="one")),
    ),
    *both("index", orders(), orders(lambda: Index("by_n", "n", "s"))),
    *both("check", orders(), orders(lambda: CheckConstraint("n > 0", name="positive"))),
    *both(
        "default",
        orders(),
        orders(n=lambda: Column("n", Integer, server_default="5", comment="of all")),
    ),
    *both(
        "default_beside_others_of_partitions",
        orders(partitions=(OWN_DEFAULT,), n=lambda: Column("n", Integer, server_default="1")),
        orders(partitions=(OWN_DEFAULT,), n=lambda: Column("n", Integer, server_default="5")),
        handmade=OTHER_DEFAULTS,
        up=(check(DEFAULTS, "3, 4, NULL, 5, 5, 5", "3, 4, NULL, 1, 1, 1"),),
    ),
    Kind(
        "partition.new_with_defaults_of_its_own",
        orders(n=of_default_1),
        orders(
            partitions=(
                f"create table own partition of orders (n default 3) {YEAR}",
                "alter table own alter s set default 'a'",
                "create table bare partition of orders default partition by range (day)",
                "alter table bare alter n drop default",
                "create table bare_1 partition of bare (n default 1) default",
            ),
            n=of_default_1,
        ),
    ),
    *both(
        "default_of_its_own",
        orders(n=of_default_1, partitions=(OWN_DEFAULT,)),
        orders(n=of_default_1),
    ),
    *both(
        "no_default_of_its_own",
        orders(n=of_default_1, partitions=(OWN_DEFAULT.replace("set default 3", "drop default"),)),
        orders(n=lambda: Column("n", Integer, server_default="2")),
    ),
    *both(
        "none_where_all_others_get_one",
        orders(),
        orders(n=of_default_1, partitions=(OWN_DEFAULT.replace("set default 3", "drop default"),)),
    ),
    *both(
        "default_that_stays_its_own",
        orders(n=of_default_1),
        orders(
            n=lambda: Column("n", Integer, server_default="2"),
            partitions=(OWN_DEFAULT.replace("set default 3", "set default 1"),),
        ),
    ),
    *both(
        "default_where_no_other_has_one",
        orders(n=of_default_1),
        orders(partitions=(OWN_DEFAULT.replace("set default 3", "set default 1"),)),
    ),
    Kind("partition.odd_names_get_all_that_is_built", _odd(), _odd(*ON_ODD), rows=ODD_ROWS),
    Kind("partition.odd_names_get_another_type", _odd(*ON_ODD), _odd(*ON_ODD, n=BigInteger), rows=ODD_ROWS),
    Kind("partition.default_under_dollars_in_names", _dollars("1"), _dollars("$$ $change$")),
    Kind(
        "partition.longer_text_with_much_else",
        orders(),
        orders(
            lambda: Column("long", String(20)),
            lambda: CheckConstraint("s <> 'z'", name="known"),
            lambda: Index("by_s", "s"),
            key("day", "id"),
            lambda: Column("more", Integer, nullable=False, info={"backfill": "id"}),
            s=40,
        ),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT,),
    ),
    Kind(
        "partition.everything_at_once",
        orders(lambda: Index("by_s", "s"), key("day", "id")),
        orders(
            key("day", "id"),
            lambda: Column("more", Integer, nullable=False, info={"backfill": "id"}),
            lambda: ForeignKeyConstraint(["n"], ["regions.id"]),
            lambda: CheckConstraint("more > 0", name="positive"),
            lambda: Index("by_more", "more"),
            n=required(backfill="7"),
            refunds=(lambda: ForeignKeyConstraint(["day", "id"], ["orders.day", "orders.id"]),),
            partitions=(
                "create table first partition of orders_old for values from ('2000-1-1') to ('2001-1-1')",
            ),
        ),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT,),
        x=("drop=orders.by_s",),
    ),
    Kind(
        "partition.rename_column",
        orders(),
        orders(n=lambda: Column("amount", Integer, info={"renamed_from": "n"})),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT,),
    ),
    Kind(
        "partition.type_of_column",
        orders(key("day", "id")),
        orders(key("day", "id"), n=lambda: Column("n", BigInteger)),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT, kept("select sum(n) from orders", 3600)),
    ),
    *retyped("with_default", n={"server_default": "5", "comment": "of all"}, up=(DEFAULT,)),
    *retyped(
        "with_index",
        lambda: Index("by_n", "n", "s"),
        lambda: Index("some", "s", postgresql_where=text("n > 2")),
    ),
    *retyped("with_check", lambda: CheckConstraint("n > 0", name="positive")),
    *retyped("with_foreign_key", lambda: ForeignKeyConstraint(["n"], ["regions.id"], ondelete="SET NULL")),
    *retyped("with_unique", lambda: UniqueConstraint("day", "id", "n"), n={"nullable": False}),
    *retyped("with_key", key=("day", "id", "n"), n={"nullable": False}),
    *retyped(
        "with_all",
        lambda: Index("by_n", "n", "s"),
        lambda: CheckConstraint("n > 0", name="positive"),
        lambda: ForeignKeyConstraint(["n"], ["regions.id"]),
        lambda: UniqueConstraint("day", "id", "n"),
        key=("n", "day", "id"),
        n={"nullable": False, "server_default": "5"},
        up=(DEFAULT,),
    ),
    *retyped("with_trigger", partitions=TRIGGER),
    *retyped("with_serial", n={"nullable": False, "autoincrement": True}),
    *retyped("with_identity", n={"nullable": False}, identity=Identity, server=17),
    *retyped(
        "with_foreign_key_to_it",
        lambda: UniqueConstraint("day", "n"),
        refunds=(lambda: ForeignKeyConstraint(["day", "id"], ["orders.day", "orders.n"]),),
        rows=FULL[:2],
    ),
    Kind("partition.all_that_refer_to_each_other", nothing, lambda m: shops(notes="LIST (n)")(m, Integer)),
    Kind("partition.all_that_refer_to_each_other_go", lambda m: shops(notes="LIST (n)")(m, Integer), nothing),
    *rekeyed("key_that_is_referred_to", shops(), server=17),
    *rekeyed("key_that_partitioned_tables_refer_to", shops(notes="LIST (n)")),
    *rekeyed("key_that_is_referred_to_with_actions", shops(notes="LIST (n)", ondelete="CASCADE")),
    *rekeyed("key_that_is_referred_to_later", shops(deferrable=True, initially="DEFERRED"), server=17),
    Kind(
        "partition.type_of_key_that_it_refers_to",
        orders(lambda: ForeignKeyConstraint(["n"], ["regions.id"]), regions=Integer),
        orders(
            lambda: ForeignKeyConstraint(["n"], ["regions.id"]),
            n=lambda: Column("n", BigInteger),
            regions=BigInteger,
        ),
        rows=EVERYWHERE,
        handmade=(HAND,),
        checks=(COUNT, kept("select sum(n) from orders", 3600)),
    ),
    Kind(
        "partition.one_that_goes_from_beside_the_default_one",
        orders(key("day", "id"), partitions=(REST, f"create table next partition of orders {YEAR}")),
        orders(key("day", "id"), partitions=(REST,)),
        rows=(*EVERYWHERE, LATE),
        x=("drop=next",),
        checks=(kept("select count(*) from orders", 1800),),
    ),
    Kind(
        "partition.new_beside_the_default_one",
        orders(key("day", "id"), partitions=(REST,)),
        orders(
            key("day", "id"),
            partitions=(
                REST,
                "create table next partition of orders for values from ('2026-1-1') to ('2027-1-1')",
            ),
        ),
        rows=(
            *EVERYWHERE,
            LATE,
        ),
        checks=(kept("select count(*) from orders", 1800),),
    ),
]
