"""A URL's query can lead to another database than the URL's text: such ones are refused."""

import pytest

from plinth.settings import SettingsError, parse_url
from tests.plinth.project import Project


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dbname=other", "behind the host's slash"),
        ("user=other", "before the @"),
        ("hostaddr=127.0.0.2", "as the host"),
        ("service=other", "host and database themselves"),
        ("host=other", "names a host twice"),
        ("load_balance_hosts=random", "each session would be in another database"),
        ("replication=database", "none for a connection"),
        ("cursor_factory=x", "none for a connection"),
        ("row_factory=x", "none for a connection"),
        ("autocommit=1", "none for a connection"),
    ],
)
def test_an_option_that_leads_elsewhere(query: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse_url(f"postgresql://u:secret@h/db?{query}", "DATABASE_URL")
    assert "secret" not in str(caught.value)


def test_other_options_are_taken() -> None:
    several = "host=a&host=b&port=1&port=2&target_session_attrs=read-write&load_balance_hosts=disable"
    for query in (
        "sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3&options=-c%20geqo%3Doff",
        several,
    ):
        assert parse_url(f"postgresql://u@/db?{query}", "DATABASE_URL").database == "db"


@pytest.mark.parametrize(
    "url", ["u:sec@ret@h/db", "u:sec@r/et@h/db", "u:s?ec@ret@h/db", "u%40x:sec@ret@h/db"]
)
def test_no_part_of_a_password_is_shown(project: Project, url: str) -> None:
    with pytest.raises(SettingsError, match="%40") as caught:
        parse_url(f"postgresql://{url}", "DATABASE_URL")
    assert "ret" not in str(caught.value)


def test_the_commands_say_it_in_one_line(project: Project) -> None:
    for command in (("alembic", "current"), ("plinth", "status")):
        assert "dbname" in project.refused(*command, DATABASE_URL="postgresql://u@h/prod?dbname=dev")


def test_no_secret_among_the_options_is_shown(project: Project) -> None:
    secrets = "password=hush&sslpassword=hush&oauth_client_secret=hush&scram_client_key=hush"
    line = project.refused("alembic", "current", DATABASE_URL=f"postgresql:///db?host=/nowhere&{secrets}")
    assert "There is no connection" in line
    assert "hush" not in line
