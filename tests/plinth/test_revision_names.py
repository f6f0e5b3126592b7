from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command, util
from alembic.operations import ops
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

from plinth.revision_names import LONGEST_SLUG, checked_message, describe, describe_drops, name_merges
from tests.plinth.history import History, clear
from tests.plinth.project import Project

TABLES = {"users", "order_lines", "Straße"}


@pytest.mark.parametrize(
    "message",
    [
        "add users nickname",
        "drop users",
        "merge a and b",
        "backfill order totals",
        "größere Straße",
        "2nd sign-in",
    ],
)
def test_a_message_that_says_something_is_kept(message: str) -> None:
    assert checked_message(f"  {message}\n", TABLES) == message


@pytest.mark.parametrize(
    "message",
    [
        *("users", "user", "Users table", "order lines", "order_lines", "straße"),
        *("update", "Updates", "changes", "fix", "migration", "new migration", "update users", "test 2"),
    ],
)
def test_a_message_that_says_nothing_is_refused(message: str) -> None:
    with pytest.raises(CommandError, match="doesn't say what changes"):
        checked_message(message, TABLES)


@pytest.mark.parametrize("message", [None, "", "  ", "!?"])
def test_a_missing_message_is_refused_with_an_example(message: str | None) -> None:
    with pytest.raises(CommandError, match='-m "add users nickname"'):
        checked_message(message, TABLES)


def test_a_message_too_long_for_a_file_name_is_refused() -> None:
    checked_message("ß" * LONGEST_SLUG, TABLES)
    with pytest.raises(
        CommandError, match="a file's name of 61 characters, and a list of files has room for 60"
    ):
        checked_message("let users be, " + "x" * 48, TABLES)


def test_a_change_is_described_by_what_it_does() -> None:
    nickname = ops.AddColumnOp("users", sa.Column("nickname", sa.Text()))
    index = ops.CreateIndexOp("ix_users_email", "users", ["email"])
    assert describe([ops.ModifyTableOps("users", [nickname])]) == "add users nickname"
    assert describe([nickname, index]) == "add users nickname and add index ix_users_email"
    many = [ops.AddColumnOp("users", sa.Column(f"c{number}", sa.Text())) for number in range(9)]
    assert describe(many) == "add users c0 and add users c1 and add users c2 and 6 more"
    long = [ops.AddColumnOp("users", sa.Column(f"{number}" * 63, sa.Text())) for number in range(9)]
    assert describe(long) == f"add users {'0' * 39} and 8 more"
    checked_message(describe(long), TABLES)
    assert describe(many, 40) == "add users c0 and add users c1 and 7 more"
    assert describe(many, 39) == "add users c0 and 8 more"


def test_an_index_or_constraint_is_described_behind_the_column() -> None:
    index = ops.DropIndexOp("ix_users_name", "users")
    check = ops.DropConstraintOp("ck_users_name", "users", "check")
    column = ops.DropColumnOp("users", "name")
    said = "drop users name and drop index ix_users_name and 1 more"
    assert describe([index, check, column]) == describe_drops([index, check, column]) == said


def test_what_is_only_made_anew_is_described_last() -> None:
    key = [ops.DropConstraintOp("fk_posts_user_id_users", "posts", "foreignkey")]
    wider = [ops.AlterColumnOp("users", "id", modify_type=sa.BigInteger())]
    again = [ops.CreateForeignKeyOp("fk_posts_user_id_users", "posts", "users", ["user_id"], ["id"])]
    assert describe([*key, *wider, *again]) == "change users id and change constraint fk_posts_user_id_users"
    assert describe([*key, *again]) == "change constraint fk_posts_user_id_users"
    assert describe_drops([*key, *again, ops.DropColumnOp("users", "id_old")]) == "drop users id_old"


def test_what_comes_after_the_code_is_described_by_what_it_drops() -> None:
    made = [ops.CreateTableOp("x", []), ops.AddColumnOp("users", sa.Column("state_new", sa.Text()))]
    drops = [ops.DropTableOp("x"), ops.DropColumnOp("users", "state_old")]
    assert describe_drops([*made, *drops]) == "drop users state_old"
    assert describe_drops(made) == "create x and add users state_new"


