"""What is written for the everyday changes: the style of revisions is reviewed in golden/.

Ids and dates aside, each file there is what autogenerate writes. Where one ordinary revision (`online=no`)
differs from the online ones, its file ends in `_in_one`; several revisions of a change are numbered. When the
style changes on purpose: `GOLDEN=write make test T=tests/plinth/test_golden.py`, and review the difference.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData

from plinth import settings
from plinth.lint.linting import lint
from plinth.testing.server import DatabaseServer
from tests.plinth.history import History
from tests.plinth.judge import empty_place
from tests.plinth.kinds.kind import NAMING_CONVENTION

GOLDEN = Path(__file__).parent / "golden"


def models(
    *columns: "sa.Column[Any] | sa.Index | sa.Constraint",
    values: tuple[str, ...] = ("draft", "sent"),
    email: Any = None,  # noqa: ANN401
    author: Any = None,  # noqa: ANN401
    likes: Any = sa.Integer,  # noqa: ANN401
    posts: str = "posts",
    key: Any = sa.Integer,  # noqa: ANN401
    seen: Any = sa.Integer,  # noqa: ANN401
    ondelete: str = "CASCADE",
) -> MetaData:
    """Return users, posts, notes on users, and how often posts are seen each day.

    Args:
        columns: further ones of users, or its constraints.
        values: of the enum.
        email: takes the place of the column.
        author: takes the place of the column author_id.
        likes: the type of that column.
        posts: what that table is called.
        key: the type of the users' key, and of what refers to it.
        seen: the type of the column that says which post is seen, in a partitioned table.
        ondelete: what becomes of a user's notes.
    """
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "users",
        metadata,
        sa.Column("id", key, primary_key=True),
        sa.Column("email", sa.String(255), unique=True) if email is None else email,
        sa.Column("name", sa.String(255)),
        *columns,
    )
    sa.Table(
        posts,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("state", sa.Enum(*values, name="post_state"), nullable=False),
        *([sa.Column("author_id", sa.Integer)] if author is None else author),
        sa.Column("likes", likes, server_default="0", nullable=False),
        info={} if posts == "posts" else {"renamed_from": "posts"},
    )
    sa.Table(
        "notes",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", key, sa.ForeignKey("users.id", ondelete=ondelete), nullable=False, index=True),
    )
    sa.Table(
        "views",
        metadata,
        sa.Column("day", sa.Date),
        sa.Column("post_id", seen, sa.ForeignKey(f"{posts}.id", name="fk_views_post"), server_default="1"),
        sa.Column("times", sa.Integer),
        sa.PrimaryKeyConstraint("post_id", "day"),
        sa.Index("ix_views_day_post_id", "day", "post_id"),
        sa.CheckConstraint("post_id > 0", name="post_is_known"),
        postgresql_partition_by="RANGE (day)",
    )
    return metadata


def with_orders() -> MetaData:
    metadata = models()
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("state", sa.Enum("open", "paid", name="order_state"), nullable=False),
        sa.Column("total", sa.Numeric(10, 2), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("total >= 0", name="total_not_negative"),
    )
    return metadata


CHANGES: dict[str, Callable[[], MetaData]] = {
    "add_table": with_orders,
    "add_column": lambda: models(sa.Column("nickname", sa.String(50))),
    "add_required_column": lambda: models(
        sa.Column("country", sa.String(2), nullable=False, info={"backfill": "'CH'"})
    ),
    "add_stored_column": lambda: models(
        sa.Column("shout", sa.Text, sa.Computed("upper(name)", persisted=True), index=True)
    ),
    "add_identity_column": lambda: models(sa.Column("number", sa.BigInteger, sa.Identity())),
    "add_index": lambda: models(sa.Index("ix_users_name", "name")),
    "replace_unique_constraint": lambda: models(
        sa.UniqueConstraint("email", "name"), email=sa.Column("email", sa.String(255), index=True)
    ),
    "rename_column": lambda: models(
        email=sa.Column("email_address", sa.String(255), unique=True, info={"renamed_from": "email"})
    ),
    "rename_table_and_column": lambda: models(
        email=sa.Column("email_address", sa.String(255), unique=True, info={"renamed_from": "email"}),
        posts="articles",
    ),
    "shorten_column": lambda: models(
        email=sa.Column("email", sa.String(100), unique=True, info={"using": "left(email, 100)"})
    ),
    "add_unique_constraint": lambda: models(sa.UniqueConstraint("name")),
    "add_foreign_key": lambda: models(author=[sa.Column("author_id", sa.ForeignKey("users.id"))]),
    "change_foreign_key": lambda: models(sa.Index("ix_users_name", "name"), ondelete="RESTRICT"),
    "add_check": lambda: models(sa.CheckConstraint("name <> ''", name="name_not_empty")),
    "key_to_bigint": lambda: models(key=sa.BigInteger),
    "int_to_bigint": lambda: models(likes=sa.BigInteger),
    "partitions_to_bigint": lambda: models(seen=sa.BigInteger),
    "varchar_to_text": lambda: models(email=sa.Column("email", sa.Text, unique=True)),
    "drop_column": lambda: models(author=[]),
    "remove_enum_value": lambda: models(values=("draft",)),
    "add_enum_value": lambda: models(values=("draft", "queued", "sent")),
}


# What lint names in any case.
NAMED = ("rename", "shorten", "int_to", "key_to", "partitions_to", "drop", "remove")


@pytest.fixture(scope="module")
def begun(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[History, Engine]]:
    """A history whose one revision is applied."""
    server = database_server.url(database_server.maintenance_dbname)
    with empty_place(server, tmp_path_factory.mktemp("golden") / "history") as (history, engine):
        autogenerate(history, engine, models(), "create users and posts")
        command.upgrade(history.config(engine), "head")
        yield history, engine


def autogenerate(history: History, engine: Engine, metadata: MetaData, message: str, *x: str) -> None:
    config = history.config(engine)
    config.attributes["target_metadata"] = metadata
    config.cmd_opts = argparse.Namespace(x=list(x))
    command.revision(config, message, autogenerate=True)


def written(begun: tuple[History, Engine], folder: Path, change: str, *x: str) -> list[str]:
    """Return the revisions that are written for a change, formatted, oldest first."""
    history = History(folder)
    shutil.copytree(begun[0].folder, folder)
    known = set((folder / "versions").glob("*.py"))
    autogenerate(history, begun[1], CHANGES[change](), change.replace("_", " ") + " to the shop", *x)
    new = sorted(set((folder / "versions").glob("*.py")) - known)
    ids = {name: f"{20260101000000 + number}" for number, name in enumerate(map(id_of, [*known, *new]))}
    # What alembic.ini's post-write hook does.
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--quiet",
        "--config",
        str(settings.root() / "pyproject.toml"),
    ]
    subprocess.run([*ruff, *map(str, new)], check=True)
    return [alike(file.read_text(), ids) for file in new]


def id_of(file: Path) -> str:
    return file.name.partition("_")[0]


def alike(text: str, ids: dict[str, str]) -> str:
    """Return a revision with other ids, and another date."""
    text = re.sub(r"\b\d{14}\b", lambda match: ids[match[0]], text)
    return re.sub(r"(?m)^Create Date: .*$", "Create Date: 2026-01-01 00:00:00", text)


def named(name: str, texts: list[str]) -> dict[str, str]:
    if len(texts) == 1:
        return {f"{name}.py": texts[0]}
    return {f"{name}_{number}.py": text for number, text in enumerate(texts, 1)}


@pytest.mark.parametrize("change", CHANGES)
def test_everyday_changes(begun: tuple[History, Engine], tmp_path: Path, change: str) -> None:
    online = written(begun, tmp_path / "online", change)
    in_one = written(begun, tmp_path / "in one", change, "online=no")
    found = named(change, online) | ({} if in_one == online else named(f"{change}_in_one", in_one))
    if os.environ.get("GOLDEN") == "write":
        for file in golden_files(change):
            file.unlink()
        for name, text in found.items():
            (GOLDEN / name).write_text(text)
    assert found == {file.name: file.read_text() for file in golden_files(change)}


@pytest.mark.slow
@pytest.mark.parametrize("change", [name for name in CHANGES if not name.startswith(NAMED)])
def test_the_lint_refuses_none_of_them(begun: tuple[History, Engine], tmp_path: Path, change: str) -> None:
    written(begun, tmp_path / "online", change)
    history = History(tmp_path / "online")
    (first,) = (id_of(file) for file in (begun[0].folder / "versions").glob("*.py"))
    found = lint(history.config(), first)
    assert found.revisions
    assert [each for revision in found.revisions for each in revision.findings] == []


def golden_files(change: str) -> list[Path]:
    return [
        file for file in GOLDEN.glob("*.py") if re.fullmatch(rf"{change}(_in_one)?(_\d+)?\.py", file.name)
    ]


def test_no_golden_file_is_left_over() -> None:
    assert {file for change in CHANGES for file in golden_files(change)} == set(GOLDEN.iterdir())
