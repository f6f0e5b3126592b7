"""Every kind of change of models, tried on a database and judged by pg_dump.

The score stands at the end of the log: "kinds: 300 passed of 300 tried". One of every second group is tried
in every run, with one ordinary revision; all of them, and the online ones too, by `make test-slow`.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from sqlalchemy.engine import URL

from tests.plinth.history import rows
from tests.plinth.judge import empty_place, try_change
from tests.plinth.kinds import KINDS, Kind, can_be_said
from tests.plinth.kinds.noop import SAME
from tests.plinth.no_online_form import refuses_what_is_known
from tests.plinth.oldest_server import oldest_server

# For a measurement of the change alone, as the list of kinds was measured: `before` from create_all()'s SQL.
BEGIN_WITH_SQL = bool(os.environ.get("KINDS_BEGIN_WITH_SQL"))
IN_ONE = ("online=no",)
# In these PostgreSQL does things otherwise than before.
DIFFERENT = {"computed", "identity", "kept_name", "null", "partition", "read_again"}


def test_names_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {kind.name for kind in KINDS} >= set(filter(can_be_said, SAME))


def parameters(kinds: Sequence[Kind] = KINDS) -> list[Any]:
    """Return kinds, all if none are given."""
    return [pytest.param(kind, id=kind.name) for kind in kinds]


def for_oldest_server() -> list[Kind]:
    """Return the kinds that plain Alembic was measured with, and those in which servers differ."""
    return [kind for kind in KINDS if kind.listed or kind.name.partition(".")[0] in DIFFERENT]


def few() -> list[Any]:
    """Return the first kinds of every second group."""
    groups: dict[str, list[Kind]] = {}
    for kind in KINDS:
        if kind.listed:
            groups.setdefault(kind.name.partition(".")[0], []).append(kind)
    return [pytest.param(kind, id=kind.name) for kind, *_ in list(groups.values())[::2]]


@pytest.mark.parametrize("kind", few())
def test_kind(kind: Kind, server: URL, tmp_path: Path) -> None:
    try_kind(kind, server, tmp_path, *IN_ONE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", parameters())
def test_kind_in_one_revision(
    kind: Kind, server: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_OLDEST_SERVER", "14")  # while those that are online are for 18
    try_kind(kind, server, tmp_path, *IN_ONE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", parameters())
def test_kind_online(kind: Kind, server: URL, tmp_path: Path) -> None:
    try_kind(kind, server, tmp_path, written=functools.partial(refuses_what_is_known, kind))


@pytest.fixture(scope="session")
def oldest() -> Iterator[URL]:
    """The oldest PostgreSQL that the tests can have."""
    with oldest_server() as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("kind", parameters(for_oldest_server()))
def test_kind_on_oldest_server(kind: Kind, oldest: URL, tmp_path: Path) -> None:
    try_kind(kind, oldest, tmp_path)


def try_kind(
    kind: Kind,
    server: URL,
    folder: Path,
    *x: str,
    written: Callable[[Config, str, set[str]], None] | None = None,
) -> None:
    """Try a kind on a server, with further arguments of `-x`; fail unless it goes as the kind says.

    Args:
        kind: which.
        server: where.
        folder: for its revisions.
        x: arguments of `-x`.
        written: looks at what was written.
    """
    with empty_place(server, folder / "history") as (history, engine):
        if major_version(engine.url) < kind.server:
            pytest.skip(f"PostgreSQL {kind.server}")
        outcome = try_change(
            history,
            engine,
            kind.metadata(kind.before),
            kind.metadata(kind.after),
            rows=kind.rows,
            checks=kind.checks,
            x=(*kind.x, *x),
            prepare=kind.prepare,
            handmade=kind.handmade,
            in_reference=kind.in_reference,
            foreign=kind.foreign,
            keeps_rows=kind.keeps_rows,
            schemas_may_stay=kind.schemas_may_stay,
            downgrade_may_stop=kind.downgrade_may_stop,
            begin_with_sql=BEGIN_WITH_SQL,
            written=written,
        )
    refusal = kind.refusal if IN_ONE[0] in x else kind.refusal or kind.online_refusal
    if refusal is None and not outcome.passed:
        pytest.fail(str(outcome), pytrace=False)
    if refusal is None and bool(outcome.revisions) == (kind.name in SAME):
        pytest.fail("the kind is not what its name says: see kinds/noop.py", pytrace=False)
    if refusal is not None and not re.search(refusal, outcome.refusal or ""):
        pytest.fail(f"not refused with {refusal!r}, but {outcome}", pytrace=False)


def major_version(url: URL) -> int:
    return int(rows(url, "select current_setting('server_version_num')::int / 10000")[0][0])
