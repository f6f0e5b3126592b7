import pytest
import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import CommandError

from plinth.revision_names import LONGEST_SLUG, checked_message, describe

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
    checked_message("x" * LONGEST_SLUG, TABLES)
    with pytest.raises(CommandError, match="longer than 200 bytes"):
        checked_message("ß" * LONGEST_SLUG, TABLES)


def test_a_change_is_described_by_what_it_does() -> None:
    nickname = ops.AddColumnOp("users", sa.Column("nickname", sa.Text()))
    index = ops.CreateIndexOp("ix_users_email", "users", ["email"])
    assert describe([ops.ModifyTableOps("users", [nickname])]) == "add users nickname"
    assert describe([nickname, index]) == "add users nickname and add index ix_users_email"
    many = [ops.AddColumnOp("users", sa.Column(f"c{number}", sa.Text())) for number in range(9)]
    assert describe(many) == "add users c0 and add users c1 and add users c2 and 6 more"
    long = [ops.AddColumnOp("users", sa.Column(f"{number}" * 63, sa.Text())) for number in range(9)]
    checked_message(describe(long), TABLES)
