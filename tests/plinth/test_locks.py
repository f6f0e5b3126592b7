"""The table of docs/autogenerate.md: what is written for a change, which locks that takes, for how long.

Its figures are measured as `make db-plan` does, of what is written for some kinds of each change, in tables
with rows. No time is measured: a lock is held for a moment, while batches of rows are written, while all rows
are read, or while all of the table is written anew. When they change on purpose:
`LOCKS=write make test-slow T=tests/plinth/test_locks.py`, and review the difference.
"""

import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy.engine import URL

from plinth import settings
from plinth.plan.facts import LOCKS, Revision, Statement, Use, stronger
from plinth.plan.planning import plans
from tests.plinth.judge import empty_place, start_change
from tests.plinth.kinds import KINDS, Kind

DOCUMENT = settings.root() / "docs" / "autogenerate.md"
BEGIN, END = "<!-- written by tests/plinth/test_locks.py -->\n", "<!-- until here -->\n"
HEAD = ("change", "parts of the file", "locks taken, and for how long")
MOMENT, BATCHES, READS = "for a moment", "in batches", "while all rows are read"
WRITES = "while the table is written anew"


class Form(NamedTuple):
    """A row of the table.

    Args:
        change: what changes.
        parts: of the file.
        kinds: names of some kinds of it.
    """

    change: str
    parts: str
    kinds: tuple[str, ...]


FORMS = (
    Form("index, or its drop", "built, or dropped, concurrently", ("index.add", "index.drop")),
    Form("check", "added NOT VALID; validated", ("check.add",)),
    Form("foreign key", "added NOT VALID; validated", ("fk.add",)),
    Form(
        "unique constraint, primary key",
        "its index built concurrently; added with USING INDEX",
        ("unique.add", "pk.add_pk_to_table"),
    ),
    Form(
        "index, unique constraint, primary key of a partitioned table",
        "its index built concurrently on each partition that the database has; the table's takes them over",
        ("partition.index_of_all", "partition.unique_of_all", "partition.primary_key"),
    ),
    Form(
        "foreign key from a partitioned table",
        "added NOT VALID and validated on each partition; the table's takes them over",
        ("partition.foreign_key_from",),
    ),
    Form(
        "a partition beside a default one",
        "a check added NOT VALID to the default one; validated; the partition added, and the check dropped",
        ("partition.new_beside_the_default_one",),
    ),
    Form(
        "index that changes under its name",
        "built under another name; the old one dropped; its name taken over",
        ("index.change_columns",),
    ),
    Form(
        "check or foreign key that changes under its name",
        "the old one dropped and the new one added NOT VALID, in one transaction; validated",
        ("check.change_expr", "fk.change_ondelete"),
    ),
    Form(
        "unique constraint of that name, or primary key, that changes",
        "the new index built; the old one dropped and the new one added with USING INDEX, in one transaction",
        ("unique.change_cols_same_name", "pk.widen"),
    ),
    Form(
        "a key that goes from columns to which foreign keys refer, and another one comes to them",
        "the new index built; keys and foreign keys dropped, and the new ones added, with USING INDEX and "
        "NOT VALID, in one transaction that changes the catalog only; validated",
        ("pk.change_of_referenced_table",),
    ),
    Form(
        "a nullable column with a default that differs for each row",
        "added; a trigger gives rows that are written a value; the others filled in batches; the trigger "
        "dropped",
        ("column.add_nullable_backfill",),
    ),
    Form(
        "an identity or serial column",
        "added empty; a sequence as its default, for new rows; filled in batches; NOT NULL as below; "
        "made an identity column",
        ("identity.column_added", "without_key.identity_column"),
    ),
    Form(
        "a domain's check",
        "added NOT VALID; validated; a new domain gets it when its columns are there",
        ("domain.add_check",),
    ),
    Form(
        "required column, NOT NULL",
        "a trigger gives rows that are written a value; the others filled in batches; a check added NOT "
        "VALID; validated; NOT NULL set, check and trigger dropped",
        ("column.add_notnull_backfill", "null.to_notnull_backfill", "without_key.required_column"),
    ),
    Form(
        "another type in place",
        "before the table's other steps, checks on it validated later; plainly, if nothing is written "
        "anew or read",
        ("type.widen_varchar", "type.varchar_to_text"),
    ),
    Form(
        "another type, or an enum without a value, table to be written anew",
        "a second column kept equal by a trigger; filled in batches; its checks added and its indexes "
        "built; takes over the names; views, policies and statistics on it, and the table's triggers, are "
        "dropped just before and made again just after, in the same transaction; publications that name it "
        "leave the table out and take it in again. In the second file: the old column dropped",
        ("type.text_to_int_with_index_and_check", "enum.remove_value_unused"),
    ),
    Form(
        "the same under a materialized view",
        "when the column is filled, a second view is made without rows, with its indexes: for this one "
        "transaction the columns have their later names; filled; takes over the names in the transaction "
        "in which the first one goes, with the column",
        ("standing.materialized_view",),
    ),
    Form(
        "the same under a virtual generated column",
        "the same, but that one is dropped just before and made again just after, in the same transaction; "
        "checks on it, and NOT NULL, hold for new rows from then on, and are validated after it",
        ("computed.virtual_base_gets_type_with_checks",),
    ),
    Form(
        "the same in a partitioned table",
        "a second column in all partitions; its indexes, keys and foreign keys built on each partition that "
        "the database has, and the table's take them over: the primary key in the transaction in which the "
        "column takes over the name, the others before it",
        ("partition.type_of_column_with_all",),
    ),
    Form(
        "an enum of several columns, or that checks and predicates of indexes name",
        "the same for all of them at once, in one transaction that changes the catalog only",
        ("enum.shared_remove_value", "enum.remove_value_under_parts_that_name_it"),
    ),
    Form(
        "another type of a key",
        "the same at once for all that refers to it: second columns beside each; the key's index built, "
        "foreign keys added NOT VALID and validated; all take over in one transaction that changes the "
        "catalog only. In the second file: the old columns dropped",
        ("key.with_three_that_refer_to_it",),
    ),
    Form(
        "the same of a partitioned table's primary key",
        "the same, but the foreign keys that refer to it are added NOT VALID in the transaction in which the "
        "columns take over, and validated after it; those from a partitioned table on each partition, and "
        "the table's take them over",
        ("partition.key_that_partitioned_tables_refer_to",),
    ),
    Form(
        "columns, defaults, tables, views, functions that go",
        "a column that refuses NULL and has no default takes NULL, a table's foreign keys that would keep "
        "rows of others go; in the second file they go",
        ("column.drop_notnull_rows", "table.drop", "default.drop"),
    ),
    Form(
        "renames",
        "a transaction for each table, and one for those that take each other's names",
        ("column.rename", "table.rename"),
    ),
    Form(
        "renames that keep the old name",
        "a second column kept equal by a trigger, filled in batches, its indexes built; a view with the "
        "table's old name. In the second file: they go",
        ("kept_name.plain", "kept_name.table"),
    ),
    Form(
        "a stored generated column, new or with another expression",
        "a new table beside the old one, kept equal by a trigger; filled in batches; its indexes built; both "
        "compared; takes over the names, and the old one is dropped: views, policies, triggers and "
        "statistics are made anew on it, publications take it in again, foreign keys are added NOT VALID, in "
        "this transaction that changes the catalog only; they are validated after it",
        ("computed.add", "computed.change_expr", "computed.beside_keys_add"),
    ),
    Form(
        "the same without a primary key, with partitions, under a materialized view",
        "added; **no online form**: a virtual one writes nothing, from PostgreSQL 18 on",
        ("computed.without_key", "computed.under_a_materialized_view"),
    ),
    Form(
        "an exclusion constraint, new or another one of its name",
        "a new table beside the old one, as for a stored generated column, which has it from its beginning",
        ("exclude.add", "exclude.where_change"),
    ),
    Form(
        "one that is deferrable, or on a table that no new one can take the place of",
        "refused until `-x rewrite=…` accepts it; added; **no online form**",
        ("exclude.deferrable",),
    ),
    Form(
        "all else", "plainly, one transaction for each table", ("column.add", "default.change", "table.add")
    ),
)


