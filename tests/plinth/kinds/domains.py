"""Domains."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Numeric, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN
from sqlalchemy.types import UserDefinedType

from tests.plinth.kinds.kind import Kind, Models, check, first, kept, nothing, t

ROWS = ("insert into t (n) values (5)",)


def posint(name: str = "posint", base: Any = Integer, check: str | None = "VALUE > 0", **options: Any) -> Any:
    return DOMAIN(name, base, check=check, **options)


def having(*arguments: Any, **options: Any) -> Models:
    return lambda m: t(m, Column("n", posint(*arguments, **options)))


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(
        f"domain.{name}",
        before,
        after,
        **{"rows": ROWS, "checks": (kept("select n::text from t", "5"),), **options},
    )


def shared(m: MetaData, *, second: bool = True) -> None:
    domain = posint()
    t(m, Column("n", domain))
    if second:
        t(m, Column("n", domain, nullable=False, server_default="1"), name="u")


SAID = (DOMAIN("said", Text, default="none"),)


def plain(kind: Any) -> Models:
    return lambda m: t(m, Column("n", kind))


def having_default(**options: Any) -> Models:
    return lambda m: t(m, Column("n", posint(**options), server_default="3"))


def filled(**options: Any) -> Models:
    """Return models with a new column whose rows get values of the others, and not its domain's default."""
    column = {"info": {"backfill": "'row ' || id"}, **options}
    return lambda m: t(m, Column("n", *SAID), Column("new", *SAID, **column))


def volatile(name: str, **options: Any) -> Kind:
    """Return a kind with a new column whose domain gives each row another value."""
    domain = DOMAIN("u", Uuid, default=text("gen_random_uuid()"), **options)
    return Kind(
        f"domain.{name}",
        lambda m: t(m, Column("n", domain)),
        lambda m: t(m, Column("n", domain), Column("new", domain)),
        rows=("insert into t select generate_series(1, 3)",),
        checks=(
            check("select count(distinct new) from t where new is not null", up=3),
            check("insert into t (id) values (4) returning new is not null", up=True),
        ),
    )


ZERO = {"base": BigInteger, "check": None, "default": text("0")}


def in_array(check: str, name: str = "e") -> Models:
    return lambda m: t(m, Column("d", ARRAY(DOMAIN(name, Text, check=check))))


def over_in_array(check: str) -> Models:
    """Return models of an array of a domain that is made of another one, which has a check."""

    class Below(UserDefinedType[str]):
        def get_col_spec(self, **_: object) -> str:
            return "below"

    def made(m: MetaData) -> None:
        first(m, f"create domain below as text check ({check})")
        t(m, Column("d", ARRAY(DOMAIN("top", Below()))))

    return made


