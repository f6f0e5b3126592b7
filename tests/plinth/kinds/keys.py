"""Keys that get another type, with what refers to them."""

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
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from tests.plinth.kinds.kind import Kind, Models, also, check, kept


def users(m: MetaData, kind: Any, *items: Any, **options: Any) -> Table:
    """Return a table with a key of a type; the other items are its columns and the like."""
    return Table("users", m, Column("id", kind, *items, primary_key=True, **options), Column("name", Text))


def orders(m: MetaData, kind: Any, *items: Any, name: str = "orders", **key: Any) -> Table:
    """Return a table that refers to the users; the options are its foreign key's."""
    return Table(
        name,
        m,
        Column("id", Integer, primary_key=True),
        Column("user_id", kind, ForeignKey("users.id", **key)),
        *items,
    )


def both(make: Any) -> tuple[Models, Models]:
    return lambda m: make(m, Integer), lambda m: make(m, BigInteger)


def change(name: str, make: Any, *rows: str, checks: tuple[Any, ...] = (), **options: Any) -> Kind:
    before, after = both(make)
    return Kind(f"key.{name}", before, after, rows=rows, checks=checks, **options)


USERS = "insert into users (name) values ('a'), ('b'), ('c')"
ORDERS = "insert into orders (user_id) values (1), (1), (2), (null)"
NEXT = check("insert into users (name) values ('d') returning id", up=4, down=5)
# A query can't both delete and see what that has done, but a function that is called by it can.
FEW = kept("select count(user_id) from orders", 3)


def _three(m: MetaData, kind: Any) -> None:
    users(m, kind)
    orders(m, kind, Index("ix_orders_user_id", "user_id"), ondelete="CASCADE")
    orders(m, kind, name="letters", ondelete="SET NULL", onupdate="CASCADE")
    table = orders(m, kind, name="visits", ondelete="RESTRICT")
    table.c.user_id.nullable = False


def _with_all(m: MetaData, kind: Any) -> None:
    """Put users into the models with comments, a check, and indexes on their key."""
    table = users(m, kind)
    table.c.id.comment = "who it is"
    table.primary_key.comment = "one for each"
    table.append_constraint(CheckConstraint("id > 0", name="id_is_positive", comment="none is 0"))
    table.append_constraint(UniqueConstraint("id", "name", name="uq_both"))
    Index("ix_name_id", table.c.name, table.c.id)
    key = ForeignKeyConstraint(
        ["user_id"], ["users.id"], comment="whose", deferrable=True, initially="DEFERRED"
    )
    Table("orders", m, Column("id", Integer, primary_key=True), Column("user_id", kind), key)


def _chosen(m: MetaData, kind: Any) -> None:
    """Put users into the models whose index of the key tells rows apart, and another orders them."""
    table = users(m, kind)
    Index("by_id", table.c.id, unique=True)
    Index("by_name", table.c.name, table.c.id)
    also(table, "alter table users replica identity using index by_id")
    also(table, "alter table users cluster on by_name")


def _clustered(m: MetaData, kind: Any) -> None:
    also(users(m, kind), "alter table users cluster on pk_users")
    orders(m, kind)


def _tree(m: MetaData, kind: Any) -> None:
    users(m, kind).append_column(Column("boss_id", kind, ForeignKey("users.id"), index=True))


