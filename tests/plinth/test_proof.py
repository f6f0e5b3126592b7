"""A new revision that doesn't do what it should never gets a file."""

import argparse
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, text

from plinth.autogenerate.change.casts import read_casts
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.compare.conversions import changed_values
from plinth.autogenerate.compare.models import models_catalog
from plinth.autogenerate.compare.renames import Rename
from plinth.autogenerate.prove.proof import Claim, ProofError, prove
from plinth.catalog import Name, differences, read_catalog
from plinth.scratch.baseline import revisions_catalog
from plinth.scratch.databases import scratch_database
from plinth.scratch.revisions import History as Revisions
from plinth.scratch.revisions import RevisionError, downgrade, upgrade
from tests.plinth.history import CONCURRENTLY, History, left_scratch_databases, rows

Directives = list[ops.MigrationScript]

# As Alembic generates it: the proof needs nothing of ours.
ENV = """
from alembic import context

config = context.config
with config.attributes["connection"].connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=config.attributes.get("target_metadata"),
        transaction_per_migration=True,
        **config.attributes.get("options", {}),
    )
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))


@pytest.fixture
def plain(history: History) -> History:
    (history.folder / "env.py").write_text(ENV)
    return history


def orders(*columns: "sa.schema.SchemaItem", name: str = "orders") -> MetaData:
    metadata = MetaData()
    state = sa.Enum("new", "paid", name=f"state_of_{name}")
    sa.Table(
        name, metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("state", state), *columns
    )
    return metadata


def configured(history: History, engine: Engine, **options: str) -> Config:
    config = history.config(engine)
    for name, value in options.items():
        config.set_main_option(name, value.replace("%", "%%"))
    return config


def drop_type_too(directives: Directives) -> None:
    """Alembic's own autogenerate forgets the type."""
    for directive in directives:
        downgrade_ops = directive.downgrade_ops
        assert downgrade_ops
        for op in list(downgrade_ops.ops):
            if isinstance(op, ops.DropTableOp):
                downgrade_ops.ops.append(ops.ExecuteSQLOp(f"DROP TYPE state_of_{op.table_name}"))


def write(
    config: Config,
    metadata: MetaData,
    change: Callable[[Directives], None] = drop_type_too,
    renames: Sequence[Rename] = (),
    **arguments: Any,  # noqa: ANN401 - of Alembic's command
) -> None:
    """Write a revision with a proof."""

    def hook(context: MigrationContext, _: object, directives: Directives) -> None:
        connection = context.connection
        assert connection
        standing = read_catalog(connection)
        models = models_catalog(metadata, connection, standing)
        with connection.begin_nested() as savepoint:
            for each in renames:
                Operations(context).invoke(each.up)
            renamed = read_catalog(connection)
            savepoint.rollback()
        found = tuple(changed_values(Change(renamed, models, read_casts(connection))))
        claim = Claim(models, standing, conversions=found, renames=renames)
        change(directives)
        prove(context, directives, claim)

    config.attributes["target_metadata"] = metadata
    command.revision(config, "change", autogenerate=True, process_revision_directives=hook, **arguments)


def files(history: History) -> dict[str, str]:
    found = history.folder.rglob("*.py")
    return {str(path.relative_to(history.folder)): path.read_text() for path in found}


def refused(history: History, action: Callable[[], None]) -> str:
    """Return the error of an action that must leave everything as it was."""
    before = files(history)
    with pytest.raises(ProofError) as caught:
        action()
    assert files(history) == before
    return str(caught.value)


