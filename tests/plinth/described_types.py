"""PostgreSQL's types as a description: how a model writes one, and values, defaults and checks that fit it.

Every type has three values. Row number i of every table holds value number i of each of its columns' types:
a foreign key between columns of one type always finds its row, and a unique column never holds a value twice.
"""

from dataclasses import dataclass

ORDERED = ("btree", "brin")
HASHED = ("btree", "hash", "brin")


@dataclass(frozen=True)
class Scalar:
    """A type that the database knows by itself.

    Args:
        group: types of one group are cast to one another without losing any of the three values.
        source: how a model writes it, in Python.
        sql: how SQL writes it.
        values: three literals.
        defaults: what `server_default=` may be, in Python; each passes all checks.
        checks: conditions that the values, the defaults and NULL pass; `{c}` is the column.
        expressions: what an index may hold in place of the column.
        computed: expressions of a generated column, and the type of each.
        methods: index methods that take it, the first is the usual one; none for a type that no index takes.
        opclasses: index method and operator class other than the method's default.
        distinct: the three values differ, so the column can be a key.
    """

    group: str
    source: str
    sql: str
    values: tuple[str, str, str]
    defaults: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    computed: tuple[tuple[str, str], ...] = ()
    methods: tuple[str, ...] = ORDERED
    opclasses: tuple[tuple[str, str], ...] = ()
    distinct: bool = True


@dataclass(frozen=True)
class EnumOf:
    """A column's use of an enum.

    Args:
        key: the enum's key in its model.
        form: the type itself, an array of it, or text with a CHECK in its place.
    """

    key: int
    form: str = "native"


@dataclass(frozen=True)
class DomainOf:
    """A column's use of a domain.

    Args:
        key: the domain's key in its model.
    """

    key: int


Type = Scalar | EnumOf | DomainOf


def whole(source: str, sql: str) -> Scalar:
    """Return a type of whole numbers."""
    return Scalar(
        "integer",
        source,
        sql,
        ("1", "2", "3"),
        defaults=('"1"', 'sa.text("2")', 'sa.text("1 + 1")', 'sa.text("abs(-3)")'),
        checks=("{c} > 0", "{c} >= 1 AND {c} < 100000", "{c} NOT IN (-1, -2)", "{c} <> 0 OR {c} IS NULL"),
        expressions=("({c} + 1)", "({c} % 10)", "abs({c})"),
        computed=(("{c} * 2", "bigint"), ("{c} + 1", "bigint"), ("({c})::text", "text")),
        methods=HASHED,
    )


def exact(source: str, sql: str, group: str = "decimal") -> Scalar:
    """Return a type of decimal numbers."""
    return Scalar(
        group,
        source,
        sql,
        ("1.5", "2.5", "3.5"),
        defaults=('"1.5"', 'sa.text("2.5")', 'sa.text("1 + 0.5")'),
        checks=("{c} > 0", "{c} BETWEEN 0.5 AND 100000"),
        expressions=("round({c})",),
        computed=(("{c} * 2", "numeric"),),
        methods=HASHED,
    )


def words(source: str, sql: str, opclass: str = "text_pattern_ops") -> Scalar:
    """Return a type of text."""
    return Scalar(
        "text",
        source,
        sql,
        ("'w1'", "'w2'", "'w3'"),
        defaults=('"x"', '"it\'s"', '"50%"', '"a:b"', "sa.text(\"'X'\")", "sa.text(\"upper('x')\")"),
        checks=(
            "length({c}) > 0",
            "{c} <> ''",
            "{c} <> '100%' AND {c} <> 'q:v'",
            "{c} NOT IN ('no', 'it''s not')",
            "{c} NOT LIKE '!%'",
        ),
        expressions=("lower({c})", "({c} || ':')", "left({c}, 5)"),
        computed=(("upper({c})", "text"), ("{c} || '%'", "text"), ("length({c})", "integer")),
        methods=HASHED,
        opclasses=(("btree", opclass),) if opclass else (),
    )


def moment(source: str, sql: str) -> Scalar:
    """Return a type of a day and its time; without a zone in the values, the session's goes both ways."""
    return Scalar(
        "timestamp",
        source,
        sql,
        ("'2026-01-01 12:00:00'", "'2026-01-02 12:00:00'", "'2026-01-03 12:00:00'"),
        defaults=("sa.func.now()", 'sa.text("clock_timestamp()")', 'sa.text("CURRENT_TIMESTAMP")'),
        checks=("{c} > '2000-01-01'",),
    )


