"""What is refused, why, and the safe form to write instead.

Squawk reads the text and knows neither sizes nor what stood before; where a revision can be measured
(plinth.plan), the measurement has the last word on its rules about locks. `DROP INDEX` for instance, or
`varchar(20)` to `varchar(40)`, take a strong lock for a moment only, which the applier's lock_timeout bounds.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule.

    Args:
        why: what happens.
        instead: what to write.
        judged: whether a measurement may find that there is nothing in it.
    """

    why: str
    instead: str
    judged: bool = False


# Squawk's rules that count, under Squawk's own names.
SQUAWK = {
    "require-concurrent-index-creation": Rule(
        "nobody can write to the table while the index is built",
        "with op.get_context().autocommit_block(): op.create_index(..., postgresql_concurrently=True)",
        judged=True,
    ),
    "require-concurrent-reindex": Rule(
        "queries wait while the index is built",
        "with op.get_context().autocommit_block(): op.execute('REINDEX INDEX CONCURRENTLY ...')",
        judged=True,
    ),
    "adding-foreign-key-constraint": Rule(
        "nobody can write to either table while all rows are checked",
        "op.create_foreign_key(..., postgresql_not_valid=True), then with "
        "op.get_context().autocommit_block(): op.execute('ALTER TABLE ... VALIDATE CONSTRAINT ...')",
        judged=True,
    ),
    "disallowed-unique-constraint": Rule(
        "queries wait while the index is built",
        "a unique index built concurrently in op.get_context().autocommit_block(), and after it "
        "op.execute('ALTER TABLE ... ADD CONSTRAINT ... UNIQUE USING INDEX ...')",
        judged=True,
    ),
    "adding-serial-primary-key-field": Rule(
        "queries wait while the index is built",
        "a unique index built concurrently in op.get_context().autocommit_block(), and after it "
        "op.execute('ALTER TABLE ... ADD CONSTRAINT ... PRIMARY KEY USING INDEX ...') on NOT NULL columns",
        judged=True,
    ),
    "constraint-missing-not-valid": Rule(
        "queries wait while all rows are checked",
        "add the constraint with postgresql_not_valid=True, then with op.get_context().autocommit_block(): "
        "op.execute('ALTER TABLE ... VALIDATE CONSTRAINT ...'): before the commit the lock is still held",
        judged=True,
    ),
    "adding-not-nullable-field": Rule(
        "queries wait while all rows are checked",
        "a CHECK (... IS NOT NULL) with postgresql_not_valid=True; VALIDATE CONSTRAINT in "
        "op.get_context().autocommit_block(); after it op.alter_column(..., nullable=False), which reads "
        "nothing then, and drop the check",
        judged=True,
    ),
    "adding-field-with-default": Rule(
        "queries wait while the table is written anew",
        "a nullable column without a default; then the default; then a backfill in batches, each its own "
        "commit; then a validated check and NOT NULL: alembic revision --autogenerate writes it",
        judged=True,
    ),
    "changing-column-type": Rule(
        "queries wait while the table is written anew",
        "a new column, a trigger that keeps it equal, a backfill in batches, and a swap of the names: "
        "alembic revision --autogenerate writes it, but not in a table with partitions, for instance; there, "
        "and where the table is small, -x rewrite=table.column writes an exception into the file",
        judged=True,
    ),
    "adding-required-field": Rule(
        "it fails where the table has rows",
        "a nullable column, a backfill in batches, a validated check, NOT NULL, with commits in between",
    ),
    "ban-concurrent-index-creation-in-transaction": Rule(
        "PostgreSQL refuses it in a transaction",
        "with op.get_context().autocommit_block(): around it",
    ),
    "transaction-nesting": Rule(
        "it ends the transaction that makes the revision all or nothing",
        "leave BEGIN and COMMIT out; what no transaction can hold goes into "
        "op.get_context().autocommit_block()",
    ),
    "ban-truncate-cascade": Rule(
        "it empties every table that refers to this one",
        "name the tables, or delete in batches",
    ),
}