def _members(m: MetaData, kind: Any) -> None:
    """Put users and groups into the models, and which user is in which group."""
    users(m, kind)
    Table("groups", m, Column("id", kind, Identity(always=True), primary_key=True))
    Table(
        "members",
        m,
        Column("user_id", kind, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        Column("group_id", kind, ForeignKey("groups.id"), primary_key=True, index=True),
    )


def _tenants(m: MetaData, kind: Any) -> None:
    """Put a composite foreign key into the models, to a unique constraint."""
    Table(
        "users",
        m,
        Column("id", Integer, primary_key=True),
        Column("tenant", Integer, nullable=False),
        Column("number", kind, nullable=False),
        UniqueConstraint("tenant", "number"),
    )
    Table(
        "orders",
        m,
        Column("id", Integer, primary_key=True),
        Column("tenant", Integer),
        Column("number", kind),
        ForeignKeyConstraint(["tenant", "number"], ["users.tenant", "users.number"], match="FULL"),
    )


def _chain(m: MetaData, kind: Any) -> None:
    """Put keys into the models that are foreign keys too."""
    users(m, kind)
    Table("admins", m, Column("id", kind, ForeignKey("users.id"), primary_key=True))
    Table("chiefs", m, Column("id", kind, ForeignKey("admins.id"), primary_key=True))


def _codes(m: MetaData, kind: Any) -> None:
    info = [{"using": f"{each}::uuid"} if kind is Uuid else {} for each in ("code", "user_code")]
    users(m, Integer).append_column(Column("code", kind, unique=True, info=info[0]))
    key = ForeignKey("users.code", onupdate="CASCADE")
    Table(
        "orders",
        m,
        Column("id", Integer, primary_key=True),
        Column("user_code", kind, key, info=info[1]),
    )


def _odd(m: MetaData, kind: Any) -> None:
    Table("Order by", m, Column("It's 100% :x", kind, Identity(), primary_key=True), schema="billing")
    Table(
        "select",
        m,
        Column("id", Integer, primary_key=True),
        Column("It's 100% :x", kind, ForeignKey("billing.Order by.It's 100% :x")),
        schema="billing",
    )


def _own_sequence(m: MetaData, kind: Any) -> None:
    users(m, kind, Sequence("numbers", start=7, data_type=kind))
    orders(m, kind)


def _own_sequence_on_the_server(m: MetaData, kind: Any) -> None:
    numbers = Sequence("numbers", metadata=m, start=7, data_type=kind)
    users(m, kind, server_default=numbers.next_value())
    orders(m, kind)


def _identity(m: MetaData, kind: Any) -> None:
    users(m, kind, Identity(always=True, start=5, increment=5))
    orders(m, kind)


def _key_alone(m: MetaData, kind: Any) -> None:
    users(m, kind)
    orders(m, Integer)


def _reference_alone(m: MetaData, kind: Any) -> None:
    users(m, Integer)
    orders(m, kind)


KINDS = [
    change(
        "with_three_that_refer_to_it",
        _three,
        USERS,
        ORDERS,
        "insert into letters (user_id) values (2), (3)",
        "insert into visits (user_id) values (1)",
        checks=(
            NEXT,
            FEW,
            kept("select sum(user_id) from letters", 5),
            kept("select count(*) from visits join users on users.id = user_id", 1),
        ),
    ),
    change("with_all_that_stands_on_it", _with_all, USERS, ORDERS, checks=(NEXT, FEW)),
    change("chosen_index", _chosen, USERS, checks=(NEXT,)),
    change("clustered_on_the_key", _clustered, USERS, ORDERS, checks=(NEXT, FEW)),
    change(
        "to_itself",
        _tree,
        USERS,
        "update users set boss_id = 1 where id > 1",
        checks=(NEXT, kept("select sum(boss_id) from users", 2)),
    ),
    change(
        "of_two_columns",
        _members,
        USERS,
        "insert into groups default values",
        "insert into members values (1, 1), (2, 1)",
        checks=(NEXT, kept("select sum(user_id) from members", 3)),
    ),
    change(
        "composite_reference",
        _tenants,
        "insert into users (tenant, number) values (1, 1), (1, 2)",
        "insert into orders (tenant, number) values (1, 2), (null, null)",
        checks=(kept("select sum(number) from orders", 2),),
    ),
    change(
        "chain",
        _chain,
        USERS,
        "insert into admins values (1), (2)",
        "insert into chiefs values (2)",
        checks=(NEXT, kept("select sum(id) from chiefs", 2)),
    ),
    Kind(
        "key.varchar_to_uuid",
        lambda m: _codes(m, String(40)),
        lambda m: _codes(m, Uuid),
        rows=(
            "insert into users (code) values ('123e4567-e89b-12d3-a456-426614174000'), (null)",
            "insert into orders (user_code) values ('123e4567-e89b-12d3-a456-426614174000')",
        ),
        checks=(kept("select count(*) from orders join users on code = user_code", 1),),
    ),
    Kind(
        "key.smallint_to_int",
        lambda m: (users(m, SmallInteger), orders(m, SmallInteger)),
        lambda m: (users(m, Integer), orders(m, Integer)),
        rows=(USERS, ORDERS),
        checks=(NEXT, FEW),
    ),
    Kind(
        "key.bigint_to_int",
        lambda m: (users(m, BigInteger), orders(m, BigInteger)),
        lambda m: (users(m, Integer), orders(m, Integer)),
        rows=(USERS, ORDERS),
        checks=(NEXT, FEW),
    ),
    change(
        "odd_names",
        _odd,
        'insert into billing."Order by" default values',
        'insert into billing."select" ("It\'s 100% :x") values (1)',
        checks=(check('insert into billing."Order by" default values returning 1', up=1, down=1),),
        prepare=("create schema billing",),
    ),
    change(
        "with_a_sequence_of_its_own",
        _own_sequence_on_the_server,
        USERS,
        checks=(check("insert into users (name) values ('d') returning id", up=10, down=11),),
    ),
    change("with_a_sequence_that_the_application_asks", _own_sequence, "insert into users (id) values (1)"),
    change(
        "identity",
        _identity,
        USERS,
        "insert into orders (user_id) values (5), (5), (10), (null)",
        checks=(FEW, check("insert into users (name) values ('d') returning id", up=20, down=25)),
    ),
    change("alone", _key_alone, USERS, ORDERS, checks=(NEXT, FEW)),
    change("reference_alone", _reference_alone, USERS, ORDERS, checks=(NEXT, FEW)),
    change(
        "no_second_column_where_a_default_is_set",
        lambda m, kind: (users(m, kind), orders(m, kind, ondelete="SET DEFAULT")),
        USERS,
        ORDERS,
        checks=(NEXT, FEW),
        x=("rewrite=users.id", "rewrite=orders.user_id"),
    ),
]
