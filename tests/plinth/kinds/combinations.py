"""Many changes at once."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, t

STANDS_ON_IT = {
    "views": ("create view v as select id, a from t", "create view w as select a from v"),
    "trigger": (
        "create trigger g before update of a on t for each row when (old.a is distinct from new.a) "
        "execute function suppress_redundant_updates_trigger()",
    ),
    "policy": ("create policy p on t using (a <> 'x')", "alter table t enable row level security"),
}


def longer(what: str, *, is_after: bool) -> Models:
    """Return models of a text on which something stands, and which becomes longer with much else."""

    def made(m: MetaData) -> None:
        t(m, name="o")
        required = {"nullable": False, "info": {"backfill": "1"}} if is_after else {}
        key = [ForeignKey("o.id")] if is_after else []
        table = t(
            m,
            Column("a", String(20 if is_after else 10), unique=is_after),
            Column("b", Integer, **required),  # type: ignore[arg-type]
            Column("n", Integer, *key, index=is_after),
        )
        for each in STANDS_ON_IT[what]:
            also(table, each)

    return made


def big_before(m: MetaData) -> None:
    t(m, name="old_a")
    t(m, Column("a_id", ForeignKey("old_a.id")), name="old_b")
    t(
        m,
        Column("name", String(50), index=True),
        Column("state", Enum("new", "old", name="state")),
        Column("old_id", Integer),
        Column("amount", Text, server_default="0"),
        Column("b_id", ForeignKey("old_b.id")),
        CheckConstraint("length(name) > 0", name="filled"),
        UniqueConstraint("name", "old_id"),
    )


def big_after(m: MetaData) -> None:
    t(m, name="fresh", comment="new here")
    t(
        m,
        Column("name", Text, nullable=False, index=True),
        Column("state", Enum("new", "done", "old", name="state"), server_default="done"),
        Column("amount", Integer, server_default="1", info={"using": "amount::integer"}),
        Column("new_id", Integer),
        Column("fresh_id", ForeignKey("fresh.id", ondelete="CASCADE"), index=True),
        Column("level", Enum("low", "high", name="level"), nullable=False, server_default="low"),
        CheckConstraint("length(name) > 1 OR amount >= 0", name="filled"),
        UniqueConstraint("name", "new_id", deferrable=True),
        comment="changed",
    )


def referring(m: MetaData, *states: str, number: type[Integer] = Integer, is_required: bool = False) -> None:
    """A table whose number gets another type, and one that it refers to, of which the proof needs a row."""
    state = Enum(*states, name="state")
    default = "gone" if "gone" in states else None
    t(
        m,
        Column("state", state, server_default=default),
        Column("n", Integer, nullable=not is_required),
        name="z",
    )
    t(
        m,
        Column("z_id", ForeignKey("z.id"), nullable=False),
        Column("number", number, Identity(always=True), nullable=False),
        Column("state", state),
        name="b",
    )


def shop(m: MetaData) -> None:
    t(m, Column("email", String(100), unique=True), Column("full_name", Text), name="customer")
    t(
        m,
        Column("customer_id", ForeignKey("customer.id"), index=True),
        Column("total", Numeric(8, 2)),
        name="purchase",
    )


def shop_after(m: MetaData) -> None:
    t(
        m,
        Column("email", String(200), nullable=False, unique=True),
        Column("name", Text, info={"renamed_from": "full_name"}),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        name="client",
        info={"renamed_from": "customer"},
    )
    t(
        m,
        Column(
            "client_id",
            ForeignKey("client.id", ondelete="RESTRICT"),
            index=True,
            info={"renamed_from": "customer_id"},
        ),
        Column("total", Numeric(12, 2), nullable=False, server_default="0"),
        CheckConstraint("total >= 0", name="total"),
        name="order",
        info={"renamed_from": "purchase"},
    )


def everything(m: MetaData) -> None:
    Sequence("inv_no", metadata=m, start=10)
    kind = Enum("a", "b", name="st", schema="billing")
    t(m, Column("s", kind, server_default="a"), name="inv", schema="billing")
    t(
        m,
        Column("n", Integer, Identity(start=5)),
        Column("inv_id", ForeignKey("billing.inv.id", use_alter=True)),
        Column("many", pg.ARRAY(kind)),
        Column("r", pg.INT4RANGE),
        Column("p", pg.DOMAIN("posint", Integer, check="VALUE > 0")),
        pg.ExcludeConstraint(("r", "&&"), name="ex"),
        Index("ix_partial", "n", postgresql_where=text("n > 0")),
        name="user",
        comment="all",
    )


def few(m: MetaData) -> None:
    t(m, name="keep")


KINDS = [
    Kind(
        "combo.big",
        big_before,
        big_after,
        rows=(
            "insert into old_a default values",
            "insert into old_b (a_id) values (1)",
            "insert into t (name, state, old_id, amount, b_id) "
            "values ('ann', 'new', 1, '5', 1), ('bob', 'old', 2, '6', 1)",
        ),
        x=("drop=t.old_id", "drop=t.b_id", "drop=old_a", "drop=old_b", "rewrite=t.amount"),
        checks=(
            kept("select string_agg(name || state, ',' order by id) from t", "annnew,bobold"),
            kept("select sum(amount::int) from t", 11),
            check("select count(*) from t where level = 'low'", up=2),
        ),
        listed=True,
    ),
    Kind(
        "combo.renames",
        shop,
        shop_after,
        rows=(
            "insert into customer (email, full_name) values ('a@x', 'Ann'), ('b@x', 'Bob')",
            "insert into purchase (customer_id, total) values (1, 5), (2, 7)",
        ),
        checks=(
            check("select string_agg(name, '' order by id) from client", up="AnnBob"),
            check('select sum(total)::int from "order" where client_id > 0', up=12),
            check("select string_agg(full_name, '' order by id) from customer", down="AnnBob"),
            check("select sum(total)::int from purchase where customer_id > 0", down=12),
        ),
        x=("rewrite=order.total",),
    ),
    Kind("combo.everything_from_nothing", few, lambda m: (few(m), everything(m))),
    Kind(
        "combo.everything_to_nothing",
        lambda m: (few(m), everything(m)),
        few,
        x=("drop=user", "drop=billing.inv", "drop=inv"),
        schemas_may_stay=True,
    ),
    Kind(
        "combo.enum_and_rename_and_retype",
        lambda m: t(m, Column("s", Enum("a", "b", name="st"), index=True), Column("n", Text)),
        lambda m: t(
            m,
            Column(
                "state",
                Enum("a", "bb", "c", name="st"),
                index=True,
                server_default="c",
                info={"renamed_from": "s", "enum_renames": {"b": "bb"}},
            ),
            Column("num", BigInteger, nullable=False, info={"renamed_from": "n", "using": "num::bigint"}),
        ),
        rows=("insert into t (s, n) values ('a', '1'), ('b', '2')",),
        checks=(
            check("select string_agg(state::text || num, ',' order by id) from t", up="a1,bb2"),
            check("select string_agg(s::text || n, ',' order by id) from t", down="a1,b2"),
        ),
        x=("rewrite=t.num", "rewrite=t.n"),
    ),
    Kind(
        "combo.ten_tables",
        few,
        lambda m: (
            few(m),
            *(
                t(
                    m,
                    Column("next", ForeignKey(f"t{(n + 1) % 10}.id")),
                    Column("flag", Boolean, index=True),
                    name=f"t{n}",
                )
                for n in range(10)
            ),
        ),
    ),
    Kind(
        "combo.ten_tables_changed",
        lambda m: [
            t(m, Column("a", Text, index=True), Column("n", Integer), name=f"t{n}") for n in range(10)
        ],
        lambda m: [
            t(
                m,
                Column("a", Text, unique=True),
                Column("n", BigInteger, server_default="1"),
                Column("z", Text),
                name=f"t{n}",
            )
            for n in range(10)
        ],
        rows=("insert into t3 (a, n) values ('x', 1)",),
        x=tuple(f"rewrite=t{n}.n" for n in range(10)),
    ),
    Kind(
        "combo.reversed_roles",
        lambda m: (t(m, Column("b_id", ForeignKey("b.id"), nullable=False), name="a"), t(m, name="b")),
        lambda m: (t(m, name="a"), t(m, Column("a_id", ForeignKey("a.id")), name="b")),
        rows=("insert into b default values", "insert into a (b_id) values (1)"),
        downgrade_may_stop=True,
    ),
    Kind(
        "combo.required_where_another_type_refers",
        lambda m: referring(m, "new", "gone"),
        lambda m: referring(m, "new", "gone", number=BigInteger, is_required=True),
        rows=("insert into z (n) values (1)", "insert into b (z_id) values (1)"),
        x=("rewrite=b.number",),
    ),
    Kind(
        "combo.default_that_goes_where_another_type_refers",
        lambda m: referring(m, "new", "gone"),
        lambda m: referring(m, "new", number=BigInteger),
        rows=("insert into z (state) values ('new')", "insert into b (z_id, state) values (1, 'new')"),
        x=("rewrite=b.number", "rewrite=z.state", "rewrite=b.state"),
    ),
    *(
        Kind(
            f"combo.longer_under_{what}_with_much_else",
            longer(what, is_after=False),
            longer(what, is_after=True),
            rows=("insert into t (a, n) values ('q', null), ('r', null)",),
            checks=(kept("select string_agg(a, ',' order by id) from t", "q,r"),),
        )
        for what in STANDS_ON_IT
    ),
]