# Squawk's rules that stand for one of ours, where a revision could not be measured.
ALIASES = {
    "renaming-column": "renames",
    "renaming-table": "renames",
    "ban-set-schema": "renames",
    "ban-drop-column": "drops",
    "ban-drop-table": "drops",
    "ban-drop-schema": "drops",
}

# Of several of Squawk's findings on one statement, these say less than another.
VAGUE = ("constraint-missing-not-valid",)

# Why others of Squawk's rules don't count.
LEFT_OUT = {
    "prefer-bigint-over-int": "the models choose their types",
    "prefer-bigint-over-smallint": "the models choose their types",
    "prefer-identity": "the models choose their types, and serial is one",
    "prefer-text-field": "the models choose their types; a longer varchar is a matter of the catalog",
    "prefer-timestamp-tz": "the models choose their types",
    "ban-char-field": "the models choose their types",
    "require-lock-timeout": "the applier sets it for every revision",
    "require-statement-timeout": "a setting of the applier's",
    "prefer-robust-stmts": "IF NOT EXISTS takes an INVALID index for a finished one",
    "require-concurrent-index-deletion": "a matter of the catalog, under a bounded wait",
    "require-concurrent-partition-detach": "a matter of the catalog, under a bounded wait",
    "ban-drop-not-null": "it loosens, and a new NOT NULL is a rule of its own",
    "ban-drop-constraint": "it loosens, and is part of many a safe sequence",
    "require-enum-value-ordering": "autogenerate says where a value goes",
}

OURS = {
    "blocks": Rule(
        "queries wait while all rows are read, written or checked",
        "strong locks in one revision, long work in the next: they are held until the transaction ends; rows "
        "are changed in batches by key, each its own commit, in op.get_context().autocommit_block()",
    ),
    "rewrites": Rule(
        "queries wait while the table is written anew",
        "a new column, filled in batches, in place of what rewrites; see docs/planning.md",
    ),
    "stored-generated-column": Rule(
        "queries wait while the table is written anew",
        "a new table that has it, kept equal by a trigger and filled in batches, which takes over the name: "
        "alembic revision --autogenerate writes it, where the table has a primary key and no partitions, for "
        "instance; from PostgreSQL 18 on a virtual one (persisted=False); or, if the table is small, say so "
        "in the file",
    ),
    "renames": Rule(
        "code that runs still uses the old name",
        '"keep_old": True beside "renamed_from" in the model: the old name stays usable until a second '
        "revision. Or rename in the models alone: mapped_column('old_name'). Of an enum's value: the new one "
        "beside it, an UPDATE when the code knows both, and the old one goes after the code",
    ),
    "empties": Rule("all rows are lost", "delete in batches what must go, or say in the file why it may"),
    "drops": Rule(
        "code that runs may still use it",
        'say in the file that it comes after the code: deploy = "after"',
    ),
    "drop-not-alone": Rule(
        "a drop is deployed after the code, and the rest before it: together, neither order is right",
        'the drop in a revision of its own, which says deploy = "after"',
    ),
    "not-checked": Rule(
        "not all of its SQL is seen, rendered without a database or measured in a scratch database",
        "op.execute in the driver's place; make what is missing available; or say why it is safe",
    ),
    "exception-without-reason": Rule(
        "an exception without a reason doesn't count", "# lint: allow <rule>: <reason>"
    ),
}

# What a revision that comes after the code may do.
BEFORE_THE_CODE = ("drops", "drop-not-alone")

ALL = SQUAWK | OURS

# What plain files do (`online = false`): their queries wait, and their drops come with the rest.
ONLINE = frozenset(
    {
        *(name for name, rule in SQUAWK.items() if rule.judged),
        "blocks",
        "rewrites",
        "stored-generated-column",
        "drop-not-alone",
    }
)