def array(element: str, sql: str, values: tuple[str, str, str]) -> Scalar:
    """Return an array of a type."""
    return Scalar(
        f"{sql} array",
        f"pg.ARRAY({element})",
        f"{sql}[]",
        values,
        defaults=("sa.text(\"'{}'\")", f'sa.text("ARRAY[]::{sql}[]")'),
        checks=("cardinality({c}) >= 0", "array_position({c}, NULL) IS NULL"),
        methods=("gin", "btree"),
    )


def ranges(name: str, subtype_values: tuple[str, str, str]) -> Scalar:
    """Return a range type, whose values don't overlap."""
    return Scalar(
        name.lower(),
        f"pg.{name}()",
        name.lower(),
        subtype_values,
        defaults=('"empty"', f"sa.text(\"'empty'::{name.lower()}\")"),
        checks=("NOT upper_inf({c})", "lower_inc({c}) OR isempty({c})"),
        methods=("gist", "btree"),
    )


INTEGER = whole("sa.Integer()", "integer")
BIGINT = whole("sa.BigInteger()", "bigint")
SMALLINT = whole("sa.SmallInteger()", "smallint")
NUMERIC = exact("sa.Numeric()", "numeric", "any decimal")
TEXT = words("sa.Text()", "text")
VARCHAR = words("sa.String()", "varchar", "varchar_pattern_ops")
JSON = Scalar(
    "json",
    "sa.JSON()",
    "json",
    ("""'{"a": 1}'""", """'{"a": 2}'""", """'{"a": 3}'"""),
    defaults=('"{}"', "sa.text(\"'{}'\")", "sa.text(\"json_build_object('a', 1)\")"),
    checks=("json_typeof({c}) = 'object'",),
    methods=(),
    distinct=False,
)
JSONB = Scalar(
    "json",
    "pg.JSONB()",
    "jsonb",
    JSON.values,
    defaults=('"{}"', "sa.text(\"'{}'\")", "sa.text(\"'{}'::jsonb\")", 'sa.text("\'{\\"a\\"\\\\: [1]}\'")'),
    checks=("jsonb_typeof({c}) = 'object'",),
    expressions=("({c} -> 'a')",),
    computed=(("({c} ->> 'a')", "text"),),
    methods=("gin", "btree"),
    opclasses=(("gin", "jsonb_path_ops"),),
)
INT4RANGE = ranges("INT4RANGE", ("'[1,5)'", "'[11,15)'", "'[21,25)'"))

