"""Roles as managed services give them."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy.engine import URL

from tests.plinth.history import psql


@contextmanager
def role(url: URL, name: str) -> Iterator[URL]:
    """Yield a superuser's URL with a new role in it, which may nothing but sign in."""
    name = f"{url.database}_{name}"
    new = Identifier(name)
    with psql(url) as connection:
        connection.execute(
            SQL("create role {} login password {}").format(new, Literal(str(url.password or "secret")))
        )
    try:
        yield url.set(username=name)
    finally:
        with psql(url) as connection:
            connection.execute(SQL("drop owned by {0}; drop role {0}").format(new))


def as_owner(url: URL, statements: str, **names: URL) -> None:
    """Run statements as the superuser; `{name}` in them stands for the role of that URL."""
    quoted = {name: Identifier(str(each.username)).as_string() for name, each in names.items()}
    with psql(url) as connection:
        connection.execute(statements.format(**quoted).encode())
