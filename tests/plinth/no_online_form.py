"""What lint says of kinds of change that PostgreSQL can do in one way only; the list is exact."""

from collections.abc import Collection

from alembic.config import Config

from plinth.lint.linting import REFUSED, lint
from tests.plinth.kinds import Kind

# Whatever the kind: code has to be deployed first.
ASKS_THE_AUTHOR = {"renames"}
# Nobody waits for these: a column changes what it is, or has a default.
NEED_NOT_BE_TOLD = {"drop-not-alone", "adding-not-nullable-field"}
# What lint says, and of which kinds: no online form is known for them.
NO_ONLINE_FORM = {
    ("stored-generated-column",): [
        "computed.beside_a_deferrable_one",
        "computed.under_a_materialized_view",
        "computed.without_key",
        "read_again.generated_longer",
        "read_again.generated_shorter",
        "type.change_of_base_of_generated_column",
    ],
    ("drop-not-alone", "stored-generated-column"): ["computed.plain_to_computed"],
    ("adding-not-nullable-field", "blocks", "constraint-missing-not-valid"): [
        "table.table_alone_becomes_heir",
        "table.table_with_less_becomes_heir",
    ],
    ("adding-serial-primary-key-field", "constraint-missing-not-valid"): [
        "table.heir_becomes_table_alone",
        "table.heir_becomes_table_with_less",
    ],
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
        "order.domain_checked_by_functions",
        "type.every_type_column_added",
        "order.view_under_views",
        "view.materialized_anew_with_index",
    ],
    ("constraint-missing-not-valid",): [
        "computed.virtual_in_heirs_change_with_check",
        "exclude.deferrable",
        "exclude.where_of_a_column_that_loses_it",
        "exclude.where_that_changes_with_its_type",
        "table.inherits_two",
    ],
    ("disallowed-unique-constraint",): [
        "18.key_and_foreign_key_become_temporal",
        "18.without_overlaps_add",
        "18.without_overlaps_change",
    ],
    ("drop-not-alone",): ["computed.plain_to_virtual"],
    ("require-concurrent-index-creation",): [
        "enum.remove_value_and_add_one_that_a_part_names",
        "view.materialized_index",
        "view.materialized_index_change",
    ],
    ("rewrites",): [
        "domain.of_varchar",
        "domain.volatile_default_and_check",
        "domain.volatile_default_and_not_null",
        "fk.required_column_beside_a_deferred_one",
        "table.chain_to_logged",
        "table.chain_to_unlogged",
        "table.to_logged",
        "table.to_logged_and_a_key_to_it_comes",
        "table.to_unlogged",
        "table.to_unlogged_and_a_key_to_it_changes",
        "table.to_unlogged_and_a_key_to_it_goes",
        "table.unlogged_when_a_logged_one_that_refers_goes",
    ],
    ("rewrites", "stored-generated-column"): [
        "table.unlogged_when_a_logged_one_that_refers_goes_and_a_column_is_made_anew",
    ],
}


def refuses_what_is_known(kind: Kind, config: Config, base: str, told: Collection[str]) -> None:
    """Fail unless lint refuses of what was written for a kind, online, just what is known and was told.

    Args:
        kind: which.
        config: Alembic's.
        base: the revision before the kind's.
        told: the rules that autogenerate named when it wrote that.
    """
    found = lint(config, None if base == "base" else base)
    known = {rule for rules, names in NO_ONLINE_FORM.items() if kind.name in names for rule in rules}
    refused = {
        finding.rule: f"{revision.file}: {finding.message}\n    {finding.sql}"
        for revision in found.revisions
        for finding in revision.findings
        if finding.level == REFUSED and finding.rule not in ASKS_THE_AUTHOR
    }
    assert found.not_measured is None
    assert refused.keys() == known, refused
    assert told == known - NEED_NOT_BE_TOLD
