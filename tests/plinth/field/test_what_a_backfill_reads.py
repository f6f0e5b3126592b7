"""A backfill that reads what the same change gives values, makes, converts or moves: in order, or refused."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

from tests.plinth.field.changing import Changing, Models
from tests.plinth.history import psql, rows
from tests.plinth.kinds.kind import also

X = pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])


def fill(name: str, sql: str, kind: object = Integer, *, nullable: bool = True) -> Column[Any]:
    return Column(name, kind, info={"backfill": sql}, nullable=nullable)  # type: ignore[arg-type]


def table(m: MetaData, name: str, *columns: Column[Any]) -> None:
    Table(name, m, Column("id", Integer, primary_key=True), *columns)


def begin(changing: Changing, models: Models, sql: str) -> None:
    changing.write_models(models)
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute(sql.encode())


def there_and_back(changing: Changing, sql: str) -> None:
    """Upgrade, downgrade, and upgrade again; the query counts rows that have the wrong values."""
    for _ in range(2):
        changing.upgrade()
        assert rows(changing.engine.url, sql) == [(0,)]
        changing.downgrade("-1")
    changing.upgrade()


POSTS = (
    "insert into users select from generate_series(1, 30); insert into posts (user_id) select id from users"
)


def users_and_posts(m: MetaData, user: Sequence[Column[Any]] = (), post: Sequence[Column[Any]] = ()) -> None:
    table(m, "users", *user)
    table(m, "posts", Column("user_id", ForeignKey("users.id")), *post)


@X
@pytest.mark.parametrize("required", [False, True], ids=["nullable", "required"])
@pytest.mark.parametrize(
    "new",
    [
        lambda: Column("new", Uuid, server_default=func.gen_random_uuid(), nullable=False),
        lambda: Column("new", Integer, Identity(), nullable=False),
        lambda: Column("new", Text, server_default="x"),
        lambda: fill("new", "id * 7"),
    ],
    ids=["random", "numbered", "constant", "filled"],
)
def test_what_another_table_gets_is_there_first(
    changing: Changing, new: Callable[[], Column[Any]], required: bool, x: tuple[str, ...]
) -> None:
    begin(changing, users_and_posts, POSTS)
    sql = "(select u.new from users u where u.id = posts.user_id)"
    changing.write_models(
        lambda m: users_and_posts(m, [new()], [fill("theirs", sql, new().type, nullable=not required)]),
        *x,
    )
    wrong = "posts p join users u on u.id = user_id where theirs is null or theirs is distinct from new"
    there_and_back(changing, f"select count(*)::int from {wrong}")  # noqa: S608 - of this module


@X
def test_what_becomes_required_in_another_table_is_there_first(
    changing: Changing, x: tuple[str, ...]
) -> None:
    begin(changing, lambda m: users_and_posts(m, [Column("name", Text)]), POSTS)
    sql = "(select name from users u where u.id = user_id)"
    user = fill("name", "'user ' || id", Text, nullable=False)
    changing.write_models(lambda m: users_and_posts(m, [user], [fill("by", sql, Text)]), *x)
    changing.upgrade()
    wrong = "select count(*)::int from posts where by is distinct from 'user ' || user_id"
    assert rows(changing.engine.url, wrong) == [(0,)]


@X
def test_the_number_by_which_a_table_is_referred_to_from_now_on_is_there_first(
    changing: Changing, x: tuple[str, ...]
) -> None:
    def models(m: MetaData, *, is_numbered: bool) -> None:
        key = ("user_id", "group_id")
        own = [Column(each, Integer, primary_key=not is_numbered, nullable=False) for each in key]
        if is_numbered:
            own = [Column("id", Integer, primary_key=True), *own]
        Table("members", m, *own, *([UniqueConstraint(*key)] if is_numbered else []))
        sql = "(select m.id from members m where (m.user_id, m.group_id) = (badges.user_id, badges.group_id))"
        table(m, "badges", *(Column(each, Integer) for each in key))
        if is_numbered:
            column: Column[int] = Column(
                "member", ForeignKey("members.id"), nullable=False, info={"backfill": sql}
            )
            m.tables["badges"].append_column(column)

    sql = (
        "insert into members select a, b from generate_series(1, 9) a, generate_series(1, 9) b where a <> b;"
    )
    sql += "insert into badges (user_id, group_id) select user_id, group_id from members where user_id < 5"
    begin(changing, lambda m: models(m, is_numbered=False), sql)
    changing.write_models(lambda m: models(m, is_numbered=True), *x)
    wrong = (
        "members m join badges b on m.id = member where m.user_id <> b.user_id or m.group_id <> b.group_id"
    )
    there_and_back(changing, f"select count(*)::int from {wrong}")  # noqa: S608 - of this module
    assert rows(changing.engine.url, "select count(member)::int from badges") == [(32,)]


@X
def test_another_new_column_of_its_own_table_is_there_first(changing: Changing, x: tuple[str, ...]) -> None:
    begin(changing, lambda m: table(m, "users"), "insert into users select from generate_series(1, 30)")
    changing.write_models(lambda m: table(m, "users", fill("aaa", "zzz + 1"), fill("zzz", "id * 2")), *x)
    there_and_back(changing, "select count(*)::int from users where aaa is distinct from id * 2 + 1")


@X
def test_an_alias_is_no_column(changing: Changing, x: tuple[str, ...]) -> None:
    begin(changing, users_and_posts, POSTS)
    user = [fill("u", "id * 3"), fill("n", "(select count(*) from posts)")]
    changing.write_models(
        lambda m: users_and_posts(m, user, [fill("twice", "(select max(u.id) from users u) * 2")]),
        *x,
    )
    there_and_back(changing, "select count(*)::int from posts where twice is distinct from 60")


@X
def test_tables_that_are_made_of_each_other_are_refused(changing: Changing, x: tuple[str, ...]) -> None:
    begin(changing, users_and_posts, POSTS)
    user = [fill("a", "id"), fill("b", "(select max(c) from posts)")]
    post = [fill("c", "id"), fill("d", "(select max(a) from users)")]
    words = r"rows of posts, users get .* none of the tables .* Take posts\.d out of the model"
    with pytest.raises(CommandError, match=words):
        changing.write_models(lambda m: users_and_posts(m, user, post), *x)


@X
@pytest.mark.parametrize(
    "sql", ["(select c.id from countries c where c.code = users.code)", "(select count(*) from countries)"]
)
def test_a_table_that_begins_empty_is_refused(changing: Changing, sql: str, x: tuple[str, ...]) -> None:
    def after(m: MetaData) -> None:
        table(m, "countries", Column("code", Text))
        table(m, "users", Column("code", Text), fill("country", sql))

    begin(changing, lambda m: table(m, "users", Column("code", Text)), "insert into users values (1, 'CH')")
    words = r"backfill of users\.country reads countries, which is new.*Take users\.country out of the model"
    with pytest.raises(CommandError, match=words):
        changing.write_models(after, *x)


@X
@pytest.mark.parametrize(
    ("own", "sql"), [(True, "num || '!'"), (False, "(select max(u.num) || '!' from users u)")]
)
def test_a_column_that_gets_another_type_is_refused(
    changing: Changing, own: bool, sql: str, x: tuple[str, ...]
) -> None:
    using = {"using": "num::int * 100", "using_back": "(num / 100)::text"}
    new = fill("label", sql, Text)
    begin(changing, lambda m: users_and_posts(m, [Column("num", Text)]), POSTS)
    user = [Column("num", Integer, info=using), *([new] if own else [])]
    place = "users" if own else "posts"
    words = rf"backfill of {place}\.label reads users\.num, which gets another type .* revision of its own"
    with pytest.raises(CommandError, match=words):
        changing.write_models(lambda m: users_and_posts(m, user, [] if own else [new]), *x)


@X
def test_a_column_that_gets_a_wider_type_is_read(changing: Changing, x: tuple[str, ...]) -> None:
    number = "alter table users alter num set default 7;"
    begin(changing, lambda m: users_and_posts(m, [Column("num", Integer)]), f"{number} {POSTS}")
    own, theirs = (
        fill("own", "num + id"),
        fill("theirs", "(select num + id from users u where u.id = user_id)"),
    )
    x = (*x, "prove=no")  # as the default isn't the models'
    changing.write_models(lambda m: users_and_posts(m, [Column("num", BigInteger), own], [theirs]), *x)
    changing.upgrade()
    wrong = "posts p join users u on u.id = user_id where theirs <> 7 + u.id or own <> theirs or own is null"
    assert rows(changing.engine.url, f"select count(*)::int from {wrong}") == [(0,)]  # noqa: S608


@X
def test_what_stands_in_a_view_is_read_too(changing: Changing, x: tuple[str, ...]) -> None:
    begin(changing, users_and_posts, POSTS)
    with psql(changing.engine.url) as connection:
        connection.execute("create view seen as select id, id * 2 as twice from users")
    sql = "(select twice from seen where seen.id = user_id)"
    changing.write_models(lambda m: users_and_posts(m, [fill("n", "id")], [fill("by", sql)]), *x, "prove=no")
    changing.upgrade()
    assert rows(changing.engine.url, "select count(*)::int from posts where by <> user_id * 2") == [(0,)]


@X
def test_a_new_function_is_there_first(changing: Changing, x: tuple[str, ...]) -> None:
    def after(m: MetaData) -> None:
        sql = "(select lowered(u.low) from users u where u.id = user_id)"
        users_and_posts(m, [fill("low", "lowered('A' || id)", Text)], [fill("by", sql, Text)])
        made = "create function lowered(t text) returns text language sql immutable as 'select lower(t)'"
        for each in (made, "create view seen as select low from users"):
            also(m, each)

    begin(changing, users_and_posts, POSTS)
    changing.write_models(after, *x)
    there_and_back(changing, "select count(*)::int from posts where by is distinct from 'a' || user_id")