def test_a_right_revision_is_written(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    write(config, orders())
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1
    assert rows(empty_engine.url, "select to_regclass('orders')::text") == [(None,)]
    command.upgrade(config, "head")
    more = orders(sa.Column("note", sa.Text, server_default="%s :x"))
    write(config, more)
    command.upgrade(config, "head")
    with empty_engine.connect() as connection:
        assert differences(read_catalog(connection), models_catalog(more, connection)) == []


def test_an_upgrade_that_forgets_something(plain: History, empty_engine: Engine) -> None:
    def forget(directives: Directives) -> None:
        drop_type_too(directives)
        (create,) = directives[0].upgrade_ops.ops  # type: ignore[union-attr]
        assert isinstance(create, ops.CreateTableOp)
        create.columns = [each for each in create.columns if getattr(each, "name", "") != "note"]

    metadata = orders(sa.Column("note", sa.Text))
    config = configured(plain, empty_engine)
    said = refused(plain, lambda: write(config, metadata, forget, rev_id="abc"))
    assert "abc (change)" in said
    assert "column orders.note is missing" in said


def test_a_downgrade_that_leaves_something(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    said = refused(plain, lambda: write(config, orders(), lambda _: None, rev_id="abc"))
    assert "The downgrade of revision abc (change)" in said
    assert "enum state_of_orders is too much" in said


def test_sql_that_fails(plain: History, empty_engine: Engine) -> None:
    def fail(directives: Directives) -> None:
        directives[0].upgrade_ops.ops.append(ops.ExecuteSQLOp("select nobody"))  # type: ignore[union-attr]

    config = configured(plain, empty_engine)
    said = refused(plain, lambda: write(config, orders(), fail, rev_id="abc"))
    assert "abc" in said
    assert "upgrade" in said
    assert 'column "nobody" does not exist' in said


def test_another_upgrade_that_does_something_else(plain: History, empty_engine: Engine) -> None:
    # Something that no catalog shows tells the first time from the second.
    again = """do $$ begin
        if lo_get(4711) is not null then create table again (id int); end if;
        exception when undefined_object then perform lo_create(4711); end $$"""

    def change(directives: Directives) -> None:
        drop_type_too(directives)
        directives[0].upgrade_ops.ops.append(ops.ExecuteSQLOp(again))  # type: ignore[union-attr]

    config = configured(plain, empty_engine)
    said = refused(plain, lambda: write(config, orders(), change))
    assert "applied again" in said
    assert "table again is too much" in said


def test_a_chain_of_revisions(plain: History, empty_engine: Engine) -> None:
    def split(directives: Directives) -> None:
        (first,) = directives
        first.rev_id = "a1"
        for number, head in ((2, "a1"), (3, "a2")):
            directives.append(
                ops.MigrationScript(
                    f"a{number}",
                    ops.UpgradeOps([ops.ExecuteSQLOp(f"create view v{number} as select {number} as n")]),
                    ops.DowngradeOps([ops.ExecuteSQLOp(f"drop view v{number}")] if number == 3 else []),
                    message=f"view {number}",
                    head=head,
                )
            )
        drop_type_too(directives)

    config = configured(plain, empty_engine)
    metadata = orders()
    for number in (2, 3):
        sa.event.listen(metadata, "after_create", sa.DDL(f"create view v{number} as select {number} as n"))  # type: ignore[no-untyped-call]
    said = refused(plain, lambda: write(config, metadata, split))
    assert "revision a2 (view 2)" in said
    assert "view public.v2 is too much" in said


@pytest.mark.parametrize(
    ("arguments", "head"),
    [
        ({"rev_id": "given"}, "given"),
        ({"head": "b"}, None),
        ({"head": "a", "splice": True}, None),
        ({"head": "base", "branch_label": "separate", "version_path": "{other}"}, "separate@head"),
        ({"head": "b", "depends_on": "d"}, None),
        ({"head": "d", "version_path": "{other}"}, None),
    ],
)
def test_all_places_for_a_revision(
    plain: History, empty_engine: Engine, tmp_path: Path, arguments: dict[str, Any], head: str | None
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    locations = f"{plain.folder / 'versions'}:{other}"
    config = configured(plain, empty_engine, version_locations=locations)
    plain.tables("a", "b")
    arguments = {name: str(other) if value == "{other}" else value for name, value in arguments.items()}
    if "given" not in arguments.values():
        plain.add("d", None, 'op.execute("create view d as select 1 as n")', 'op.execute("drop view d")')
    command.upgrade(config, "heads")
    metadata = orders()
    for name in ("a", "b"):
        sa.Table(f"t_{name}", metadata, sa.Column("id", sa.Integer, primary_key=True))
    if "given" not in arguments.values():
        sa.event.listen(metadata, "after_create", sa.DDL("create view d as select 1 as n"))  # type: ignore[no-untyped-call]
    before = {*plain.folder.rglob("*.py"), *other.glob("*.py")}
    write(config, metadata, **arguments)
    (new,) = {*plain.folder.rglob("*.py"), *other.glob("*.py")} - before
    assert (new.parent == other) is ("version_path" in arguments)
    command.upgrade(config, head or "heads")
    assert rows(empty_engine.url, "select to_regclass('orders')::text") == [("orders",)]


def test_a_hook_that_fails(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    config.file_config.add_section("post_write_hooks")
    for name, value in {
        "hooks": "broken",
        "broken.type": "exec",
        "broken.executable": "/no/such/program",
    }.items():
        config.set_section_option("post_write_hooks", name, value)
    assert "/no/such/program" in refused(plain, lambda: write(config, orders()))


def test_the_author_can_leave_the_proof_out(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    config.cmd_opts = argparse.Namespace(x=["prove=no"])
    write(config, orders(), lambda _: None)
    assert len(list((plain.folder / "versions").glob("*.py"))) == 1


def test_without_a_scratch_database_it_goes_on_and_says_so(
    plain: History,
    empty_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def forbid(directives: Directives) -> None:
        del directives
        monkeypatch.setenv("APP_ENV", "production")
        monkeypatch.setattr("plinth.local_server.major_version", lambda: "17000")

    config = configured(plain, empty_engine)
    with caplog.at_level(logging.WARNING):
        write(config, orders(), forbid)
    assert "could not be proved" in caplog.text
    assert "production" in caplog.text
    assert len(list((plain.folder / "versions").glob("*.py"))) == 1


def test_revisions_may_use_all_of_alembic(
    plain: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    plain.add(
        "a",
        None,
        "from alembic import context\n"
        "assert not context.is_offline_mode()\n"
        "assert context.get_x_argument(as_dictionary=True) == {'answer': '42'}\n"
        "assert context.config.attributes['connection'].engine is not None\n"
        "op.create_table('t_a', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.drop_table('t_a')",
    )
    plain.add(
        "b",
        "a",
        CONCURRENTLY + "op.create_index('i', 't_a', ['id'], postgresql_concurrently=True)",
        CONCURRENTLY + "op.drop_index('i', 't_a', postgresql_concurrently=True)",
    )
    config = configured(plain, empty_engine)
    config.cmd_opts = argparse.Namespace(x=["answer=42"])
    command.upgrade(config, "head")
    metadata = orders()
    sa.Table("t_a", metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True))
    metadata.tables["t_a"].c.id.identity = None
    sa.Index("i", metadata.tables["t_a"].c.id)
    caplog.clear()
    write(config, metadata)
    assert "Running upgrade" not in caplog.text
    assert len(list((plain.folder / "versions").glob("*.py"))) == 3


def test_what_an_administrator_has_made_is_there(plain: History, empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        connection.execute(text("create extension citext"))
        connection.execute(text("create schema tools"))
    plain.add(
        "a", None, 'op.execute("create table tools.t (name citext)")', 'op.execute("drop table tools.t")'
    )
    config = configured(plain, empty_engine)
    config.attributes["options"] = {"include_schemas": True}
    command.upgrade(config, "head")
    metadata = orders()
    sa.Table("t", metadata, sa.Column("name", sa.dialects.postgresql.CITEXT), schema="tools")
    write(config, metadata)
    assert len(list((plain.folder / "versions").glob("*.py"))) == 2


def test_an_old_revision_that_runs_nowhere_else_is_not_in_the_way(
    plain: History, empty_engine: Engine
) -> None:
    plain.add("a", None, 'op.execute("select * from made_by_hand")')
    with empty_engine.begin() as connection:
        connection.execute(text("create table made_by_hand ()"))
    config = configured(plain, empty_engine)
    command.upgrade(config, "head")
    write(config, orders())
    assert len(list((plain.folder / "versions").glob("*.py"))) == 2


def test_many_revisions_are_counted_and_the_reason_comes_first(plain: History, empty_engine: Engine) -> None:
    def and_more(directives: Directives) -> None:
        drop_type_too(directives)
        for number in range(30):
            directives.append(
                ops.MigrationScript(
                    f"further{number}",
                    ops.UpgradeOps([ops.ExecuteSQLOp(f"CREATE TABLE further_{number} ()")]),
                    ops.DowngradeOps([ops.ExecuteSQLOp(f"DROP TABLE further_{number}")]),
                    message="change",
                    head=directives[-1].rev_id,
                )
            )

    said = refused(plain, lambda: write(configured(plain, empty_engine), orders(), and_more))
    assert re.match(
        r"The 31 new revisions, from \w+ \(change\) on, leave a schema that isn't the models':", said
    )
    assert "table further_0 is too much" in said.splitlines()[1]


def test_nothing_is_left_of_it(
    plain: History, empty_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = configured(plain, empty_engine)
    before = set(tmp_path.glob("plinth-proof-*"))
    refused(plain, lambda: write(config, orders(), lambda _: None))
    write(config, orders())
    assert set(tmp_path.glob("plinth-proof-*")) == before == set()
    assert left_scratch_databases(empty_engine.url) == set()


@pytest.fixture
def revisions(plain: History, empty_engine: Engine) -> Revisions:
    plain.tables("a", "b", "c")
    config = configured(plain, empty_engine)
    return Revisions(config, ScriptDirectory.from_config(config), {"version_table_schema": "Meta data"})


def test_revisions_run_up_and_down(revisions: Revisions, empty_engine: Engine) -> None:
    with empty_engine.connect() as target, scratch_database(target) as engine:

        def tables() -> set[str]:
            with engine.connect() as connection:
                return {name.name for name in revisions.read(connection).tables}

        upgrade(engine, revisions, "b")
        assert tables() == {"t_a", "t_b"}
        upgrade(engine, revisions)
        assert tables() == {"t_a", "t_b", "t_c"}
        downgrade(engine, revisions, "a")
        assert tables() == {"t_a"}
        downgrade(engine, revisions)
        assert tables() == set()


def test_a_failing_revision_is_named(revisions: Revisions, plain: History, empty_engine: Engine) -> None:
    plain.add("e", "c", "raise ValueError('no\\nway')")
    fresh = revisions.with_script(ScriptDirectory.from_config(revisions.config))
    with (
        empty_engine.connect() as target,
        scratch_database(target) as engine,
        pytest.raises(RevisionError, match=r"Revision e \(make e\) fails in its upgrade: ValueError: no way"),
    ):
        upgrade(engine, fresh)


def test_what_revisions_make_is_kept(
    revisions: Revisions, plain: History, empty_engine: Engine, tmp_path: Path
) -> None:
    with empty_engine.connect() as target:
        first = revisions_catalog(revisions, target)
        assert set(first.tables) == {Name("public", f"t_{name}") for name in "abc"}
        assert revisions_catalog(revisions, target) == first
        assert len(list((tmp_path / "cache").glob("revisions-*"))) == 1
        file = plain.add("e", "c", 'op.execute("create table e ()")', doc="from users to e")
        fresh = revisions.with_script(ScriptDirectory.from_config(revisions.config))
        assert Name("public", "e") in revisions_catalog(fresh, target).tables
        assert len(list((tmp_path / "cache").glob("revisions-*"))) == 2
        # What it imports could change without the file.
        file.write_text("from tests.plinth import project\n" + file.read_text())
        fresh = revisions.with_script(ScriptDirectory.from_config(revisions.config))
        assert Name("public", "e") in revisions_catalog(fresh, target).tables
        assert len(list((tmp_path / "cache").glob("revisions-*"))) == 2


def retyped(
    history: History,
    engine: Engine,
    using: str,
    back: str = "text",
    to: "sa.types.TypeEngine[Any]" = sa.String(5),  # noqa: B008 - it doesn't change
) -> Callable[[], None]:
    """Return what lets a text become another type by an expression, which is no word of the models'."""
    config = configured(history, engine)
    write(config, orders(sa.Column("note", sa.Text)))
    command.upgrade(config, "head")

    def change(directives: Directives) -> None:
        new = to.compile(dialect=engine.dialect)
        for container, kind, value in (
            (directives[0].upgrade_ops, new, using),
            (directives[0].downgrade_ops, "text", back),
        ):
            sql = f"alter table orders alter note type {kind} using {value}"
            container.ops = [ops.ExecuteSQLOp(sql)]  # type: ignore[union-attr]

    return lambda: write(config, orders(sa.Column("note", to)), change)


def test_a_conversion_that_cuts(plain: History, empty_engine: Engine) -> None:
    said = refused(plain, retyped(plain, empty_engine, "left(note, 5)", back="note"))
    assert "Column orders.note goes from text to character varying(5), and 'ééé" in said
    assert said.endswith("becomes 'ééééé'. Nothing has been written.")


@pytest.mark.slow
def test_a_conversion_that_stops(plain: History, empty_engine: Engine) -> None:
    retyped(plain, empty_engine, "note", back="note")()


@pytest.mark.slow
def test_a_conversion_that_makes_something_else(plain: History, empty_engine: Engine) -> None:
    said = refused(
        plain, retyped(plain, empty_engine, "replace(note, 'b', 'B')", back="note", to=sa.String())
    )
    assert "'Ab, {é}' becomes 'AB, {é}'" in said


def test_a_way_back_that_makes_something_else(plain: History, empty_engine: Engine) -> None:
    said = refused(plain, retyped(plain, empty_engine, "note", back="note || 'x'", to=sa.String()))
    assert "goes from character varying back to text" in said


@pytest.mark.slow
def test_made_up_rows_that_a_new_check_refuses_prove_nothing(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    write(config, orders(sa.Column("note", sa.Text)))
    command.upgrade(config, "head")

    def check(directives: Directives) -> None:
        directives[0].upgrade_ops.ops[0].ops.append(  # type: ignore[union-attr]
            ops.ExecuteSQLOp("alter table orders add check (note <> '007')")
        )
        directives[0].downgrade_ops.ops[0].ops.append(  # type: ignore[union-attr]
            ops.ExecuteSQLOp("alter table orders drop constraint orders_note_check")
        )

    checked = orders(
        sa.Column("note", sa.String), sa.CheckConstraint("note <> '007'", name="orders_note_check")
    )
    write(config, checked, check)


def replaced(up: str, down: str) -> Callable[[Directives], None]:
    """Return what puts SQL in the place of a revision's operations."""

    def change(directives: Directives) -> None:
        for container, sql in ((directives[0].upgrade_ops, up), (directives[0].downgrade_ops, down)):
            assert container
            container.ops = [ops.ExecuteSQLOp(each) for each in sql.split(";")]

    return change


TO_HEADING = Rename(
    ops.AlterColumnOp("orders", "note", modify_name="heading"),
    ops.AlterColumnOp("orders", "heading", modify_name="note"),
)
TO, BACK = "alter table orders rename note to heading", "alter table orders rename heading to note"


def noted(history: History, engine: Engine) -> Config:
    config = configured(history, engine)
    write(config, orders(sa.Column("note", sa.Text)))
    command.upgrade(config, "head")
    return config


def test_a_renamed_column_that_is_cut(plain: History, empty_engine: Engine) -> None:
    config = noted(plain, empty_engine)
    wanted = orders(sa.Column("heading", sa.String(5)))
    cut = "alter table orders alter heading type varchar(5) using left(heading, 5)"
    wrong = replaced(f"{TO};{cut}", f"alter table orders alter heading type text;{BACK}")
    said = refused(plain, lambda: write(config, wanted, wrong, [TO_HEADING]))
    assert "Column orders.heading goes from text to character varying(5), and 'ééé" in said


@pytest.mark.slow
def test_a_way_back_to_another_name(plain: History, empty_engine: Engine) -> None:
    config = noted(plain, empty_engine)
    longer = "alter table orders alter heading type text"
    changed = f"{longer} using replace(heading, 'A', 'a')"
    up = f"{TO};alter table orders alter heading type varchar"
    wanted = orders(sa.Column("heading", sa.String))
    said = refused(plain, lambda: write(config, wanted, replaced(up, f"{changed};{BACK}"), [TO_HEADING]))
    assert "Column orders.note goes from character varying back to text, and 'Ab, {é}' becomes" in said
    write(config, wanted, replaced(up, f"{longer};{BACK}"), [TO_HEADING])


def stated(*values: str) -> MetaData:
    metadata = MetaData()
    state = sa.Enum(*values, name="state_of_orders")
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("state", state))
    return metadata


def remade(state: str, new: str) -> str:
    """Return SQL that gives an enum other values, which become these."""
    return (
        "alter type state_of_orders rename to old;"
        f"create type state_of_orders as enum ({new});"
        f"alter table orders alter state type state_of_orders using {state}::state_of_orders;"
        "drop type old"
    )


@pytest.mark.parametrize(
    ("using", "values", "words"),
    [
        pytest.param(
            "(case state::text when 'sent' then 'new' else state::text end)",
            ("new", "sent"),
            "'sent' becomes",
            marks=pytest.mark.slow,
        ),
        ("(case state::text when 'paid' then 'new' else state::text end)", ("new", "sent"), "'paid' becomes"),
        pytest.param("state::text", ("new", "sent"), None, marks=pytest.mark.slow),
    ],
    ids=["another", "one that goes", "as it should be"],
)
def test_each_value_of_an_enum_is_tried(
    plain: History, empty_engine: Engine, using: str, values: tuple[str, ...], words: str | None
) -> None:
    config = configured(plain, empty_engine)
    write(config, stated("new", "paid", "sent"))
    command.upgrade(config, "head")
    listed = ", ".join(f"'{each}'" for each in values)
    change = replaced(remade(using, listed), remade("state::text", "'new', 'paid', 'sent'"))
    if words is None:
        write(config, stated(*values), change)
    else:
        assert words in refused(plain, lambda: write(config, stated(*values), change))


@pytest.mark.slow
def test_values_that_get_other_names_are_tried_too(plain: History, empty_engine: Engine) -> None:
    config = configured(plain, empty_engine)
    write(config, stated("new", "paid"))
    command.upgrade(config, "head")
    sql = "alter type state_of_orders rename value '{}' to '{}'"
    rename = Rename(
        ops.ExecuteSQLOp(sql.format("paid", "settled")),
        ops.ExecuteSQLOp(sql.format("settled", "paid")),
    )
    wanted = stated("new", "settled", "sent")
    listed = "'new', 'settled'"
    up = sql.format("paid", "settled") + ";" + remade("state::text", f"{listed}, 'sent'")

    def back(state: str) -> str:
        return remade(state, listed) + ";" + sql.format("settled", "paid")

    merged = replaced(up, back("(case state::text when 'settled' then 'new' else state::text end)"))
    assert "'paid' becomes" in refused(plain, lambda: write(config, wanted, merged, [rename]))
    write(config, wanted, replaced(up, back("state::text")), [rename])
