"""Statements are read as PostgreSQL reads them: it is the judge, where it can be."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from plinth import sql_text
from plinth.sql_text import Lexed, lexed, parts, plain
from tests.plinth.history import psql

MANY = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
Session = psycopg.Connection[tuple[object, ...]]

# What begins or ends something is drawn often.
_HARD = st.one_of(st.sampled_from("'\"\\$;-/*\n\r\t ()aEeéÉ%_1"), st.characters(exclude_categories=["Cs"]))
TEXTS = st.text(_HARD, max_size=12).filter(lambda text: "\0" not in text)
NAMES = st.text(_HARD, min_size=1, max_size=80).filter(lambda text: "\0" not in text)
WORDS = st.from_regex(r"[A-Za-z_ÉéΩ\xa0😀][A-Za-z0-9_$ÉéΩ\xa0😀]{0,70}", fullmatch=True)


@pytest.fixture(scope="module")
def session(server: URL) -> Iterator[Session]:
    with psql(server) as connection:
        yield connection


def in_a_row(text: str) -> str:
    return f"'{text.replace(chr(39), chr(39) * 2)}'"


def escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def in_dollars(text: str) -> str:
    return f"$é1${text}$é1$"


def on_two_lines(text: str) -> str:
    half = len(text) // 2
    return f"{in_a_row(text[:half])} -- it's\n {in_a_row(text[half:])}"


STRINGS = st.builds(
    lambda write, text: (write(text), text),
    st.sampled_from([in_a_row, escaped, in_dollars, on_two_lines]),
    TEXTS,
)
BETWEEN = st.lists(
    st.one_of(
        st.sampled_from([" ", "\n"]),
        TEXTS.map(lambda text: "-- " + text.replace("\n", "").replace("\r", "") + "\n"),
        TEXTS.map(lambda text: f"/*{text}*/"),
        TEXTS.map(lambda text: f"/* /*{text}*/ ; ' */"),
    ),
    min_size=1,
    max_size=3,
).map(lambda found: "\n" + "".join(found) + "\n")


@MANY
@given(name=NAMES)
def test_a_name_in_quotes_is_the_one_of_the_catalog(session: Session, name: str) -> None:
    [(sql, bare)] = session.execute(
        "select quote_ident(%s), quote_ident(%s)", (name, name.lower())
    ).fetchall()
    for each in (str(sql), str(bare)):
        description = session.execute(f"select 1 as {each}".encode()).description
        assert description
        tokens = lexed(f"select 1 as {each};")
        assert len(tokens.listed) == 5
        assert plain(tokens.listed[3]) == description[0].name
        assert tokens.names(description[0].name)
        assert parts(f"{each} . {each}") == [description[0].name] * 2


@MANY
@given(word=WORDS)
def test_a_name_without_quotes_is_too(session: Session, word: str) -> None:
    description = session.execute(f"select 1 as {word}".encode()).description
    assert description
    tokens = lexed(f"select 1 as {word}")
    assert plain(tokens.listed[3]) == plain(word) == description[0].name
    assert tokens.names(description[0].name)


@MANY
@given(string=STRINGS)
def test_a_string_has_its_value(session: Session, string: tuple[str, str]) -> None:
    sql, text = string
    assert session.execute(f"select {sql}".encode()).fetchone() == (text,)
    assert lexed(f"select {sql}").listed == ["select", f"'{text}"]


@MANY
@given(
    statements=st.lists(st.lists(st.tuples(STRINGS, BETWEEN, NAMES), min_size=1, max_size=3), min_size=1),
    last=st.one_of(st.just(""), BETWEEN),
)
def test_a_text_is_as_many_statements_as_postgresql_answers(
    session: Session, statements: list[list[tuple[tuple[str, str], str, str]]], last: str
) -> None:
    texts, values = [], []
    for each in statements:
        columns = [
            f'{sql}{between}as{between}"{name.replace(chr(34), chr(34) * 2)}"'
            for (sql, _), between, name in each
        ]
        texts.append(f"select{each[0][1]}{','.join(columns)}")
        values.append(tuple(text for (_, text), *_ in each))
    text = ";".join(texts) + last
    cursor = session.cursor()
    try:
        cursor.execute(text.encode())
    except psycopg.errors.SyntaxError:  # a comment that doesn't end
        assume(False)
    answers = [cursor.fetchall()]
    while cursor.nextset():
        answers.append(cursor.fetchall())
    assert answers == [[row] for row in values]
    found = lexed(text).statements
    assert [tuple(each[1:] for each in one.listed if each[0] == "'") for one in found] == values
    assert [lexed(one.text).marked for one in found] == [one.marked for one in found]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a=-1", ["a", "=", "-", "1"]),
        ("a@-1 ?-b", ["a", "@-", "1", "?-", "b"]),
        ("a*/*x*/b+--x\n1", ["a", "*", "b", "+", "1"]),
        ("1..10 1.5e-3 .5 $1", ["1", "..", "10", "1.5e-3", ".5", "$1"]),
        ("x::int:=y", ["x", "::", "int", ":=", "y"]),
        ("a$b$c $$b$$", ["a$b$c", "'b"]),
        ("/* a /* b */ ' */ c", ["c"]),
        ("SELECT U&\"A\" N'b' X'c'", ["select", '"A"', "'b", "'c"]),
        ("'it''s' E'\\'\\x41\\u00e9\\101\\q'", ["'it's", "''A\u00e9Aq"]),
        ("'a' 'b'", ["'a", "'b"]),
        ("E'\\000' b", ["' ", "b"]),
        ("'unterminated", ["'unterminate"]),
        ("/* never", []),
        ("", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert lexed(text).listed == tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("-- nothing", 1),
        (";;", 1),
        ("select 1; -- ;", 1),
        ("select ';'; select 2;;", 2),
        ("create rule r as on insert to t do also (delete from a; delete from b); select 1", 2),
        (
            "create or replace function f() returns int begin atomic select case when true then 1 end; "
            "select 2; end; select 1",
            2,
        ),
        ("create function f() returns int language sql as 'select 1; select 2'; select 1", 2),
        ("create table atomic (atomic int); begin; select 'end' as atomic; end", 4),
    ],
)
def test_statements(text: str, count: int) -> None:
    assert len(lexed(text).statements) == count


BLOCK = """
    do /* x */ $x$ <<a>> declare n int := 1; begin -- commit;
      if true then alter table a rename to b; else drop table c; end if;
      loop execute $$ drop table d; $$ || ' cascade'; exit; end loop;
      perform 'drop table e';
      commit;
    exception when others then null; end $x$; select 1
    """


def test_a_block_executes_statements() -> None:
    found = lexed(BLOCK).executed
    assert [
        each.text.strip(" ;") for each in found if each.begins("drop | alter | commit | null | select")
    ] == [*("alter table a rename to b", "drop table c", "drop table d", "commit", "null", "select 1")]
    assert lexed("create function f() returns void language sql as 'drop table a'").executed[1:] == []


def test_a_case_is_an_expression_or_a_statement_of_a_block() -> None:
    block = """do $$ begin
        if case when a then b else c end then update t set a = case b when 1 then 2 else 3 end, c = 4; end if;
        case a when 1 then drop table a; else drop table b; end case; drop table c; end $$"""
    found = [each.text for each in lexed(block).executed if each.begins("update | drop")]
    assert found[0] == "update t set a = case b when 1 then 2 else 3 end, c = 4"
    assert found[1:] == ["drop table a", "drop table b", "drop table c"]


def test_statements_of_a_block_are_exchanged() -> None:
    def change(each: Lexed) -> str | None:
        return "NULL" if each.begins("commit") else None

    assert lexed(BLOCK).with_blocks(change) == BLOCK.replace("      commit;", "      NULL;")
    quoted = "select 1; do 'begin commit; raise notice ''it''''s''; end'"
    assert lexed(quoted).with_blocks(change) == quoted.replace("commit", "NULL")
    assert lexed(quoted).with_statements(change) == quoted
    assert lexed("-- x\ncommit; 'commit' ; Commit").with_statements(change) == "-- x\nNULL; 'commit' ; NULL"


def test_forms() -> None:
    text = 'ALTER TABLE IF EXISTS ONLY a -- x\n . "B c" RENAME /* y */ COLUMN "D" TO e;'
    found = lexed(text).matches("alter table [if exists] [only] <table> rename {to | column <old> to} <new>")
    assert found
    assert [found["table"], found["old"], found["new"]] == ['a."B c"', '"D"', "e"]
    assert parts(found["table"]) == ["a", "B c"]
    assert found.has("if exists")
    assert not lexed(text + " select 1").matches("alter table [if exists] [only] <table> rename ... to <new>")
    assert not lexed("alter table x").begins("alter tab")
    assert not lexed("select 'drop table x', \"drop\" table").has("drop [table]")
    assert [each["name"] for each in lexed('f(g (1), "H"(2))').find("<name> (")] == ["f", "g", '"H"']
    assert lexed("order by 1 offset 99 limit 1").has("offset <size> limit 1")
    assert [each.marked for each in lexed("a (b, c), d").elements()] == ["\0a\0(\0b\0,\0c\0)\0", "\0d\0"]


def test_no_group_of_a_pattern_is_repeated_possessively() -> None:
    """Python 3.11.2 to 3.11.4, which many systems have, match these otherwise (cpython issue 106052)."""
    package = Path(sql_text.__file__).parent
    found = [str(file) for file in package.rglob("*.py") if re.search(r"\)[*+?]\+", file.read_text("utf-8"))]
    assert found == []
