"""The two halves agree: lint has nothing against what autogenerate writes for a busy table.

Each kind of change is written online and measured as `make db-lint` does. What PostgreSQL can do in one way
only is listed here, by what lint says of it.
"""

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from plinth.lint.linting import REFUSED, lint
from tests.plinth.judge import empty_place, start_change
from tests.plinth.kinds import KINDS, Kind
from tests.plinth.test_kinds import major_version

# Whatever the kind: code has to be deployed first.
ASKS_THE_AUTHOR = {"renames"}
# The kinds for which no online form is known, and the rules that say so.
NO_ONLINE_FORM = {
    r"computed\..*|combo\.everything|type\.change_of_(base_of_)?generated_column": {
        "adding-field-with-default",
        "changing-column-type",
        "drop-not-alone",
    },
    r"domain\..*|type\.every_type_column_added": {"blocks", "rewrites", "changing-column-type"},
    r"enum\..*(shared|everywhere|handmade_view).*": {"changing-column-type"},
    r"exclude\..*|comment\.exclude_.*": {"constraint-missing-not-valid"},
    r"18\.without_overlaps_.*": {"disallowed-unique-constraint"},
    r"identity\..*|pk\.add_serial_key_to_table_without": {
        "adding-field-with-default",
        "adding-required-field",
        "blocks",
        "changing-column-type",
    },
    r"table\.to_(un)?logged|fk\.required_column_beside_a_deferred_one": {"rewrites"},
    r"table\.inherits_.*|unknown\.handmade_partition": {"require-concurrent-index-creation"},
    r"type\..*fk|type\.pk_int_to_bigint|type\.both_sides_of_a_foreign_key|view\.of_retyped_column": {
        "changing-column-type"
    },
    r"type\.no_swap_under_a_unique_expression": {"changing-column-type", "require-concurrent-index-creation"},
}
FEW = (
    "type.widen_varchar",
    "combo.big",
    "enum.remove_value_unused",
    "domain.add_column",
    "default.sequence_with_text_around",
    "column.odd_names_change",
    "computed.indexed_change_expr",
)


def kinds(*names: str) -> list[object]:
    """Return the kinds of some names, or all, but for those that are refused."""
    found = [kind for kind in KINDS if kind.refusal is None and (not names or kind.name in names)]
    assert not names or len(found) == len(names)
    return [pytest.param(kind, id=kind.name) for kind in found]


@pytest.mark.parametrize("kind", kinds(*FEW))
def test_lint_refuses_nothing(kind: Kind, server: URL, tmp_path: Path) -> None:
    refuses_nothing(kind, server, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds())
def test_lint_refuses_nothing_of_any_kind(kind: Kind, server: URL, tmp_path: Path) -> None:
    refuses_nothing(kind, server, tmp_path)


def refuses_nothing(kind: Kind, server: URL, folder: Path) -> None:
    """Let autogenerate write a kind online; fail where lint refuses what it wrote, and more than is known."""
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
        found = lint(trial.config(), None if base == "base" else base)
    known = {
        rule
        for pattern, rules in NO_ONLINE_FORM.items()
        if re.fullmatch(pattern, kind.name)
        for rule in rules
    }
    refused = [
        f"{revision.file}: {finding.rule}: {finding.message}\n    {finding.sql}"
        for revision in found.revisions
        for finding in revision.findings
        if finding.level == REFUSED and finding.rule not in known | ASKS_THE_AUTHOR
    ]
    assert found.not_measured is None
    assert not refused, "\n".join(refused)
