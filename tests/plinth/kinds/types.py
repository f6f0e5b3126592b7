"""Types of columns: every family, with rows that have to come along."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Unicode,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from tests.plinth.kinds.kind import Kind, check, kept, nothing, t

EVERY_TYPE: dict[str, Any] = {
    "small": SmallInteger,
    "integer": Integer,
    "big": BigInteger,
    "numeric": Numeric,
    "numeric_10": Numeric(10),
    "numeric_10_2": Numeric(10, 2),
    "real": pg.REAL,
    "float_53": Float(53),
    "double": Double,
    "money": pg.MONEY,
    "char_3": pg.CHAR(3),
    "varchar": String,
    "varchar_9": String(9),
    "unicode_9": Unicode(9),
    "string_c": String(9, collation="C"),
    "text": Text,
    "bytea": LargeBinary,
    "boolean": Boolean,
    "date": Date,
    "time": Time,
    "timetz_3": pg.TIME(timezone=True, precision=3),
    "timestamp": DateTime,
    "timestamptz": DateTime(timezone=True),
    "timestamp_0": pg.TIMESTAMP(precision=0),
    "interval": Interval,
    "interval_day": pg.INTERVAL(fields="DAY TO SECOND", precision=3),
    "uuid": Uuid,
    "json": JSON,
    "jsonb": pg.JSONB,
    "jsonpath": pg.JSONPATH,
    "inet": pg.INET,
    "cidr": pg.CIDR,
    "macaddr": pg.MACADDR,
    "macaddr8": pg.MACADDR8,
    "bit_4": pg.BIT(4),
    "varbit": pg.BIT(varying=True),
    "varbit_8": pg.BIT(8, varying=True),
    "tsvector": pg.TSVECTOR,
    "tsquery": pg.TSQUERY,
    "oid": pg.OID,
    "regclass": pg.REGCLASS,
    "regconfig": pg.REGCONFIG,
    "int4range": pg.INT4RANGE,
    "int8range": pg.INT8RANGE,
    "numrange": pg.NUMRANGE,
    "daterange": pg.DATERANGE,
    "tsrange": pg.TSRANGE,
    "tstzrange": pg.TSTZRANGE,
    "int4multirange": pg.INT4MULTIRANGE,
    "tstzmultirange": pg.TSTZMULTIRANGE,
    "texts": ARRAY(Text),
    "numerics": pg.ARRAY(Numeric(8, 3)),
    "matrix": pg.ARRAY(Integer, dimensions=2),
    "moods": pg.ARRAY(Enum("sad", "glad", name="mood")),
    "mood": Enum("sad", "glad", name="mood"),
    "posint": pg.DOMAIN("posint", Integer, check="VALUE > 0"),
    "short": Enum("x", "yy", native_enum=False, length=7, name="short"),
}


def every_type(m: MetaData, *left_out: str) -> None:
    mood = Enum("sad", "glad", name="mood")
    own = {"mood": mood, "moods": pg.ARRAY(mood)}
    columns = {name: own.get(name, kind) for name, kind in EVERY_TYPE.items() if name not in left_out}
    t(m, *(Column(name, _anew(kind)) for name, kind in columns.items()))


def _anew(kind: Any) -> Any:
    return kind.copy() if isinstance(kind, pg.DOMAIN) else kind  # type: ignore[no-untyped-call]


def change(name: str, old: Any, new: Any, *values: str, **options: Any) -> Kind:
    """Return the change of a column's type, over rows with these values (SQL).

    Two words in `options` are the model's: how values are converted, and how on the way back.
    """
    info = {word: options.pop(word) for word in ("using", "using_back") if word in options}
    return Kind(
        f"type.{name}",
        lambda m: t(m, Column("d", _anew(old))),
        lambda m: t(m, Column("d", _anew(new), info=info)),
        rows=tuple(f"insert into t (d) values ({value})" for value in values),  # noqa: S608
        checks=options.pop("checks", (kept("select count(d) from t", len(values)),)),
        **options,
    )


def both(sql: str, up: object, down: object) -> tuple[Any, ...]:
    return (check(sql, up, down),)


REWRITE = {"x": ("rewrite=t.d",)}


def indexed(m: MetaData, kind: Any) -> None:
    Index("ix_low", func.lower(t(m, Column("d", kind)).c.d), unique=True)


def _big_key(m: MetaData) -> None:
    Table("t", m, Column("id", BigInteger, primary_key=True), Column("name", Text))


def _with_dependents(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("n", kind, nullable=False, server_default="3", comment="a number"),
        Column("s", Text),
        CheckConstraint("n > 0", name="positive"),
        UniqueConstraint("n", "s"),
        Index("ix_expression", text("(n + 1)")),
        Index("ix_partial", "s", postgresql_where=text("n > 5")),
        Index("ix_include", "s", postgresql_include=["n"]),
    )


def _generated(m: MetaData, kind: Any, base: Any = Integer) -> None:
    t(m, Column("n", base), Column("d", kind, Computed("n * 2", persisted=True)))


LONG = "ix_" + "a_name_as_long_as_postgresql_lets_it_be" * 2


def _taken_names(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("n", kind, nullable=False, server_default="3"),
        Column("n_new", Text),
        Column("n_old", Text),
        Index(f"{LONG[:62]}a", "n"),
        Index(f"{LONG[:62]}b", text("n DESC"), "n_new"),
        Index("ix_n_new", "n_new"),
        CheckConstraint("n <> 5", name="not_five"),
        UniqueConstraint("n", "n_old"),
    )


def _two_columns(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("a", kind, nullable=False),
        Column("b", kind),
        Index("ix_both", "a", "b"),
        CheckConstraint("a < b", name="in_order"),
        UniqueConstraint("a", "b"),
    )


def _refusing_null(m: MetaData, kind: Any) -> None:
    t(m, Column("n", kind), CheckConstraint("n IS NOT NULL AND n > 0", name="there"))


def _named_like_a_function(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("lower", kind),
        Column('my "col" %:x', kind),
        Index("ix_lower", text("lower(lower)")),
        Index("ix_odd", text(r"""lower("my ""col"" %\:x")"""), postgresql_where=text("lower <> 'lower'")),
        CheckConstraint("lower <> 'lower(lower)'", name="not_so"),
    )


def _uniques(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("n", kind, comment="a number"),
        Column("s", Text),
        UniqueConstraint("n", postgresql_include=["s"]),
        UniqueConstraint("s", postgresql_include=["n"], name="other"),
        UniqueConstraint("n", "s", deferrable=True, initially="DEFERRED", name="late"),
        Index("one", "s", "n", unique=True),
    )


def _nulls_not_distinct(m: MetaData, kind: Any) -> None:
    t(
        m,
        Column("n", kind),
        Column("s", Text),
        UniqueConstraint("n", "s", postgresql_nulls_not_distinct=True),
        Index("one", "n", unique=True, postgresql_nulls_not_distinct=True, postgresql_where=text("id > 0")),
    )


def _unique_expression(m: MetaData, kind: Any) -> None:
    t(m, Column("s", kind), Index("one", text("coalesce(s, '')"), unique=True))


def _of_year(m: MetaData, kind: Any) -> None:
    said = CheckConstraint("extract(year from day) = year", name="of_day")
    t(m, Column("year", kind), Column("day", Date), said)


def _two(kind: Any, **info: str) -> Any:
    return lambda m: t(m, Column("a", kind), Column("b", kind, info=info))


KINDS = [
    Kind(
        "type.column_called_as_a_part_of_a_date",
        lambda m: _of_year(m, Integer),
        lambda m: _of_year(m, BigInteger),
        rows=("insert into t (year, day) values (2020, '2020-02-03')",),
    ),
    Kind(
        "type.using_names_another_that_changes",
        _two(Integer),
        _two(BigInteger, using="b + a", using_back="b - a"),
        rows=("insert into t (a, b) values (1, 2)",),
        refusal=r"names a, which gets another type in the same change",
    ),
    Kind("type.every_type_added", nothing, every_type),
    Kind("type.every_type_dropped", every_type, nothing, x=("drop=t",)),
    Kind("type.every_type_column_added", t, every_type),
    Kind("type.every_type_column_dropped", every_type, t),
    change("narrow_varchar_rows_fit", String(50), String(20), "'abc'", listed=True, **REWRITE),
    change("narrow_varchar_rows_dont_fit", String(50), String(2), "'abc'", refusal="1 row of t would lose"),
    change("narrow_varchar_by_word", String(50), String(2), "'abc'", using="left(d, 2)", keeps_rows=False),
    change("narrow_text", Text, String(5), "'a b  '", **REWRITE),
    change("narrow_array", pg.ARRAY(String(9)), pg.ARRAY(String(5)), "'{abc}'", **REWRITE),
    change("fewer_decimals", Numeric(10, 4), Numeric(10, 2), "1.25", refusal="rounds or cuts values"),
    change("fewer_decimals_by_word", Numeric(10, 4), Numeric(10, 2), "1.25", using="round(d, 2)", **REWRITE),
    change("int_to_uuid_unsaid", Integer, Uuid, "1", refusal="no cast from integer to uuid.*using.: .…."),
    change("text_to_jsonb_unsaid", Text, pg.JSONB, "'5'", refusal="PostgreSQL doesn't do that by itself"),
    change(
        "text_to_jsonb_string",
        Text,
        pg.JSONB,
        "'5'",
        using="to_jsonb(d)",
        using_back="d #>> '{}'",
        checks=both("select d::text from t", '"5"', "5"),
        **REWRITE,
    ),
    change("text_to_jsonb_no_way_back", Text, pg.JSONB, using="to_jsonb(d)", refusal="using_back"),
    change("timestamp_without_zone", DateTime, DateTime(timezone=True), refusal="depends on the session"),
    change(
        "timestamp_in_a_zone",
        DateTime,
        DateTime(timezone=True),
        "'2024-02-29 12:00'",
        using="d AT TIME ZONE 'Asia/Tokyo'",
        checks=(
            check("select d = '2024-02-29 03:00Z' from t", up=True),
            check("select d::text from t", down="2024-02-29 12:00:00"),
        ),
        **REWRITE,
    ),
    change("widen_varchar", String(20), String(50), "'abc'"),
    change("varchar_to_text", String(20), Text, "'abc'", listed=True),
    change("text_to_varchar", Text, String(20), "'abc'", **REWRITE),
    change("varchar_to_unlimited", String(20), String, "'abc'"),
    change("varchar_to_char", String(20), pg.CHAR(5), "'abc'", using="rtrim(d)", **REWRITE),
    change("char_to_text", pg.CHAR(5), Text, "'abc'", **REWRITE),
    Kind(
        "type.pk_int_to_bigint",
        lambda m: t(m, Column("name", Text)),
        _big_key,
        rows=("insert into t (name) values ('a'), ('b')",),
        checks=(
            kept("select sum(id) from t", 3),
            check("insert into t (name) values ('c') returning id", up=3, down=4),
        ),
        listed=True,
        x=("rewrite=t.id",),
    ),
    Kind(
        "type.pk_int_to_bigint_and_back_with_fk",
        lambda m: (t(m, Column("name", Text)), t(m, Column("t_id", Integer, ForeignKey("t.id")), name="u")),
        lambda m: (_big_key(m), t(m, Column("t_id", BigInteger, ForeignKey("t.id")), name="u")),
        rows=("insert into t (name) values ('a')", "insert into u (t_id) values (1)"),
        checks=(kept("select sum(t_id) from u", 1),),
        x=("rewrite=t.id", "rewrite=u.t_id"),
    ),
    change("int_to_bigint", Integer, BigInteger, "1", **REWRITE),
    Kind(
        "type.of_columns_named_as_keywords",
        lambda m: t(m, Column("by", Integer), Column("loop", Integer, Computed("by + 1", persisted=False))),
        lambda m: t(
            m,
            Column("by", BigInteger),
            Column("loop", Integer, Computed("by + 1", persisted=False)),
            Column("while", Text, nullable=False, info={"backfill": "'b' || by"}),
        ),
        rows=("insert into t (by) values (1)",),
        checks=(kept("select max(by) from t", 1),),
        server=18,
    ),
    change("bigint_to_int", BigInteger, Integer, "1", **REWRITE),
    change("smallint_to_int", SmallInteger, Integer, "1", **REWRITE),
    change("int_to_numeric", Integer, Numeric(10, 2), "1", **REWRITE),
    change("numeric_to_int", Numeric(10, 2), Integer, "7.00", using="d::integer", **REWRITE),
    change("numeric_scale", Numeric(10, 2), Numeric(12, 4), "1.25", **REWRITE),
    change("numeric_precision", Numeric(10, 2), Numeric(12, 2), "1.25"),
    change("numeric_to_unlimited", Numeric(10, 2), Numeric, "1.25"),
    change("numeric_to_double", Numeric(10, 2), Double, "1.25", **REWRITE),
    change("real_to_double", pg.REAL, Double, "1.25", **REWRITE),
    change("int_to_text", Integer, Text, "12", checks=both("select d::text from t", "12", "12"), **REWRITE),
    change(
        "text_to_int",
        Text,
        Integer,
        "'12'",
        checks=both("select d::text from t", "12", "12"),
        using="d::integer",
        **REWRITE,
    ),
    change(
        "int_to_boolean",
        Integer,
        Boolean,
        "1",
        "0",
        checks=both("select count(*) from t where d::int = 1", 1, 1),
        using="d::boolean",
        using_back="d::integer",
        **REWRITE,
    ),
    change(
        "boolean_to_int",
        Boolean,
        Integer,
        "true",
        "false",
        checks=both("select count(*) from t where d::int = 1", 1, 1),
        using="d::integer",
        using_back="d::boolean",
        **REWRITE,
    ),
    change(
        "boolean_to_text",
        Boolean,
        Text,
        "true",
        checks=both("select d::text from t", "true", "true"),
        **REWRITE,
    ),
    change(
        "text_to_boolean",
        Text,
        Boolean,
        "'true'",
        checks=both("select d::text from t", "true", "true"),
        using="d::boolean",
        **REWRITE,
    ),
    change("text_to_uuid", Text, Uuid, "'6f1e4f2c-0000-4000-8000-000000000001'", using="d::uuid", **REWRITE),
    change("uuid_to_text", Uuid, Text, "'6f1e4f2c-0000-4000-8000-000000000001'", **REWRITE),
    change(
        "text_to_date",
        Text,
        Date,
        "'2024-02-29'",
        checks=both("select d::text from t", "2024-02-29", "2024-02-29"),
        using="d::date",
        using_back="d::text",
        **REWRITE,
    ),
    change(
        "date_to_timestamp",
        Date,
        DateTime,
        "'2024-02-29'",
        checks=both("select d::date::text from t", "2024-02-29", "2024-02-29"),
        **REWRITE,
    ),
    change("timestamp_to_date", DateTime, Date, "'2024-02-29'", using="d::date", **REWRITE),
    change(
        "timestamp_to_timestamptz",
        DateTime,
        DateTime(timezone=True),
        "'2024-02-29 12:00'",
        listed=True,
        using="d AT TIME ZONE 'UTC'",
        **REWRITE,
    ),
    change(
        "timestamp_precision", DateTime, pg.TIMESTAMP(precision=0), "'2024-02-29 12:00'", using="d", **REWRITE
    ),
    change(
        "time_to_timetz",
        Time,
        Time(timezone=True),
        "'12:00'",
        using="d::timetz",
        using_back="d::time",
        **REWRITE,
    ),
    change(
        "text_to_interval", Text, Interval, "'01:00:00'", using="d::interval", using_back="d::text", **REWRITE
    ),
    change(
        "interval_fields", Interval, pg.INTERVAL(fields="HOUR TO MINUTE"), "'01:00'", using="d", **REWRITE
    ),
    change("interval_without_fields", pg.INTERVAL(fields="HOUR TO MINUTE"), Interval, "'01:00'"),
    change(
        "text_to_interval_precision",
        Text,
        pg.INTERVAL(precision=2),
        "'1 day'",
        using="d::interval",
        using_back="d::text",
        **REWRITE,
    ),
    change("json_to_jsonb", JSON, pg.JSONB, """'{"a": 1}'""", using="d::jsonb", listed=True, **REWRITE),
    change("jsonb_to_json", pg.JSONB, JSON, """'{"a": 1}'""", listed=True, **REWRITE),
    change("text_to_jsonb", Text, pg.JSONB, """'{"a": 1}'""", using="d::jsonb", **REWRITE),
    change("jsonb_to_text", pg.JSONB, Text, """'{"a": 1}'""", **REWRITE),
    change("text_to_bytea", Text, LargeBinary, "'abc'", using="d::bytea", **REWRITE),
    change("bytea_to_text", LargeBinary, Text, r"'\x616263'", **REWRITE),
    change("text_to_inet", Text, pg.INET, "'10.0.0.1/32'", using="d::inet", **REWRITE),
    change("inet_to_cidr", pg.INET, pg.CIDR, "'10.0.0.0/24'", using="d", **REWRITE),
    change("macaddr_to_macaddr8", pg.MACADDR, pg.MACADDR8, "'08:00:2b:01:02:03'", **REWRITE),
    change(
        "bit_length", pg.BIT(4), pg.BIT(8), "B'1010'", using="d::bit(8)", using_back="d::bit(4)", **REWRITE
    ),
    change("bit_to_varbit", pg.BIT(4), pg.BIT(varying=True), "B'1010'", **REWRITE),
    change("text_to_tsvector", Text, pg.TSVECTOR, "'cat'", using="d::tsvector", **REWRITE),
    change(
        "text_to_int4range",
        Text,
        pg.INT4RANGE,
        "'[1,5)'",
        using="d::int4range",
        using_back="d::text",
        **REWRITE,
    ),
    change(
        "int4range_to_int8range",
        pg.INT4RANGE,
        pg.INT8RANGE,
        "'[1,5)'",
        using="d::text::int8range",
        using_back="d::text::int4range",
        **REWRITE,
    ),
    change(
        "tsrange_to_tstzrange",
        pg.TSRANGE,
        pg.TSTZRANGE,
        "'[2024-01-01 00:00, 2024-02-01 00:00)'",
        using="tstzrange(lower(d) AT TIME ZONE 'UTC', upper(d) AT TIME ZONE 'UTC')",
        using_back="tsrange(lower(d) AT TIME ZONE 'UTC', upper(d) AT TIME ZONE 'UTC')",
        **REWRITE,
    ),
    change(
        "range_to_multirange_without_rows",
        pg.INT4RANGE,
        pg.INT4MULTIRANGE,
        using="d::int4multirange",
        using_back="range_merge(d)",
        **REWRITE,
    ),
    change(
        "numeric_to_money",
        Numeric(10, 2),
        pg.MONEY,
        "1.25",
        using="d::money",
        using_back="d::numeric",
        **REWRITE,
    ),
    change(
        "scalar_to_array",
        Text,
        pg.ARRAY(Text),
        "'a'",
        checks=(check("select d[1] from t", up="a"), check("select d from t", down="a")),
        listed=True,
        using="ARRAY[d]",
        using_back="d[1]",
        **REWRITE,
    ),
    change(
        "array_to_scalar",
        pg.ARRAY(Integer),
        Integer,
        "'{7}'",
        checks=(check("select d from t", up=7), check("select d[1] from t", down=7)),
        using="d[1]",
        using_back="ARRAY[d]",
        **REWRITE,
    ),
    change("array_elem_change", pg.ARRAY(Integer), pg.ARRAY(BigInteger), "'{1,2}'", listed=True, **REWRITE),
    change("array_elem_to_text", pg.ARRAY(Integer), pg.ARRAY(Text), "'{1,2}'", **REWRITE),
    change(
        "array_elem_change_back",
        pg.ARRAY(Text),
        pg.ARRAY(Integer),
        "'{1,2}'",
        using="d::integer[]",
        **REWRITE,
    ),
    change("array_dimensions_is_no_change", pg.ARRAY(Integer), pg.ARRAY(Integer, dimensions=2), "'{{1}}'"),
    change("float_is_double", Float, Double, "1.25"),
    change("unicode_is_varchar", Unicode(9), String(9), "'a'"),
    change("decimal_is_numeric", Numeric(10, 0), Numeric(10), "1"),
    change("collation_change", String(20), String(20, collation="C"), "'abc'", listed=True),
    change("collation_drop", Text(collation="C"), Text, "'abc'"),
    change("collation_and_length", String(20), String(30, collation="C"), "'abc'"),
    Kind(
        "type.widen_varchar_under_an_index_with_an_expression",
        lambda m: indexed(m, String(20)),
        lambda m: indexed(m, String(30)),
        rows=("insert into t (d) values ('a')",),
        checks=(kept("select lower(d) from t", "a"),),
    ),
    Kind(
        "type.collation_change_under_a_key",
        lambda m: t(m, Column("d", String(20), unique=True)),
        lambda m: t(m, Column("d", String(20, collation="C"), unique=True)),
        rows=("insert into t (d) values ('a')",),
        checks=(kept("select d from t", "a"),),
    ),
    change(
        "varchar_to_enum",
        String(20),
        Enum("new", "old", name="st"),
        "'new'",
        checks=both("select d::text from t", "new", "new"),
        listed=True,
        **REWRITE,
    ),
    change(
        "enum_to_varchar",
        Enum("new", "old", name="st"),
        String(20),
        "'new'",
        checks=both("select d::text from t", "new", "new"),
        listed=True,
        **REWRITE,
    ),
    change(
        "enum_to_text_array",
        Enum("new", "old", name="st"),
        pg.ARRAY(Text),
        "'new'",
        checks=(check("select d[1] from t", up="new"),),
        using="ARRAY[d]::text[]",
        using_back="d[1]::st",
        **REWRITE,
    ),
    change(
        "text_array_to_enum_array",
        pg.ARRAY(Text),
        pg.ARRAY(Enum("new", "old", name="st")),
        "'{new,old}'",
        checks=both("select d::text from t", "{new,old}", "{new,old}"),
        **REWRITE,
    ),
    change(
        "int_to_enum",
        Integer,
        Enum("1", "2", name="st"),
        "1",
        checks=both("select d::text from t", "1", "1"),
        using="d::text::st",
        using_back="d::text::integer",
        **REWRITE,
    ),
    change(
        "varchar_to_nonnative_enum",
        String(3),
        Enum("new", "old", name="st", native_enum=False, create_constraint=True),
        "'new'",
    ),
    change(
        "nonnative_to_native_enum",
        Enum("new", "old", name="st", native_enum=False, create_constraint=True),
        Enum("new", "old", name="st"),
        "'new'",
        checks=both("select d::text from t", "new", "new"),
        **REWRITE,
    ),
    Kind(
        "type.default_and_type_text_to_int",
        lambda m: t(m, Column("n", Text, server_default="5")),
        lambda m: t(m, Column("n", Integer, server_default="6", info={"using": "n::integer"})),
        rows=("insert into t (n) values ('7')",),
        checks=(
            kept("select n::text from t", "7"),
            check("insert into t default values returning n::text", "6", "5"),
        ),
        x=("rewrite=t.n",),
        listed=True,
    ),
    Kind(
        "type.text_to_enum_with_default",
        lambda m: t(m, Column("s", Text, nullable=False, server_default="new")),
        lambda m: t(m, Column("s", Enum("new", "old", name="st"), nullable=False, server_default="old")),
        rows=("insert into t default values",),
        checks=(kept("select s::text from t", "new"),),
        x=("rewrite=t.s",),
    ),
    Kind(
        "type.boolean_to_text_with_default",
        lambda m: t(m, Column("b", Boolean, server_default=text("false"))),
        lambda m: t(m, Column("b", Text, server_default="no")),
        rows=("insert into t (b) values (true)",),
        checks=(kept("select b::text from t", "true"),),
        x=("rewrite=t.b",),
    ),
    Kind(
        "type.default_kept_around_change",
        lambda m: t(m, Column("n", Text, server_default="5")),
        lambda m: t(m, Column("n", Integer, server_default="5", info={"using": "n::integer"})),
        rows=("insert into t default values",),
        checks=(kept("select n::text from t", "5"),),
        x=("rewrite=t.n",),
    ),
    Kind(
        "type.change_with_dependents",
        lambda m: _with_dependents(m, Integer),
        lambda m: _with_dependents(m, BigInteger),
        rows=("insert into t (n, s) values (1, 'a')",),
        x=("rewrite=t.n",),
    ),
    Kind(
        "type.text_to_int_with_index_and_check",
        lambda m: t(m, Column("n", Text, index=True), UniqueConstraint("n")),
        lambda m: t(m, Column("n", Integer, index=True, info={"using": "n::integer"}), UniqueConstraint("n")),
        rows=("insert into t (n) values ('1')",),
        checks=(kept("select n::text from t", "1"),),
        x=("rewrite=t.n",),
    ),
    Kind(
        "type.change_of_generated_column",
        lambda m: _generated(m, Integer),
        lambda m: _generated(m, BigInteger),
        rows=("insert into t (n) values (2)",),
        checks=(kept("select d from t", 4),),
        x=("rewrite=t.d",),
    ),
    Kind(
        "type.change_of_base_of_generated_column",
        lambda m: _generated(m, Integer, Integer),
        lambda m: _generated(m, Integer, SmallInteger),
        rows=("insert into t (n) values (2)",),
        checks=(kept("select d from t", 4),),
        x=("rewrite=t.n",),
    ),
    Kind(
        "type.both_sides_of_a_foreign_key",
        lambda m: (
            t(m, Column("code", String(10), unique=True), name="p"),
            t(m, Column("p", String(10), ForeignKey("p.code"))),
        ),
        lambda m: (
            t(m, Column("code", Integer, unique=True, info={"using": "code::integer"}), name="p"),
            t(m, Column("p", Integer, ForeignKey("p.code"), info={"using": "p::integer"})),
        ),
        rows=("insert into p (code) values ('5')", "insert into t (p) values ('5')"),
        checks=(kept("select p::text from t", "5"),),
        x=("rewrite=t.p", "rewrite=p.code"),
    ),
    Kind(
        "type.change_and_to_notnull",
        lambda m: t(m, Column("n", Text)),
        lambda m: t(m, Column("n", Integer, nullable=False, info={"using": "n::integer"})),
        rows=("insert into t (n) values ('5')",),
        checks=(kept("select n::text from t", "5"),),
        x=("rewrite=t.n",),
    ),
    Kind(
        "type.citext",
        lambda m: t(m, Column("s", Text)),
        lambda m: t(m, Column("s", pg.CITEXT)),
        prepare=("create extension citext",),
        rows=("insert into t (s) values ('Ab')",),
        checks=(check("select count(*) from t where s = 'aB'", up=1, down=0),),
        x=("rewrite=t.s",),
    ),
    Kind(
        "type.hstore",
        t,
        lambda m: t(
            m, Column("h", pg.HSTORE, server_default="a=>1"), Index("ix_h", "h", postgresql_using="gin")
        ),
        prepare=("create extension hstore",),
    ),
    Kind(
        "type.swap_with_taken_names",
        lambda m: _taken_names(m, Integer),
        lambda m: _taken_names(m, BigInteger),
        rows=("insert into t (n, n_new, n_old) values (1, 'a', 'b'), (2, null, null)",),
        checks=(
            kept("select string_agg(n || coalesce(n_new || n_old, '-'), ' ' order by n) from t", "1ab 2-"),
        ),
    ),
    Kind(
        "type.timestamp_of_another_column_in_utc",
        lambda m: t(m, Column("d", DateTime), Column("D", DateTime)),
        lambda m: t(
            m,
            Column("d", DateTime),
            Column("D", DateTime(timezone=True), info={"using": "d AT TIME ZONE 'UTC'"}),
        ),
        rows=("insert into t (d, \"D\") values ('2024-02-29 12:00', '2024-03-01 12:00')",),
        checks=(check("select extract(day from \"D\" at time zone 'UTC')::int from t", up=29),),
        x=("rewrite=t.D",),
    ),
    Kind(
        "type.swap_of_two_columns",
        lambda m: _two_columns(m, Integer),
        lambda m: _two_columns(m, BigInteger),
        rows=("insert into t (a, b) values (1, 2), (3, null)",),
        checks=(kept("select sum(a + coalesce(b, 0)) from t", 6),),
    ),
    Kind(
        "type.swap_under_a_check_that_refuses_null",
        lambda m: _refusing_null(m, Integer),
        lambda m: _refusing_null(m, BigInteger),
        rows=("insert into t (n) values (1), (2)",),
        checks=(check("insert into t (n) values (7) returning n", up=7, down=7),),
    ),
    Kind(
        "type.swap_of_what_is_named_like_a_function",
        lambda m: _named_like_a_function(m, Text),
        lambda m: _named_like_a_function(m, String(50)),
        rows=("""insert into t (lower, "my ""col"" %:x") values ('A', 'B')""",),
        checks=(kept("""select lower || "my ""col"" %:x" from t""", "AB"),),
    ),
    Kind(
        "type.swap_under_unique_constraints",
        lambda m: _uniques(m, Integer),
        lambda m: _uniques(m, BigInteger),
        rows=("insert into t (n, s) values (1, 'a'), (null, 'b')",),
        checks=(check("insert into t (n, s) values (7, 'c') returning n", up=7, down=7),),
    ),
    Kind(
        "type.swap_while_the_index_changes",
        lambda m: t(m, Column("n", Integer), Column("s", Text), Index("ix", "n"), Index("other", "s")),
        lambda m: t(
            m,
            Column("n", BigInteger),
            Column("s", Text),
            Index("ix", "n", postgresql_where=text("n > 0")),
            Index("other", "n", "s"),
            Index("new", text("n DESC")),
        ),
        rows=("insert into t (n) values (1), (2)",),
    ),
    Kind(
        "type.under_nulls_not_distinct",
        lambda m: _nulls_not_distinct(m, Integer),
        lambda m: _nulls_not_distinct(m, BigInteger),
        rows=("insert into t (n, s) values (1, 'a'), (2, null), (null, null)",),
        checks=(kept("select string_agg(coalesce(n::text, '-'), '' order by id) from t", "12-"),),
        server=15,
    ),
    Kind(
        "type.under_a_unique_expression",
        lambda m: _unique_expression(m, Text),
        lambda m: _unique_expression(m, String(50)),
        rows=("insert into t (s) values ('a')",),
    ),
]