KINDS = [
    Kind("domain.create_with_table", nothing, having(), listed=True),
    Kind("domain.drop_with_table", having(), nothing, rows=ROWS, x=("drop=t",), listed=True),
    Kind("domain.add_column", t, having()),
    Kind("domain.drop_column", having(), t, rows=ROWS),
    change("change_check", having(), having(check="VALUE > 1"), listed=True),
    change("drop_check", having(), having(check=None)),
    change("add_check", having(check=None), having()),
    change("rename_check", having(constraint_name="a"), having(constraint_name="b")),
    change("check_same_written_otherwise", having(check="VALUE>0"), having(check="(VALUE > 0)")),
    change("add_default", having(), having(default="7")),
    change("change_default", having(default="6"), having(default="7")),
    change("drop_default", having(default="6"), having()),
    change("add_not_null", having(), having(not_null=True)),
    change("drop_not_null", having(not_null=True), having()),
    change("change_base", having(), having("posint", Numeric(10, 0)), x=("rewrite=t.n",)),
    change("rename", having(), having("positive")),
    change("int_to_domain", lambda m: t(m, Column("n", Integer)), having(), listed=True),
    change("domain_to_int", having(), lambda m: t(m, Column("n", Integer))),
    change(
        "text_to_domain",
        lambda m: t(m, Column("n", Text)),
        lambda m: t(m, Column("n", posint(), info={"using": "n::integer"})),
        rows=("insert into t (n) values ('5')",),
        x=("rewrite=t.n",),
    ),
    change("of_the_same_base_with_default", plain(BigInteger), having(**ZERO)),
    change("of_another_base_with_default", plain(Integer), having(**ZERO)),
    change("with_default_and_columns_own", plain(Integer), having_default(**ZERO)),
    change("with_default_to_base", having(**ZERO), plain(BigInteger)),
    change("with_default_to_another", having(**ZERO), plain(Integer)),
    Kind(
        "domain.with_default_and_backfill",
        lambda m: t(m, Column("n", *SAID)),
        filled(),
        rows=("insert into t default values",),
        checks=(
            check("select new::text from t", up="row 1"),
            check("insert into t default values returning new::text", up="none"),
        ),
    ),
    Kind(
        "domain.with_default_and_backfill_required",
        lambda m: t(m, Column("n", *SAID)),
        filled(nullable=False, server_default="x"),
        rows=("insert into t default values",),
        checks=(
            check("select new::text from t", up="row 1"),
            check("insert into t default values returning new::text", up="x"),
        ),
    ),
    volatile("volatile_default"),
    volatile("volatile_default_and_check", check="VALUE <> '00000000-0000-0000-0000-000000000000'"),
    volatile("volatile_default_and_not_null", not_null=True),
    Kind(
        "domain.required_without_value",
        plain(Integer),
        lambda m: t(m, Column("n", Integer), Column("new", posint(not_null=True))),
        rows=ROWS,
        refusal=r"Column t\.new is required.*server_default",
    ),
    Kind(
        "domain.required_and_backfill",
        plain(Integer),
        lambda m: t(m, Column("n", Integer), Column("new", posint(not_null=True), info={"backfill": "n"})),
        rows=ROWS,
        refusal=r"domain posint refuses NULL.*server_default",
    ),
    change("shared_drop_one", shared, lambda m: shared(m, second=False), x=("drop=u",)),
    change("shared_add_one", lambda m: shared(m, second=False), shared),
    Kind(
        "domain.regular_expression",
        t,
        lambda m: t(m, Column("zip", DOMAIN("zip", Text, check=r"VALUE ~ '^\d{5}(-\d{4})?$'"))),
        rows=("insert into t default values",),
    ),
    Kind("domain.collation", t, lambda m: t(m, Column("s", DOMAIN("cs", Text, collation="C")))),
    Kind(
        "domain.of_varchar",
        t,
        lambda m: t(m, Column("s", DOMAIN("short", String(5), not_null=True, default="x"))),
    ),
    Kind(
        "domain.of_array",
        t,
        lambda m: t(m, Column("s", DOMAIN("ints", ARRAY(Integer), check="array_length(VALUE, 1) < 4"))),
    ),
    Kind("domain.in_schema", nothing, having(schema="billing"), prepare=("create schema billing",)),
    Kind(
        "domain.in_schema_change",
        having(schema="billing"),
        having(schema="billing", check="VALUE > 1"),
        prepare=("create schema billing",),
        rows=ROWS,
    ),
    Kind("domain.odd_name", t, having('Pos"int 100% :x', constraint_name='Chec"k 100%')),
    Kind(
        "domain.with_column_default_and_check",
        having(),
        lambda m: t(m, Column("n", posint(check="VALUE > 2"), server_default="3", nullable=False)),
        rows=ROWS,
        checks=(check("insert into t default values returning n::int", up=3),),
    ),
    Kind(
        "domain.in_array_check",
        in_array("VALUE <> 'a'"),
        in_array("VALUE <> 'b'"),
        rows=("insert into t (d) values ('{x}')",),
        refusal=r"t\.d is an array of it.*another name",
    ),
    Kind(
        "domain.in_array_of_one_that_is_made_of_it",
        over_in_array("VALUE <> 'a'"),
        over_in_array("VALUE <> 'b'"),
        rows=("insert into t (d) values ('{c}')",),
        refusal=r"t\.d is an array of top, which is made of it",
    ),
    Kind(
        "domain.in_array_another",
        in_array("VALUE <> 'a'"),
        in_array("VALUE <> 'b'", "e_2"),
        rows=("insert into t (d) values ('{x}')",),
        checks=(kept("select d::text from t", "{x}"),),
    ),
]