SCALARS = (
    INTEGER,
    TEXT,
    words("sa.String(20)", "varchar(20)", "varchar_pattern_ops"),
    BIGINT,
    SMALLINT,
    words("sa.String(40)", "varchar(40)", "varchar_pattern_ops"),
    VARCHAR,
    words("sa.CHAR(10)", "char(10)", "bpchar_pattern_ops"),
    words('sa.String(20, collation="C")', "varchar(20)", ""),
    words('sa.Text(collation="ucs_basic")', "text", ""),
    Scalar(
        "boolean",
        "sa.Boolean()",
        "boolean",
        ("true", "false", "true"),
        defaults=("sa.true()", 'sa.text("false")', '"t"', 'sa.text("(NOT true)")'),
        checks=("{c} OR NOT {c}", "{c} IS NOT NULL OR {c} IS NULL"),
        methods=("btree",),
        distinct=False,
    ),
    exact("sa.Numeric(10, 2)", "numeric(10,2)"),
    exact("sa.Numeric(12, 4)", "numeric(12,4)"),
    NUMERIC,
    Scalar("float", "sa.REAL()", "real", ("1.5", "2.5", "3.5"), ('"1.5"',), ("{c} > 0",)),
    Scalar(
        "float", "sa.Double()", "double precision", ("1.5", "2.5", "3.5"), ('sa.text("1e2")',), ("{c} > 0",)
    ),
    Scalar(
        "date",
        "sa.Date()",
        "date",
        ("'2026-01-01'", "'2026-01-02'", "'2026-01-03'"),
        defaults=('sa.text("CURRENT_DATE")', '"2026-02-03"', "sa.text(\"'2026-02-03'::date\")"),
        checks=("{c} > '2000-01-01'", "{c} > DATE '2000-01-01' + 1"),
        computed=(("EXTRACT(year FROM {c})", "integer"),),
    ),
    moment("sa.DateTime()", "timestamp"),
    moment("sa.DateTime(timezone=True)", "timestamptz"),
    moment("pg.TIMESTAMP(precision=0)", "timestamp(0)"),
    moment("pg.TIMESTAMP(timezone=True, precision=3)", "timestamptz(3)"),
    Scalar("time", "sa.Time()", "time", ("'10:00'", "'11:00'", "'12:00'"), ('"09:30"',)),
    Scalar("interval", "sa.Interval()", "interval", ("'1 day'", "'2 days'", "'3 days'"), ('"1 hour"',)),
    Scalar(
        "interval",
        'pg.INTERVAL(fields="DAY TO SECOND", precision=3)',
        "interval day to second(3)",
        ("'1 day'", "'2 days'", "'3 days'"),
        ("sa.text(\"'01\\\\:00\\\\:00'::interval\")",),
    ),
    JSON,
    JSONB,
    Scalar(
        "uuid",
        "sa.Uuid()",
        "uuid",
        tuple(f"'00000000-0000-0000-0000-00000000000{n}'" for n in (1, 2, 3)),  # type: ignore[arg-type]
        defaults=('sa.text("gen_random_uuid()")',),
        methods=("btree", "hash"),
    ),
    Scalar(
        "bytea",
        "sa.LargeBinary()",
        "bytea",
        (r"'\x01'", r"'\x02'", r"'\x03'"),
        defaults=("sa.text(r\"'\\x00'::bytea\")",),
        checks=("octet_length({c}) > 0",),
    ),
    array("sa.Integer()", "integer", ("'{1}'", "'{2,3}'", "'{4}'")),
    array("sa.Text()", "text", ("'{a}'", "'{b,c}'", "'{d}'")),
    array("sa.Numeric(10, 2)", "numeric(10,2)", ("'{1.5}'", "'{2.5}'", "'{3.5}'")),
    INT4RANGE,
    ranges("NUMRANGE", ("'[1.5,2)'", "'[2.5,3)'", "'[3.5,4)'")),
    ranges("DATERANGE", tuple(f"'[2026-0{n}-01,2026-0{n}-05)'" for n in (1, 2, 3))),  # type: ignore[arg-type]
    ranges("TSTZRANGE", tuple(f'\'["2026-0{n}-01 00:00+00","2026-0{n}-05 00:00+00")\'' for n in (1, 2, 3))),  # type: ignore[arg-type]
    Scalar(
        "multirange",
        "pg.INT4MULTIRANGE()",
        "int4multirange",
        ("'{[1,5)}'", "'{[11,15)}'", "'{}'"),
        methods=("gist", "btree"),
    ),
    Scalar("inet", "pg.INET()", "inet", ("'10.0.0.1'", "'10.0.0.2'", "'10.0.0.3'"), ('"127.0.0.1"',)),
    Scalar("cidr", "pg.CIDR()", "cidr", ("'10.1.0.0/16'", "'10.2.0.0/16'", "'10.3.0.0/16'")),
    Scalar("bit", "pg.BIT(4)", "bit(4)", ("'0001'", "'0010'", "'0011'"), ("sa.text(\"B'0000'\")",)),
    Scalar("varbit", "pg.BIT(8, varying=True)", "varbit(8)", ("'01'", "'10'", "'11'"), methods=("btree",)),
    Scalar(
        "tsvector",
        "pg.TSVECTOR()",
        "tsvector",
        ("'a'", "'b'", "'c'"),
        methods=("gin", "gist"),
        distinct=False,
    ),
    Scalar("macaddr", "pg.MACADDR()", "macaddr", tuple(f"'08:00:2b:01:02:0{n}'" for n in (1, 2, 3))),  # type: ignore[arg-type]
)

# Text that spells a value of another type can become that type. (A time with its zone is spelled as the
# session likes, and a float or a bit string by rules of its own.)
SPELLED = tuple(
    scalar
    for scalar in SCALARS
    if scalar.group in {"integer", "decimal", "any decimal", "date", "uuid", "json", "inet", "boolean"}
)
ROOMY = (TEXT, VARCHAR)
BY_SQL = {scalar.sql: scalar for scalar in (INTEGER, BIGINT, NUMERIC, TEXT)}

# A condition on two columns of any types.
ANY_TWO = "num_nonnulls({a}, {b}) >= 0"
NOT_NULL = "{c} IS NOT NULL"
ONE_OF_LABELS = "{c} IN ({labels})"
