"""What the models mean is what PostgreSQL makes of them, with what they lean on in place."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, MetaData, event, text
from sqlalchemy.dialects.postgresql import CITEXT, DOMAIN, ENUM

from plinth.autogenerate.compare.models import ModelsError, models_catalog
from plinth.catalog import Catalog, Difference, Name, differences, read_catalog
from plinth.safety import write_marker
from plinth.scratch import cache
from plinth.scratch.databases import NoScratchError
from tests.plinth.history import left_scratch_databases


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))
    return tmp_path / "cache"


@pytest.fixture
def target(empty_engine: Engine, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Connection]:
    del folder
    monkeypatch.setenv("APP_ENV", "test")
    with empty_engine.connect() as connection:
        yield connection


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    connection.commit()


def shop() -> MetaData:
    """Return models with about everything that `create_all()` makes."""
    metadata = MetaData()
    state = sa.Enum("new", "paid", name="state")
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("state", state, server_default="new"),
        sa.Column("before", state),
        sa.Column(
            "amount", sa.Numeric(10, 2), sa.CheckConstraint("amount > 0", name="positive"), comment="%:x"
        ),
        sa.Column("number", sa.Integer, sa.Sequence("numbers", metadata=metadata)),
        sa.Index("paid_orders", "amount", postgresql_where=text("state = 'paid'")),
    )
    sa.Table("lines", metadata, sa.Column("order_id", sa.ForeignKey("orders.id")), schema="Sales & more")
    return metadata


def test_it_is_what_create_all_makes(target: Connection) -> None:
    found = models_catalog(shop(), target)
    assert rows_of(target) == []  # and not there
    run(target, 'create schema "Sales & more"')
    shop().create_all(target)
    target.commit()
    made = read_catalog(target)
    assert differences(found, made) == []
    assert found == made
    assert {Name("public", "orders"), Name("Sales & more", "lines")} == set(found.tables)
    assert Name("public", "state") in found.enums


def rows_of(connection: Connection) -> list[str]:
    found = connection.scalars(
        text("select relname from pg_class where relnamespace = 'public'::regnamespace")
    )
    names = [str(name) for name in found]
    connection.rollback()
    return names


def test_what_models_lean_on_is_copied_in(target: Connection) -> None:
    run(
        target,
        "create schema tools",
        "create extension citext schema tools",
        "create type tools.mood as enum ('so:so', '100%')",
        "create domain posint as int default 1 not null check (value > 0)",
        "comment on domain posint is 'more than %(none)s :x'",
        "set check_function_bodies = off",
        # The order of names is not that in which they can be made.
        "create function a(posint) returns text immutable language sql as $$ select public.b($1::text) $$",
        "create function b(text) returns text immutable language sql as $$ select upper($1) $$",
        "create sequence counters increment 5",
    )
    metadata = MetaData()
    sa.Table(
        "t",
        metadata,
        sa.Column("name", CITEXT()),
        sa.Column("mood", ENUM("so:so", "100%", name="mood", schema="tools", create_type=False)),
        sa.Column("size", DOMAIN("posint", sa.Integer, create_type=False)),
        sa.Column("id", sa.Integer, server_default=text("nextval('counters')")),
        sa.Index("by_size", text("a(size)")),
    )
    run(target, "set search_path = public, tools")
    found = models_catalog(metadata, target)
    metadata.create_all(target)
    target.commit()
    assert differences(found, read_catalog(target)) == []
    assert found.domains[Name("public", "posint")].comment == "more than %(none)s :x"


def test_the_models_own_types_are_theirs_and_not_the_database_s(target: Connection) -> None:
    run(target, "create type state as enum ('new')", "create sequence numbers increment 7")
    found = models_catalog(shop(), target)
    assert found.enums[Name("public", "state")].values == ("new", "paid")
    assert found.sequences[Name("public", "numbers")].increment == 1


def test_a_sequence_that_a_column_owns_but_does_not_make(target: Connection) -> None:
    run(
        target,
        "create table t (id int)",
        "create sequence t_numbers owned by t.id",
        "alter table t alter id set default nextval('t_numbers')",
    )
    metadata = MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer, server_default=text("nextval('t_numbers')")))
    assert differences(models_catalog(metadata, target), read_catalog(target)) == []


def test_a_serial_column_makes_its_sequence_itself(target: Connection) -> None:
    run(target, "create table orders (id serial primary key)")
    metadata = MetaData()
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True))
    assert differences(models_catalog(metadata, target), read_catalog(target)) == []


def test_several_metadata_share_a_type(target: Connection) -> None:
    first, second = MetaData(), MetaData()
    sa.Table("a", first, sa.Column("state", sa.Enum("x", name="shared")))
    sa.Table("b", second, sa.Column("state", sa.Enum("x", name="shared")))
    found = models_catalog([first, second], target)
    assert {"a", "b"} == {name.name for name in found.tables}


def test_ddl_written_by_hand_is_part_of_the_models(target: Connection) -> None:
    run(target, "create function touched() returns text language sql as $$ select 'old' $$")
    metadata = MetaData()
    sa.Table("t", metadata, sa.Column("a", sa.Text, server_default=text("touched()")))
    event.listen(
        metadata,
        "before_create",
        sa.DDL("create function touched() returns text language sql as $$ select 'new' $$"),  # type: ignore[no-untyped-call]
    )
    found = models_catalog(metadata, target)
    assert "'new'" in found.others["function", "public.touched()"].definition


def test_what_a_listener_makes_is_not_copied_in_and_not_kept(target: Connection, folder: Path) -> None:
    run(target, "create function touched() returns text language sql as $$ select 'old' $$")
    metadata = MetaData()
    sa.Table("t", metadata, sa.Column("a", sa.Text, server_default=text("touched()")))
    answers = iter(["'new'", "'newer'", "'newest'", "'the newest'"])

    @event.listens_for(metadata, "before_create")
    def create(_: object, connection: Connection, **__: object) -> None:
        if connection.scalar(text("select true")):
            answer = next(answers)
            connection.execute(
                text(f"create function touched() returns text language sql as $$ select {answer} $$")
            )

    first = models_catalog(metadata, target).others["function", "public.touched()"]
    second = models_catalog(metadata, target).others["function", "public.touched()"]
    assert first.definition != second.definition
    assert not folder.exists()


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (sa.Column("broken", sa.Text, server_default=text("no_such_function()")), "no_such_function"),
        (sa.Column("broken", sa.types.NullType()), "broken"),
        (
            sa.Column("broken", CITEXT),
            r'orders: type "citext" does not exist\. If an extension has it: op\.execute\(.CREATE EXTENSION',
        ),
        (
            sa.Column("broken", sa.Text, server_default=text("upper(1)")),
            r"orders: function upper\(integer\) does not exist\. No function matches .*\. If an extension",
        ),
    ],
)
def test_an_error_names_the_object(target: Connection, column: "sa.Column[str]", words: str) -> None:
    metadata = MetaData()
    sa.Table("orders", metadata, column)
    with pytest.raises(ModelsError, match=words) as caught:
        models_catalog(metadata, target)
    assert "orders" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_kept_until_something_changes(target: Connection, folder: Path) -> None:
    first = models_catalog(shop(), target)
    (kept,) = folder.glob("*.pickle")
    kept.write_bytes(pickle.dumps("from the cache"))
    assert str(models_catalog(shop(), target)) == "from the cache"
    run(target, "create function f() returns int language sql as 'select 1'")  # they may lean on it
    assert isinstance(models_catalog(shop(), target), Catalog)
    more = shop()
    sa.Table("more", more, sa.Column("id", sa.Integer))
    assert Name("public", "more") in models_catalog(more, target).tables
    run(target, "drop function f()")
    kept.write_bytes(b"damaged")
    assert models_catalog(shop(), target) == first
    assert models_catalog(shop(), target) == first


def test_the_models_words_are_kept_too(target: Connection, folder: Path) -> None:
    for _ in range(2):
        orders = models_catalog(shop(), target).tables[Name("public", "orders")]
        assert orders.constraints["positive"].words["(amount > (0)::numeric)"] == "amount > 0"
        assert orders.indexes["paid_orders"].words == {
            "amount": "amount",
            "(state = 'paid'::state)": "state = 'paid'",
        }
        assert orders["state"].words == {"'new'::state": "'new'"}
    assert len(list(folder.glob("models-*"))) == 1


def test_the_order_of_indexes_is_no_change(target: Connection, folder: Path) -> None:
    for names in ("abcdefgh", "hgfedcba", "badcfehg"):
        metadata = MetaData()
        table = sa.Table("t", metadata, *(sa.Column(name, sa.Integer) for name in "abcdefgh"))
        for name in names:
            sa.Index(f"ix_{name}", table.c[name])
        models_catalog(metadata, target)
    assert len(list(folder.glob("*.pickle"))) == 1


def test_the_cache_does_not_grow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 3)
    for number in range(10):
        assert cache.remembered("number", [str(number)], lambda number=number: number) == number  # type: ignore[misc]
    assert len(list(folder.iterdir())) == 3
    assert cache.remembered("number", ["9"], lambda: -1) == 9


def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    folder.mkdir()
    folder.chmod(0o777)
    assert cache.remembered("number", ["1"], lambda: 1) == 1
    assert list(folder.iterdir()) == []


def test_a_protected_database_is_left_alone(
    target: Connection, monkeypatch: pytest.MonkeyPatch, empty_engine: Engine
) -> None:
    write_marker(target, "production")
    target.commit()
    monkeypatch.delenv("APP_ENV")
    monkeypatch.setattr("plinth.local_server.major_version", lambda: "17000")
    with pytest.raises(NoScratchError):
        models_catalog(shop(), target)
    assert left_scratch_databases(empty_engine.url) == set()


def test_a_difference_says_what_should_be_there() -> None:
    said = [Difference("column", "t.n", "default", *each) for each in (("1", None), (None, "1"), ("1", "2"))]
    assert list(map(str, said)) == [
        "column t.n: default is 1, and should not be set",
        "column t.n: default is not set, not 1",
        "column t.n: default is 1, not 2",
    ]


def test_the_definition_of_an_aggregate_makes_the_same_again(target: Connection) -> None:
    for each in (
        'create schema "O d"',
        'create function "O d".add(int, int) returns int language sql immutable as $$ select $1 + $2 $$',
        "create aggregate plain(n int) (sfunc = int4pl, stype = int, initcond = '0')",
        "create aggregate how_many(*) (sfunc = int8inc, stype = int8, initcond = '0', parallel = safe)",
        'create aggregate "O d".total(int) (sfunc = "O d".add, stype = int, combinefunc = "O d".add, '
        "sspace = 7, parallel = restricted, sortop = >)",
        "create aggregate mean(numeric) (sfunc = numeric_avg_accum, stype = internal, "
        "finalfunc = numeric_avg, finalfunc_modify = shareable, "
        "combinefunc = numeric_avg_combine, serialfunc = numeric_avg_serialize, "
        "deserialfunc = numeric_avg_deserialize, msfunc = numeric_avg_accum, minvfunc = numeric_accum_inv, "
        "mstype = internal, msspace = 9, mfinalfunc = numeric_avg)",
        "create aggregate middle(float8 order by float8) (sfunc = ordered_set_transition, stype = internal, "
        "finalfunc = percentile_cont_float8_final)",
        'create aggregate placed(variadic "any" order by variadic "any") '
        "(sfunc = ordered_set_transition_multi, stype = internal, finalfunc = rank_final, finalfunc_extra, "
        "hypothetical)",
    ):
        target.exec_driver_sql(each)

    def rows() -> list[tuple[object, ...]]:
        asked = (
            "select p.proname, p.proparallel, p.proargnames, p.proargmodes, (to_jsonb(g) - 'aggfnoid')::text "
            "from pg_aggregate g join pg_proc p on p.oid = g.aggfnoid where p.oid >= 16384 order by 1"
        )
        return [tuple(row) for row in target.exec_driver_sql(asked)]

    before = rows()
    made = [other for other in read_catalog(target).others.values() if other.kind == "aggregate"]
    assert len(made) == len(before) == 6
    for other in made:
        target.exec_driver_sql(f"drop {other.address}")
        target.exec_driver_sql(other.definition)
    assert rows() == before
