"""A migrated database: by the revisions, or on the local server a copy of what they made for the last run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.engine import URL

from plinth.connecting import connect_to_maintenance_database
from plinth.kept_database import KeptDatabase, one_at_a_time
from plinth.testing import revisions
from plinth.testing.server import DatabaseServer

KEPT = "plinth_tests_"  # before the name of what is kept


@contextmanager
def migrated(server: DatabaseServer, baseline: str) -> Iterator[URL]:
    """Yield a migrated database of which others are made; it is dropped when the block ends.

    Args:
        server: the tests'.
        baseline: SQL of what stands below the revisions.

    Raises:
        ChainError: the revisions lean on what isn't there.
    """
    with ExitStack() as stack:
        if server.is_local:
            url = stack.enter_context(_copied(server, baseline))
        else:
            url = stack.enter_context(server.database(is_template=True))
            _migrate(url, baseline)
        yield url


@contextmanager
def _copied(server: DatabaseServer, baseline: str) -> Iterator[URL]:
    with ExitStack() as stack:
        with (
            connect_to_maintenance_database(server.url(server.maintenance_dbname)) as session,
            one_at_a_time(session, KEPT, waiting=lambda: None),  # the workers of one run begin at once
        ):
            kept = KeptDatabase(session, server.url(server.maintenance_dbname), KEPT, baseline)
            found = kept.find() or kept.make(lambda url: _migrate(url, baseline))
            template = None if found is None else server.url(found)
            url = stack.enter_context(server.database(template, is_template=True))
            if template is None:
                _migrate(url, baseline)
        yield url


def _migrate(url: URL, baseline: str) -> None:
    revisions.lay(baseline, url)
    with revisions.config_on(url) as config:
        revisions.upgrade(config)