def models(*columns: "sa.Column[Any]") -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    return metadata


@pytest.mark.slow
def test_each_file_is_named_after_the_change_and_not_after_its_steps(
    history: History, empty_engine: Engine
) -> None:
    config = history.config(empty_engine)

    def messages(metadata: sa.MetaData) -> list[str]:
        config.attributes["target_metadata"] = metadata
        made = command.revision(config, None, autogenerate=True)
        command.upgrade(config, "head")
        return [each.doc for each in (made if isinstance(made, list) else [made]) if each]

    assert messages(models(sa.Column("email", sa.String(99)))) == ["create users"]
    country = sa.Column("country", sa.Text, nullable=False, info={"backfill": "'CH'"})
    assert messages(models(sa.Column("email", sa.String(99)), country)) == ["add users country"]
    shorter = sa.Column("email", sa.String(50), info={"using": "left(email, 50)"})
    assert messages(models(shorter)) == [
        "change users email",
        "drop users country and 1 more",  # Alembic cuts off what is longer than 40 characters
    ]


@pytest.mark.slow
def test_a_file_that_comes_after_the_code_is_named_after_the_value_that_goes(
    history: History, empty_engine: Engine
) -> None:
    config = history.config(empty_engine)

    def invoices(*states: str, kind: type[sa.Integer] = sa.Integer, **info: object) -> sa.MetaData:
        metadata = sa.MetaData()
        state: sa.Column[str] = sa.Column("state", sa.Enum(*states, name="state"), nullable=False, info=info)
        columns = [sa.Column(f"amount_{number}", kind) for number in range(4)]
        table = sa.Table("invoices", metadata, sa.Column("id", sa.Integer, primary_key=True), state, *columns)
        sa.Index("ix_open", table.c.id, postgresql_where=table.c.state.in_(states[:2]))
        return metadata

    def files(metadata: sa.MetaData, message: str | None) -> list[str]:
        config.attributes["target_metadata"] = metadata
        made = command.revision(config, message, autogenerate=True)
        command.upgrade(config, "head")
        each_made = made if isinstance(made, list) else [made]
        return [Path(each.path).stem.removeprefix(f"{each.revision}_") for each in each_made if each]

    files(invoices("open", "sent", "paid", "void"), "add invoices")
    renamed = invoices("open", "issued", "paid", enum_renames={"sent": "issued"})
    assert files(renamed, "invoices are issued") == ["invoices_are_issued", "drop_state_void_and_3_more"]
    assert files(invoices("open", "issued", "paid", kind=sa.BigInteger), None) == [
        "change_invoices_amount_0_and_3_more",
        "drop_invoices_amount_0_old_and_3_more",
    ]


def test_a_merge_of_many_heads_has_a_short_name_too(history: History) -> None:
    ids = [f"a_branch_with_a_name_of_its_own_{number}" for number in range(3)]
    for each in ids:
        history.add(each[-32:], None, "pass")
    script = ScriptDirectory.from_config(history.config())
    name_merges(script)
    merged = script.generate_revision(util.rev_id(), None, head=script.get_heads())
    assert merged is not None
    assert merged.doc == "merge 3 heads"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["merge", "heads", "--rev-id", "../evil"], "The id '../evil'"),
        (["merge", "heads", "-m", "fix"], "doesn't say what changes"),
        (["revision", "--head", "a", "-m", "fix"], "doesn't say what changes"),
    ],
    ids=["id", "message", "revision"],
)
def test_what_is_refused_leaves_alembics_ids_as_they_were(
    project: Project, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    history = clear(project)
    for each in ("a", "b"):
        history.add(each, None, "pass")
    given = util.rev_id
    with pytest.raises(SystemExit):
        project.alembic(*arguments)
    assert words in capsys.readouterr().out
    assert util.rev_id is given
