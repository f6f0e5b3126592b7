"""The two halves agree: lint has nothing against what autogenerate writes for a busy table but what it told.

Each kind of change is written online and measured as `make db-lint` does: a few here, all of them by
`make test-slow` where they are tried (tests/plinth/test_kinds.py).
"""

from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.judge import empty_place, start_change
from tests.plinth.kinds import KINDS, Kind
from tests.plinth.no_online_form import refuses_what_is_known
from tests.plinth.test_kinds import major_version

FEW = (
    "type.widen_varchar",
    "combo.big",
    "enum.remove_value_unused",
    "domain.add_column",
    "default.sequence_with_text_around",
    "column.odd_names_change",
    "computed.indexed_change_expr",
    "table.to_logged",
    "identity.add_nonpk",
    "domain.add_not_null",
    "view.materialized_index_change",
    "view.materialized_anew_with_index",
)


def kinds(*names: str) -> list[object]:
    """Return the kinds of some names."""
    found = [kind for kind in KINDS if kind.name in names]
    assert len(found) == len(names)
    return [pytest.param(kind, id=kind.name) for kind in found]


@pytest.mark.parametrize("kind", kinds(*FEW))
def test_lint_refuses_what_was_told(kind: Kind, server: URL, tmp_path: Path) -> None:
    refuses_nothing(kind, server, tmp_path)


def refuses_nothing(kind: Kind, server: URL, folder: Path) -> None:
    """Let autogenerate write a kind online; fail unless lint refuses of it just what is known."""
    with empty_place(server, folder / "history") as (history, engine):
        if major_version(engine.url) < kind.server:
            pytest.skip(f"PostgreSQL {kind.server}")
        trial = start_change(
            history,
            engine,
            kind.metadata(kind.before),
            kind.metadata(kind.after),
            prepare=kind.prepare,
            handmade=kind.handmade,
            foreign=kind.foreign,
        )
        base = trial.heads()
        trial.execute("rows", kind.rows)
        trial.write("take the second step", trial.after, (*kind.x, "prove=no"))
        refuses_what_is_known(kind, trial.config(), base, trial.told)