@pytest.mark.slow
def test_the_table_says_which_locks_are_taken(server: URL, tmp_path: Path) -> None:
    found = [HEAD, ("---",) * len(HEAD)]
    for form in FORMS:
        kinds = [kind for kind in KINDS if kind.name in form.kinds]
        revisions = [each for kind in kinds for each in measured(kind, server, tmp_path / kind.name)]
        found.append((form.change, form.parts, in_words(revisions)))
    table = "".join(f"| {' | '.join(row)} |\n" for row in found)
    head, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    shown, end, tail = rest.partition(END)
    assert (begin, end) == (BEGIN, END)
    if os.environ.get("LOCKS") == "write":
        DOCUMENT.write_text(f"{head}{begin}{table}{end}{tail}")
        return
    assert shown == table


def test_the_table_has_a_row_for_each_form() -> None:
    shown = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [re.split(r" ?\| ?", line)[1:3] for line in shown.splitlines()[2:]]
    assert rows == [[form.change, form.parts] for form in FORMS]
    names = {kind.name for kind in KINDS}
    assert [name for form in FORMS for name in form.kinds if name not in names] == []


def measured(kind: Kind, server: URL, folder: Path) -> list[Revision]:
    """Return what the revisions do that autogenerate writes for a kind."""
    with empty_place(server, folder / "history") as (history, engine):
        trial = start_change(
            history,
            engine,
            kind.metadata(kind.before),
            kind.metadata(kind.after),
            prepare=kind.prepare,
            handmade=kind.handmade,
            foreign=kind.foreign,
        )
        trial.execute("rows", kind.rows)
        trial.write("take the second step", trial.after, (*kind.x, "prove=no"))
        found = plans(trial.config())[0]
        assert found.failure is None
        return [each.measured for each in found.revisions]


def in_words(revisions: list[Revision]) -> str:
    """Return the strongest lock that is held so long, for each length of time."""
    found: dict[str, str | None] = {}
    for revision in revisions:
        for _, group in groupby(revision.statements, lambda each: each.transaction):
            for time, lock in held(list(group)):
                found[time] = stronger(found.get(time), lock)
    times = (MOMENT, BATCHES, READS, WRITES)
    return "; ".join(f"{found[each]} {each}" for each in times if found.get(each)) or "none"


def held(statements: list[Statement]) -> Iterator[tuple[str, str]]:
    """Yield the locks that a transaction takes on standing tables, each with how long it is held."""
    times = (MOMENT, BATCHES, READS, WRITES)
    for number, statement in enumerate(statements):
        rest = [work(each, use) for each in statements[number:] for use in each.uses]
        for use in statement.uses:
            if use.lock and use.lock != LOCKS[0]:
                yield max(rest, key=times.index), use.lock


def work(statement: Statement, use: Use) -> str:
    """Return how long a statement takes for what it does to a table."""
    if use.rewrites:
        return WRITES
    if re.search(r"\bDO\b.*\bCOMMIT;", statement.sql, re.DOTALL):
        return BATCHES
    return READS if use.scans or statement.seen == "sampled" else MOMENT
