"""What goes while code runs that uses it, and what would stand in the way of code that doesn't know it."""

from collections.abc import Callable, Sequence

import pytest
from alembic import command
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql

from plinth.plan.planning import plans
from tests.plinth.field.changing import Changing
from tests.plinth.history import psql
from tests.plinth.kinds.kind import also, first

Models = Callable[[MetaData], object]


def t(*columns: "Column[int] | Column[str]") -> Models:
    return lambda m: Table("t", m, Column("id", Integer, primary_key=True), *columns)


def referred(*more: "Column[str]", by: bool) -> Models:
    def models(m: MetaData) -> None:
        t()(m)
        if by:
            Table("c", m, Column("t_id", ForeignKey("t.id"), primary_key=True), *more)

    return models


def both(*own: "Column[str]", theirs: Sequence["Column[str]"] = ()) -> Models:
    def models(m: MetaData) -> None:
        t(*own)(m)
        Table("c", m, Column("t_id", ForeignKey("t.id"), primary_key=True), *theirs)

    return models


def numbered(*, first: bool) -> Models:
    key = ("id",) if first else ("id", "k")
    return lambda m: Table(
        "t",
        m,
        Column("id", Integer, autoincrement=first),
        Column("k", Integer, nullable=False),
        PrimaryKeyConstraint(*key),
    )


def with_ddl(*statements: str) -> Models:
    def models(m: MetaData) -> None:
        table = Table(
            "t", m, Column("id", Integer, primary_key=True), Column("a", Integer), Column("b", Text)
        )
        for each in statements:
            also(table, each)

    return models


FUNCTION = "create function double_of(n integer) returns integer language sql as 'select n + n'"
# The models before and after, and what old and new code do on the schema in between.
USES: dict[str, tuple[Models, Models, str, str]] = {
    "default": (
        t(Column("s", Text, nullable=False, server_default="x")),
        t(Column("s", Text, nullable=False)),
        "insert into t values (2)",
        "insert into t values (3, 'y')",
    ),
    "default that NULL takes the place of": (
        t(Column("s", Text, nullable=False, server_default="x")),
        t(Column("s", Text)),
        "insert into t values (2); select 1 / (s = 'x')::int from t where id = 2",
        "insert into t values (3, null)",
    ),
    "serial": (
        numbered(first=True),
        numbered(first=False),
        "insert into t (k) values (7)",
        "insert into t values (20, 7), (20, 8)",
    ),
    "identity": (
        t(Column("n", Integer, Identity())),
        t(Column("n", Integer)),
        "insert into t values (2); select 1 / n from t where id = 2",
        "insert into t values (3, 7)",
    ),
    "column of a view": (
        with_ddl("create view v as select id, a, b from t"),
        with_ddl("create view v as select id, b from t"),
        "select a from v",
        "select id, b from v",
    ),
    "function": (with_ddl(FUNCTION), with_ddl(), "select double_of(2)", "select 1"),
    "table that refers": (
        referred(by=True),
        referred(by=False),
        "insert into t values (2); insert into c values (2)",
        "delete from t",
    ),
}
X = ("drop=double_of", "drop=c")


def metadata(models: Models) -> MetaData:
    found = MetaData()
    models(found)
    return found


@pytest.mark.parametrize("what", USES)
def test_old_code_goes_on_and_new_code_works_until_it_is_gone(changing: Changing, what: str) -> None:
    before, after, old, new = USES[what]
    config = changing.config()
    config.attributes["target_metadata"] = metadata(before)
    command.revision(config, "begin", autogenerate=True)
    command.upgrade(config, "head")
    config = changing.config(x=X)
    config.attributes["target_metadata"] = metadata(after)
    command.revision(config, "let it go", autogenerate=True)
    command.upgrade(changing.config(x=("after=no",)), "head")
    with psql(changing.engine.url) as connection:
        for each in (*old.split("; "), new):
            connection.execute(each.encode())
    changing.upgrade()


def guarded(*, by: bool) -> Models:
    """Return two tables, each with a trigger, and a policy in force, or without."""

    def models(m: MetaData) -> None:
        for name in ("t", "u"):
            table = Table(name, m, Column("id", Integer, primary_key=True))
            for each in GUARDS if by else ():
                also(table, each.format(name))

    return models


GUARDS = (
    "create trigger g before update on {} for each row execute function suppress_redundant_updates_trigger()",
    "create policy p on {} using (id > 0)",
    "alter table {} enable row level security",
)


@pytest.mark.parametrize("by", [True, False])
def test_triggers_and_policies_change_table_by_table(changing: Changing, *, by: bool) -> None:
    for has_guards in (not by, by):
        config = changing.config(x=("drop=g", "drop=p", "drop=t.row_security", "drop=u.row_security"))
        config.attributes["target_metadata"] = metadata(guarded(by=has_guards))
        command.revision(config, "guard", autogenerate=True)
        if has_guards is not by:
            command.upgrade(config, "head")
    locked: dict[int, set[str]] = {}
    for statement in plans(config)[0].revisions[0].measured.statements:
        strong = {use.table.name for use in statement.uses if use.lock == "ACCESS EXCLUSIVE"}
        locked[statement.transaction] = locked.get(statement.transaction, set()) | strong
    assert sorted(map(len, locked.values())) == [1, 1]


