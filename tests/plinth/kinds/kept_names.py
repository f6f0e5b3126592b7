"""Columns that get another name, and whose old one stays usable until the code that uses it is gone."""

from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    UniqueConstraint,
    func,
)

from tests.plinth.kinds.kind import Kind, Models, check, kept, t

NAMES = "select string_agg({}, ',' order by id) from t"


def kept_name(*more: str) -> dict[str, Any]:
    """Return what a model says of a column that was called `name`, or otherwise."""
    return {"renamed_from": more[0] if more else "name", "keep_old": True}


def column(kind: Any, refers: str | None = None, **options: Any) -> tuple[Models, Models]:
    """Return models with a column `name`, and the same with it as `title`."""

    def make(name: str, **said: Any) -> Models:
        def models(m: MetaData) -> None:
            t(m, Column("before", Integer), name="other")
            keys = [ForeignKey(refers)] if refers else []
            t(m, Column(name, kind, *keys, **options, **said))

        return models

    return make("name"), make("title", info=kept_name())


def renamed(kind: str, models: tuple[Models, Models], *values: str, **more: Any) -> Kind:
    """Return a kind whose values are the same by either name."""
    filled = ", ".join(f"({value})" for value in values)
    other = "insert into other (id) values (1), (2)"
    return Kind(
        f"kept_name.{kind}",
        *models,
        rows=(other, f"insert into t (name) values {filled}"),  # noqa: S608 - constants
        checks=(
            check(NAMES.format("coalesce(title::text, '-')"), up=more.pop("text")),
            check(NAMES.format("coalesce(name::text, '-')"), down=more.pop("down")),
        ),
        **more,
    )


def both(text: str) -> dict[str, str]:
    """Return what is there by the new name, and after the way back by the old one."""
    return {"text": text, "down": text}


def with_parts(name: str, **said: Any) -> Models:
    """Return models whose column has an index, a check and a unique constraint of the same names always."""

    def models(m: MetaData) -> None:
        t(
            m,
            Column(name, String(50), nullable=False, server_default="none", **said),
            Column("other", Integer),
            Index("ix_always", name),
            CheckConstraint(f"length({name}) > 1", name="always"),
            UniqueConstraint(name, "id", name="uq_always"),
            Index("ix_both", "other", name),
        )

    return models


KINDS = [
    renamed("plain", column(String(50)), "'a'", "null", **both("a,-")),
    renamed("required", column(String(50), nullable=False, index=True), "'a'", "'b'", **both("a,b")),
    renamed("unique", column(String(50), unique=True, nullable=False), "'a'", "'b'", **both("a,b")),
    renamed("default", column(Numeric(8, 2), server_default="1.5"), "2", "default", **both("2.00,1.50")),
    renamed(
        "now", column(DateTime, server_default=func.now()), "'2000-01-01'", **both("2000-01-01 00:00:00")
    ),
    renamed("json", column(JSON, nullable=False), "'{\"a\":  1}'", **both('{"a":  1}')),
    renamed("foreign_key", column(Integer, "other.id", nullable=False), "1", "2", **both("1,2")),
    Kind(
        "kept_name.parts",
        with_parts("name"),
        with_parts("title", info=kept_name()),
        rows=("insert into t (name) values ('aa'), (default)",),
        checks=(
            check(NAMES.format("title"), up="aa,none"),
            check(NAMES.format("name"), down="aa,none"),
        ),
    ),
    Kind(
        "kept_name.two_columns",
        lambda m: t(m, Column("a", Integer), Column("b", String(9), nullable=False)),
        lambda m: t(
            m,
            Column("c", Integer, info=kept_name("a")),
            Column("d", String(9), nullable=False, info=kept_name("b")),
        ),
        rows=("insert into t (a, b) values (1, 'x'), (null, 'y')",),
        checks=(kept("select count(*)::int from t", 2), check("select string_agg(d, ',') from t", up="x,y")),
    ),
    Kind(
        "kept_name.table",
        lambda m: (
            t(m, Column("name", String(50), unique=True, nullable=False), Column("n", Integer, index=True)),
            t(m, Column("t_id", ForeignKey("t.id"), nullable=False), name="child"),
        ),
        lambda m: (
            t(
                m,
                Column("name", String(50), unique=True, nullable=False),
                Column("n", Integer, index=True),
                name="u",
                info=kept_name("t"),
            ),
            t(m, Column("t_id", ForeignKey("u.id"), nullable=False), name="child"),
        ),
        rows=("insert into t (name, n) values ('a', 1), ('b', 2)", "insert into child (t_id) values (1)"),
        checks=(check("select string_agg(name, ',' order by id) from u", up="a,b"),),
    ),
    Kind(
        "kept_name.table_and_column",
        lambda m: t(m, Column("name", String(50)), Column("a", Integer, nullable=False)),
        lambda m: t(
            m,
            Column("title", String(50), info={"renamed_from": "name"}),
            Column("b", Integer, nullable=False, info=kept_name("a")),
            Column("new", Integer, server_default="7", nullable=False),
            name="Odd Name",
            info=kept_name("t"),
        ),
        rows=("insert into t (name, a) values ('a', 1)",),
        checks=(
            check('select title || b || new from "Odd Name"', up="a17"),
            check("select name || a from t", down="a1"),
        ),
    ),
    Kind(
        "kept_name.table_to_another_schema",
        lambda m: t(m, Column("name", String(50)), Column("gone", Integer)),
        lambda m: t(m, Column("name", String(50)), schema="shop", info=kept_name("public.t")),
        rows=("insert into t (name) values ('a')",),
        checks=(kept("select count(*)::int from pg_class where relname = 't' and relkind = 'r'", 1),),
    ),
]
