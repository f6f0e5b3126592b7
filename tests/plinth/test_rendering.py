"""What others put into a revision (Alembic's own comparison, a hook) is written as Python that runs."""

import re
from itertools import product

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.autogenerate.render import renderers
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql

from plinth.autogenerate.change.quoting import without_binds
from plinth.autogenerate.write.rendering import use_renderers

models = sa.MetaData()
shops = sa.Table("shops", models, sa.Column("id", sa.Integer, primary_key=True), comment="where things are")
goods = sa.Table(
    "goods",
    models,
    sa.Column("id", sa.Integer, sa.Identity()),
    sa.Column("code", sa.String(50), nullable=False, comment="it's on the label"),
    sa.Column("size", sa.Numeric(6, 2), server_default=sa.text("1.5")),
    sa.Column("shop_id", sa.ForeignKey("shops.id", name="goods_shop", ondelete="CASCADE")),
    sa.PrimaryKeyConstraint("id", name="goods_key"),
    sa.UniqueConstraint("code", "size", name="goods_code_size"),
    sa.CheckConstraint("size > 0", name="goods_positive"),
    sa.Index("goods_by_shop", "shop_id"),
    sa.Index("goods_by_code", sa.text("lower(code)"), unique=True, postgresql_where=sa.text("size > 1")),
)
constraints = {type(each): each for each in goods.constraints}
[by_shop] = [each for each in goods.indexes if each.name == "goods_by_shop"]
[by_code] = [each for each in goods.indexes if each.name == "goods_by_code"]
unique = constraints[sa.UniqueConstraint]
nick = sa.Column("nick", sa.String(20), sa.Computed("code || '!'", persisted=True))

# In an order in which they can run.
OPERATIONS: list[ops.MigrateOperation] = [
    ops.CreateTableOp.from_table(shops),
    ops.CreateTableOp.from_table(goods),
    ops.DropConstraintOp.from_constraint(constraints[sa.CheckConstraint]),
    ops.DropConstraintOp.from_constraint(constraints[sa.ForeignKeyConstraint]),
    ops.DropConstraintOp.from_constraint(unique),
    ops.DropConstraintOp.from_constraint(constraints[sa.PrimaryKeyConstraint]),
    ops.CreatePrimaryKeyOp.from_constraint(constraints[sa.PrimaryKeyConstraint]),
    ops.CreateUniqueConstraintOp.from_constraint(unique),
    ops.CreateForeignKeyOp.from_constraint(constraints[sa.ForeignKeyConstraint]),
    ops.CreateCheckConstraintOp.from_constraint(constraints[sa.CheckConstraint]),
    ops.CreateIndexOp.from_index(by_shop),
    ops.CreateIndexOp.from_index(by_code),
    ops.DropIndexOp.from_index(by_code),
    ops.AddColumnOp.from_column_and_tablename(None, "goods", nick),
    ops.AlterColumnOp(
        "goods",
        "size",
        existing_type=sa.Numeric(6, 2),
        existing_server_default=sa.DefaultClause(sa.text("1.5")),
        modify_type=sa.Numeric(8, 2),
        modify_nullable=False,
        modify_server_default=sa.DefaultClause(sa.text("2")),
        modify_comment="in metres",
    ),
    ops.ModifyTableOps("goods", [ops.AlterColumnOp("goods", "code", modify_name="label")]),
    ops.CreateTableCommentOp("goods", "what's for sale: 100 %"),
    ops.DropTableCommentOp("goods"),
    ops.ExecuteSQLOp("INSERT INTO shops VALUES (7)"),
    ops.DropColumnOp("goods", "nick"),
    ops.RenameTableOp("goods", "wares"),
    ops.DropTableOp("wares"),
    ops.DropTableOp.from_table(shops),
]
# Those that hold others, and the one for which Alembic itself has no way of writing.
OTHERS = {
    *(ops.MigrateOperation, ops.OpContainer, ops.UpgradeOps, ops.DowngradeOps, ops.MigrationScript),
    *(ops.AddConstraintOp, ops.AlterTableOp, ops.BulkInsertOp),
}


def test_however_often_it_is_asked_for_each_is_written_by_one_renderer() -> None:
    use_renderers()
    before = dict(renderers._registry)
    use_renderers()
    assert renderers._registry == before


def test_each_operation_of_alembics_is_among_them() -> None:
    classes = {
        each
        for each in vars(ops).values()
        if isinstance(each, type) and issubclass(each, ops.MigrateOperation)
    }
    assert {type(each) for each in OPERATIONS} == classes - OTHERS


def test_alembics_operations_are_written_as_python_that_runs(empty_engine: Engine) -> None:
    use_renderers()  # from here on, our renderers are Alembic's
    with empty_engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        for operation in OPERATIONS:
            source = render_python_code(ops.UpgradeOps([operation]))
            lines = "\n".join(line.removeprefix("    ") for line in source.splitlines())
            exec(compile(lines, "<revision>", "exec"), {"op": op, "sa": sa})  # noqa: S102 - what it is for
            if isinstance(operation, ops.CreateIndexOp):
                found = {each["name"] for each in sa.inspect(connection).get_indexes("goods")}
                assert operation.index_name in found
        assert sa.inspect(connection).get_table_names() == []


def test_text_finds_no_parameter_in_sql_and_leaves_it_as_it_is() -> None:
    every = ["".join(each) for size in range(1, 6) for each in product(r":\a $", repeat=size)]
    if sa.__version__ < "2.1":  # no spelling of a colon behind a dollar means the same to both
        every = [each for each in every if not re.search(r"\$[a$]*:", each)]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    asked = [sa.text(without_binds(each)).compile(dialect=dialect) for each in every]
    assert [(str(each), each.params) for each in asked] == [(each, {}) for each in every]