VIEWS = ("create view v as select id, a from t", "create view v as select id, b, 1 as c from t")
DOMAIN = postgresql.DOMAIN("dom", Text, not_null=True)
# The models before and after, and what is said of the change.
SAID: dict[str, tuple[Models, Models, str]] = {
    "required column": (
        t(),
        t(Column("s", Text, nullable=False, info={"backfill": "'x'"})),
        "code that doesn't know t.s can insert no row",
    ),
    "column that becomes required": (
        t(Column("s", Text)),
        t(Column("s", Text, nullable=False, server_default="x")),
        "code that leaves t.s without a value fails",
    ),
    "column with a default that becomes required": (
        t(Column("s", Text, server_default="x")),
        t(Column("s", Text, nullable=False, server_default="x")),
        "code that gives t.s NULL fails",
    ),
    "default that goes with a type": (
        t(Column("s", Text, nullable=False, server_default="1")),
        t(Column("s", Integer, nullable=False, info={"using": "s::integer"})),
        "code that leaves t.s without a value fails",
    ),
    "required column with a default": (t(), t(Column("s", Text, nullable=False, server_default="x")), ""),
    "default that goes": (
        t(Column("s", Text, nullable=False, server_default="x")),
        t(Column("s", Text, nullable=False)),
        "",
    ),
    "view": (
        with_ddl(VIEWS[0]),
        with_ddl(VIEWS[1]),
        "so running code that reads a fails",
    ),
    "column of a domain": (t(Column("s", DOMAIN)), t(), "The domain of t.s refuses NULL: new code"),
    "plain column that becomes generated": (
        t(Column("s", Integer)),
        t(Column("s", Integer, Computed("id * 2", persisted=True))),
        "t.s becomes a generated column: the values that it has are lost, and code",
    ),
    "identity that takes no value": (
        t(Column("s", Integer, Identity(always=False), nullable=False)),
        t(Column("s", Integer, Identity(always=True), nullable=False)),
        "t.s is GENERATED ALWAYS AS IDENTITY: code",
    ),
    "move to a table that stands": (
        both(Column("street", Text), Column("town", Text)),
        both(theirs=(Column("street", Text, info={"backfill": "'x'"}), Column("town", Text))),
        "The table c gets what t loses (town), and its rows get none of the values.",
    ),
    "split": (
        t(Column("street", Text), Column("town", Text)),
        referred(Column("town", Text), by=True),
        "The new table c has what t loses (town), and begins empty.",
    ),
}


def computed(how: str) -> Models:
    """Return a table with an index, a stored column and a check by a function."""

    def models(m: MetaData) -> None:
        stored = Column("g", Text, Computed("norm(n)", persisted=True))
        check = CheckConstraint("norm(n) <> 'no'", name="allowed")
        table = Table("t", m, Column("id", Integer, primary_key=True), Column("n", Text), stored)
        table.append_constraint(check)
        Index("by_norm", text("norm(n)"), _table=table)
        first(m, f"create function norm(text) returns text immutable language sql as 'select {how}($1)'")

    return models


@pytest.mark.parametrize("is_other", [True, False])
def test_what_a_function_has_computed_is_named_when_it_changes(
    changing: Changing, caplog: pytest.LogCaptureFixture, *, is_other: bool
) -> None:
    for models in (computed("lower"), computed("upper" if is_other else "lower")):
        config = changing.config()
        config.attributes["target_metadata"] = metadata(models)
        caplog.clear()
        command.revision(config, "change the shop", autogenerate=True)
        command.upgrade(config, "head")
    for what in (
        "until index by_norm is built anew (REINDEX INDEX CONCURRENTLY by_norm, in an autocommit_block())",
        "until column t.g is computed anew (UPDATE t SET n = n, in batches)",
        "until rows are looked at for allowed of t",
    ):
        assert (
            f"public.norm(text) changes, and what it has computed stays {what}" in caplog.text
        ) is is_other


@pytest.mark.parametrize("what", SAID)
def test_what_no_order_of_deploys_mends_is_said(
    changing: Changing, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    before, after, sentence = SAID[what]
    for models in (before, after):
        config = changing.config(x=("prove=no", "drop=t.s", "drop=t.street", "drop=t.town"))
        config.attributes["target_metadata"] = metadata(models)
        caplog.clear()
        command.revision(config, "change the shop", autogenerate=True)
        if models is before:
            command.upgrade(config, "head")
            assert not caplog.records or "code" not in caplog.text
    assert sentence in caplog.text
    assert sentence or "code" not in caplog.text
