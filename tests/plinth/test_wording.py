"""Revisions say what the models say, in their words, and in lines that fit between the margins."""

import argparse
import re
import subprocess
import sys
from typing import Any

import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects.postgresql import DOMAIN, ExcludeConstraint

from plinth import settings
from tests.plinth.history import History
from tests.plinth.kinds.kind import NAMING_CONVENTION


def written(history: History, engine: Engine, models: MetaData, *x: str) -> tuple[str, str]:
    """Return the two functions of the first revision that is written."""
    known = set((history.folder / "versions").glob("*.py"))
    config = history.config(engine)
    config.attributes["target_metadata"] = models
    config.cmd_opts = argparse.Namespace(x=list(x))
    command.revision(config, "change the shop", autogenerate=True)
    first = min(set((history.folder / "versions").glob("*.py")) - known)
    up, down = re.sub(r'"\n +"', "", first.read_text()).split("def downgrade")  # strings in one piece
    return up, down


def goods(*items: "sa.Column[Any] | sa.Index | sa.Constraint") -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("goods", metadata, sa.Column("id", sa.Integer, primary_key=True), *items)
    return metadata


def test_a_new_table_is_written_in_the_models_words(history: History, empty_engine: Engine) -> None:
    name, price = sa.Column("name", sa.String(50)), sa.Column("price", sa.Numeric(8, 2), server_default="0")
    percent = DOMAIN("percent", sa.Numeric, check="VALUE > 0", default=sa.text("1 + 1"))
    models = goods(
        name,
        price,
        sa.Column("state", sa.String(9), server_default="it's new"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("note", sa.Text, server_default=""),
        sa.Column("days", sa.Integer, server_default=sa.text("2 * 3")),
        sa.Column("share", percent),
        sa.Column("label", sa.Text, sa.Computed("upper(name) || ':' || state", persisted=True)),
        sa.CheckConstraint(price > 0, name="positive"),
        sa.CheckConstraint("state IN ('it''s new', 'old')", name="state"),
        sa.CheckConstraint("name LIKE '%a' AND name <> E'a\\:b'", name="like"),
        sa.CheckConstraint("days > 0\n   OR name =\n  'two  words'", name="lines"),
        ExcludeConstraint(
            (sa.text("lower(name)"), "="), using="btree", where=sa.text("days > 3"), name="one"
        ),
        sa.Index("by_name", sa.func.lower(name), price.desc(), postgresql_where=sa.text("state = 'old'")),
        sa.Index("by_state", "state", sa.text("(days % 7)"), postgresql_ops={"state": "text_pattern_ops"}),
    )
    up, down = written(history, empty_engine, models)
    for said in (
        'sa.CheckConstraint("price > 0", name=',
        """sa.CheckConstraint("state IN ('it''s new', 'old')", name=""",
        """sa.CheckConstraint("name LIKE '%a' AND name <> E'a:b'", name=""",
        """sa.CheckConstraint("days > 0 OR name = 'two  words'", name=""",
        '''server_default="0"''',
        '''server_default=""''',
        '''server_default="it's new"''',
        'server_default=sa.text("now()")',
        'server_default=sa.text("2 * 3")',
        """sa.Computed("upper(name) || ':' || state", persisted=True)""",
        'sa.text("lower(name)"), sa.text("price DESC")]',
        """postgresql_where=sa.text("state = 'old'")""",
        'sa.text("state text_pattern_ops"), sa.text("(days % 7)")',
        "EXCLUDE USING btree (lower(name) WITH =) WHERE (days > 3)",
        "CHECK (VALUE > 0)",
        "DEFAULT 1 + 1",
    ):
        assert said in up
    assert "::" not in up + down


def test_what_no_name_tells_is_known_where_it_is_the_only_one(history: History, empty_engine: Engine) -> None:
    metadata = MetaData()
    for name, checks in {"a": ["x > 1"], "b": ["x > 1", "x < 9"]}.items():
        column = sa.Column("x", sa.Numeric, *map(sa.CheckConstraint, checks))
        sa.Table(name, metadata, column, sa.CheckConstraint("x <> 5", name=f"n{name}"))
    up, _ = written(history, empty_engine, metadata)
    assert 'sa.CheckConstraint("x > 1", name=op.f("a_x_check"))' in up
    assert 'sa.CheckConstraint("x > (1)::numeric", name=' in up
    assert up.count('sa.CheckConstraint("x <> 5"') == 2


def test_words_belong_to_names_and_types_of_their_place(history: History, empty_engine: Engine) -> None:
    """A column gets another name, and its check changes; another gets another type."""
    old = goods(
        sa.Column("cost", sa.Numeric),
        sa.Column("size", sa.Integer, server_default="1"),
        sa.CheckConstraint("cost > 0", name="cost"),
        sa.CheckConstraint("size > 0", name="size"),
    )
    written(history, empty_engine, old, "prove=no")
    command.upgrade(history.config(empty_engine), "head")
    new = goods(
        sa.Column("price", sa.Numeric, info={"renamed_from": "cost"}),
        sa.Column("size", sa.Numeric, server_default="2"),
        sa.CheckConstraint("goods.price > 1", name="cost"),
        sa.CheckConstraint("size > 0", name="size"),
    )
    up, down = written(history, empty_engine, new, "online=no")
    assert '"goods.price > 1"' in up
    assert '"size > 0"' in up
    assert 'server_default="2"' in up
    assert '"price > (0)::numeric"' in down
    command.upgrade(history.config(empty_engine), "head")


LONG = " OR ".join(f"name = 'value number {number}'" for number in range(9))


def test_long_lines_are_cut(history: History, empty_engine: Engine) -> None:
    written(history, empty_engine, goods(sa.Column("name", sa.String(50))), "prove=no")
    command.upgrade(history.config(empty_engine), "head")
    name = sa.Column("name", sa.String(50), comment="a comment of many words " * 6)
    models = goods(
        name,
        sa.Column(
            "kind", sa.Text, nullable=False, info={"backfill": f"CASE WHEN {LONG} THEN 'a' ELSE 'b  c' END"}
        ),
        sa.Column("note", sa.Text, server_default=f'"it\'s" {"long " * 30}'),
        sa.CheckConstraint(LONG, name="long"),
        sa.Index("by_name", sa.text(f"({LONG})"), "kind", postgresql_where=sa.text(LONG)),
        ExcludeConstraint((sa.text(f"({LONG})"), "="), using="btree", name="one", where=sa.text(LONG)),
    )
    written(history, empty_engine, models, "rewrite=goods")
    ruff = [sys.executable, "-m", "ruff", "--config", str(settings.root() / "pyproject.toml")]
    folder = str(history.folder / "versions")
    for arguments in (["format", "--diff"], ["check", "--select=E501"]):
        found = subprocess.run([*ruff, *arguments, folder], capture_output=True, text=True, check=False)
        assert not found.returncode, found.stdout
