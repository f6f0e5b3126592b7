"""For which PostgreSQL revisions are written (`oldest_server`): names of NOT NULL are there since 18 only."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData

from plinth import settings
from plinth.connecting import engine
from tests.plinth.history import History, clear, do, rows
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.oldest_server import oldest_server
from tests.plinth.project import Project


def models(*, new: bool) -> MetaData:
    """Return people with an email, which is called address later."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    hint: dict[str, Any] = {"info": {"renamed_from": "email"}} if new else {}
    sa.Table(
        "people",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("address" if new else "email", sa.Text, nullable=False, **hint),
    )
    return metadata


def write(history: History, engine: Engine, *, new: bool) -> str:
    """Let autogenerate write a revision; return its text."""
    before = set(history.folder.glob("versions/*.py"))
    config = history.config(engine)
    config.attributes["target_metadata"] = models(new=new)
    command.revision(config, "rename people email" if new else "create people", autogenerate=True)
    [file] = set(history.folder.glob("versions/*.py")) - before
    return file.read_text()


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """A revision that makes people, applied, and one of them."""
    found = clear(project)
    write(found, empty_engine, new=False)
    command.upgrade(found.config(empty_engine), "head")
    do(empty_engine.url, "insert into people (email) values ('ada@example.com')")
    return found


def names_of_not_null(url: sa.URL) -> set[str]:
    return {
        name
        for (name,) in rows(
            url, "select conname from pg_constraint where contype = 'n' and conrelid = 'people'::regclass"
        )
    }


@pytest.mark.parametrize(("oldest", "is_plain"), [("14", False), ("17", False), ("18", True)])
def test_a_rename_takes_the_name_of_not_null_along(
    oldest: str, is_plain: bool, history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_OLDEST_SERVER", oldest)
    text = write(history, empty_engine, new=True)
    plain = (
        'op.execute("ALTER TABLE people RENAME CONSTRAINT people_email_not_null TO people_address_not_null")'
    )
    assert (plain in text, "DO $$" in text) == (is_plain, not is_plain), text
    command.upgrade(history.config(empty_engine), "head")
    assert names_of_not_null(empty_engine.url) == {"people_id_not_null", "people_address_not_null"}
    command.downgrade(history.config(empty_engine), "-1")
    assert names_of_not_null(empty_engine.url) == {"people_id_not_null", "people_email_not_null"}
    assert rows(empty_engine.url, "select email from people") == [("ada@example.com",)]


@pytest.mark.slow
@pytest.mark.parametrize("oldest", ["14", "18"])
def test_such_a_file_on_an_older_server(
    oldest: str,
    history: History,
    empty_engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLINTH_OLDEST_SERVER", oldest)
        write(history, empty_engine, new=True)
    with oldest_server() as url:
        theirs = engine(url)
        config = history.config(theirs)
        command.upgrade(config, "head-1")
        do(url, "insert into people (email) values ('ada@example.com')")
        if oldest == "14":
            command.upgrade(config, "head")
            assert rows(url, "select address from people") == [("ada@example.com",)]
            command.downgrade(config, "-1")
        else:
            with pytest.raises((CommandError, sa.exc.DBAPIError)):
                command.upgrade(config, "head")
            assert "revisions are written for 18 and newer" in caplog.text
            assert "write oldest_server = 1" in caplog.text
        assert rows(url, "select email from people") == [("ada@example.com",)]


@pytest.mark.parametrize("said", ["13", "eighteen", "18.1", "-14"])
def test_what_is_no_such_version_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_OLDEST_SERVER", said)
    with pytest.raises(settings.SettingsError, match=r"PLINTH_OLDEST_SERVER is .* 14 or newer"):
        settings.configured()
