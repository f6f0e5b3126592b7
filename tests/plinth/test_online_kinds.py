"""The two halves agree: lint has nothing against what autogenerate writes for a busy table.

Each kind of change is written online and measured as `make db-lint` does. What PostgreSQL can do in one way
only is listed here, by what lint says of it; the list is exact.
"""

from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from plinth.lint.linting import REFUSED, lint
from tests.plinth.judge import empty_place, start_change
from tests.plinth.kinds import KINDS, Kind
from tests.plinth.test_kinds import major_version

# Whatever the kind: code has to be deployed first.
ASKS_THE_AUTHOR = {"renames"}
# What lint says, and of which kinds: no online form is known for them.
NO_ONLINE_FORM = {
    ("adding-field-with-default",): ["identity.column_added"],
    ("stored-generated-column",): [
        "computed.add",
        "computed.base_added_too",
        "computed.change_expr",
        "computed.change_expr_columns",
        "computed.indexed_change_expr",
        "computed.percent_and_colon",
        "computed.text_search",
        "computed.two_of_one_base",
        "computed.type",
        "computed.virtual_to_stored",
        "read_again.generated_longer",
        "read_again.generated_shorter",
        "type.change_of_base_of_generated_column",
        "type.change_of_generated_column",
    ],
    ("drop-not-alone", "stored-generated-column"): ["computed.plain_to_computed"],
    ("adding-required-field",): ["pk.add_serial_key_to_table_without"],
    ("blocks",): [
        "domain.add_check",
        "domain.add_column",
        "domain.add_not_null",
        "domain.change_check",
        "domain.in_schema_change",
        "domain.int_to_domain",
        "domain.long_checks_that_begin_alike",
        "domain.not_valid_to_valid",
        "domain.odd_name",
        "domain.of_array",
        "domain.regular_expression",
        "domain.rename",
        "domain.rename_check",
        "domain.text_to_domain",
        "domain.with_column_default_and_check",
        "identity.add_nonpk",
        "type.every_type_column_added",
    ],
    ("changing-column-type",): [
        "enum.remove_value_used_everywhere",
        "enum.shared_remove_value",
    ],
    ("constraint-missing-not-valid",): [
        "comment.exclude_added_with",
        "exclude.add",
        "exclude.change_op",
        "exclude.deferrable",
        "exclude.expression",
        "exclude.hash_equality",
        "exclude.odd_name",
        "exclude.opclass",
        "exclude.opclass_of_extension",
        "exclude.two_columns",
        "exclude.using_spgist",
        "exclude.where_add",
        "exclude.where_change",
    ],
    ("disallowed-unique-constraint",): ["18.without_overlaps_add", "18.without_overlaps_change"],
    ("drop-not-alone",): ["computed.plain_to_virtual"],
    ("blocks", "drop-not-alone"): ["view.materialized_anew_with_index"],
    ("require-concurrent-index-creation",): [
        "partition.change_of_its_own",
        "table.inherits_add_index_to_child",
        "type.no_swap_under_a_unique_expression",
        "unknown.handmade_partition",
        "view.materialized_index",
        "view.materialized_index_change",
    ],
    ("rewrites",): [
        "domain.of_varchar",
        "fk.required_column_beside_a_deferred_one",
        "table.to_logged",
        "table.to_unlogged",
    ],
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
        found = lint(trial.config(), None if base == "base" else base)
    known = {rule for rules, names in NO_ONLINE_FORM.items() if kind.name in names for rule in rules}
    refused = {
        finding.rule: f"{revision.file}: {finding.message}\n    {finding.sql}"
        for revision in found.revisions
        for finding in revision.findings
        if finding.level == REFUSED and finding.rule not in ASKS_THE_AUTHOR
    }
    assert found.not_measured is None
    assert refused.keys() == known, refused
