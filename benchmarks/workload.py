"""Pending changes, as each program has them: tables with an index and a foreign key, columns, indexes."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_EACH = 4  # changes of one table: it is made, gets a column, one more, and an index


@dataclass(frozen=True)
class Change:
    """A change in the words of each program; all of them do the same.

    Args:
        sql: PostgreSQL's.
        alembic: the body of `upgrade()`.
        back: the body of `downgrade()`.
        knex: the body of `exports.up`.
        django: the operations of a migration, one line each.
    """

    sql: str
    alembic: str
    back: str
    knex: str
    django: str


def changes(number: int) -> list[Change]:
    """Return so many changes, each of which stands on the one before."""
    return [_KINDS[place % _EACH](place // _EACH) for place in range(number)]


def _table(at: int) -> Change:
    name, parent = f"table_{at:04}", f"table_{max(at - 1, 0):04}"
    sql = (
        f"create table {name} (id serial primary key, name varchar(100) not null, parent_id integer, "
        f"constraint fk_{name}_parent_id foreign key (parent_id) references {parent} (id));\n"
        f"create index ix_{name}_parent_id on {name} (parent_id);"
    )
    alembic = f"""\
op.create_table(
    "{name}",
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("name", sa.String(length=100), nullable=False),
    sa.Column("parent_id", sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(["parent_id"], ["{parent}.id"], name="fk_{name}_parent_id"),
    sa.PrimaryKeyConstraint("id"),
)
op.create_index("ix_{name}_parent_id", "{name}", ["parent_id"], unique=False)"""
    knex = f"""\
await knex.schema.createTable("{name}", (table) => {{
  table.increments("id");
  table.string("name", 100).notNullable();
  table.integer("parent_id").references("id").inTable("{parent}");
  table.index(["parent_id"], "ix_{name}_parent_id");
}});"""
    to = f'"bench.Table{max(at - 1, 0):04}", models.CASCADE, null=True, related_name="+"'
    django = (
        f'migrations.CreateModel("Table{at:04}", [("id", models.AutoField(primary_key=True)), '
        f'("name", models.CharField(max_length=100)), ("parent", models.ForeignKey({to}))], '
        f'options={{"db_table": "{name}"}}),'
    )
    return Change(sql, alembic, f'op.drop_table("{name}")', knex, django)


def _text(at: int) -> Change:
    return _column(at, "note text", "sa.Text()", 'text("note")', "models.TextField(null=True)")


def _amount(at: int) -> Change:
    alembic, django = "precision=12, scale=2", "max_digits=12, decimal_places=2, null=True"
    return _column(
        at,
        "amount numeric(12, 2)",
        f"sa.Numeric({alembic})",
        'decimal("amount", 12, 2)',
        f"models.DecimalField({django})",
    )


def _column(at: int, sql: str, alembic: str, knex: str, django: str) -> Change:
    name, column = f"table_{at:04}", sql.partition(" ")[0]
    return Change(
        f"alter table {name} add column {sql};",
        f'op.add_column("{name}", sa.Column("{column}", {alembic}, nullable=True))',
        f'op.drop_column("{name}", "{column}")',
        f'await knex.schema.alterTable("{name}", (table) => {{ table.{knex}; }});',
        f'migrations.AddField("Table{at:04}", "{column}", {django}),',
    )


def _index(at: int) -> Change:
    name = f"table_{at:04}"
    return Change(
        f"create index ix_{name}_name on {name} (name);",
        f'op.create_index("ix_{name}_name", "{name}", ["name"], unique=False)',
        f'op.drop_index("ix_{name}_name", table_name="{name}")',
        f'await knex.schema.alterTable("{name}", (table) => {{ table.index(["name"], "ix_{name}_name"); }});',
        f'migrations.AddIndex("Table{at:04}", models.Index(fields=["name"], name="ix_{name}_name")),',
    )


_KINDS: tuple[Callable[[int], Change], ...] = (_table, _text, _amount, _index)


def write_sql(file: Path, number: int) -> None:
    """Write all changes into one file, for psql."""
    file.write_text("\n".join(each.sql for each in changes(number)) + "\n")


def write_alembic(versions: Path, number: int) -> None:
    """Write a revision for each change, as `alembic revision --autogenerate` writes them."""
    before = None
    for place, each in enumerate(changes(number)):
        revision = f"20260101{place:06}"
        (versions / f"{revision}_change.py").write_text(
            f'"""change {place}\n\nRevision ID: {revision}\nRevises: {before or ""}\n'
            'Create Date: 2026-01-01 00:00:00+00:00\n"""\n\n'
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision = {revision!r}\ndown_revision = {before!r}\n"
            "branch_labels = None\ndepends_on = None\n\n\n"
            f"def upgrade() -> None:\n{textwrap.indent(each.alembic, '    ')}\n\n\n"
            f"def downgrade() -> None:\n{textwrap.indent(each.back, '    ')}\n"
        )
        before = revision


def write_knex(migrations: Path, number: int) -> None:
    """Write a migration for each change, as `knex migrate:make` names them."""
    for place, each in enumerate(changes(number)):
        body = textwrap.indent(each.knex, "  ")
        (migrations / f"20260101{place:06}_change.js").write_text(
            f"exports.up = async (knex) => {{\n{body}\n}};\n\nexports.down = async () => {{}};\n"
        )


def write_django(migrations: Path, number: int) -> None:
    """Write a migration for each change, as `manage.py makemigrations` writes them."""
    for place, each in enumerate(changes(number)):
        before = f'[("bench", "{place:04}_change")]' if place else "[]"
        (migrations / f"{place + 1:04}_change.py").write_text(
            "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = {before}\n    operations = [\n        {each.django}\n    ]\n"
        )
