"""What a test commits past its session would stay in the database that all tests share."""

import pytest
from sqlalchemy import Connection, event


def refuse_commits(connection: Connection) -> None:
    """Let a test fail, with a sentence, where it commits the transaction that is rolled back when it ends."""
    event.listen(connection, "commit", _refuse)


def _refuse(connection: Connection) -> None:
    connection.connection.rollback()  # to SQLAlchemy the transaction is over: the pool would go on in it
    pytest.fail(
        "The connection of the tests is committed, and the next test would see what this one did. Commit a "
        "session (the fixtures `session`, `async_session`), or use the test's own database of `clone_url`."
    )
