"""A column gets another name, and the old one stays usable until no code uses it any more (`keep_old`).

PostgreSQL renames at once, and code that runs fails. Instead a second column of the new name is kept equal to
the old one, whichever of the two is written; the old one goes in the revision that comes after the code.
"""

from collections.abc import Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.change.backfills import Fill, backfill
from plinth.autogenerate.change.belongings import lock
from plinth.autogenerate.change.expressions import default_sql
from plinth.autogenerate.change.parts import Piece, keys_on, on_column
from plinth.autogenerate.change.quoting import made_name, quoted, schema_of, shown, temporary_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import CommentOp
from plinth.autogenerate.change.way import Operations, Way
from plinth.autogenerate.objects import constraints
from plinth.autogenerate.objects.columns import alter_op, native_column, server_default
from plinth.autogenerate.objects.constraints import drop_constraint
from plinth.autogenerate.objects.indexes import drop_index
from plinth.autogenerate.objects.not_null import loosen
from plinth.autogenerate.objects.values import has_constrained_domain
from plinth.autogenerate.online.keepers import KeepingTrigger, stop_at_rows_past
from plinth.catalog.picture import Catalog, ColumnName, Index, Name, Table


def refuse_unkept(way: Way) -> None:
    """Return if each column that should keep its old name can.

    Raises:
        Refusal: one can't, and refusals aren't collected.
    """
    for place, old in way.change.kept_names.items():
        why = next(_objections(way, place, old), None)
        if why:
            where = f"{shown(place.table, way.change.after)}.{place.column}"
            refuse_kept_name(f"Column {where}", old, why)


def refuse_kept_name(what: str, old: str, why: str) -> None:
    """Refuse to keep an old name.

    Args:
        what: has it.
        old: the name.
        why: it can't be kept.

    Raises:
        Refusal: refusals aren't collected.
    """
    refuse(
        "kept name",
        f"{what} can't keep its old name {old} beside the new one, for {why}. Without "
        '"keep_old": True in its info it is renamed at once, while no code runs that uses the old name.',
    )


def _objections(way: Way, place: ColumnName, name: str) -> Iterator[str]:
    before, after = (each.tables[place.table] for each in (way.before, way.change.after))
    old, new = before[name], after[place.column]
    for changes, what in (
        (old.type != new.type, f"its type changes too ({old.type} to {new.type})"),
        (old.default != new.default, "its default changes too"),
        (new.not_null and not old.not_null, "it becomes required too"),
    ):
        if changes:
            yield f"{what}: do that in a revision of its own"
    if any(each.generated or each.identity or each.sequence for each in (old, new)):
        yield "it is generated, an identity or serial column"
    if new.has_volatile_default:
        yield "its default is another one each time"
    domain = way.change.after.domain_of(new)
    if has_constrained_domain(way.change, new) or (domain and domain.default is not None):
        yield "its type is a domain with a default or constraints, which a second column has at once"
    if way.has_relatives(place.table):
        yield "the table is partitioned, or inherits"
    if any(each.kind == "trigger" and each.table == place.table for each in way.before.others.values()):
        yield "the table has triggers"
    if _is_referred_to(way, place.table, name):
        yield "it is a key"
    if any(name in column.uses for column in before.columns):
        yield "a generated column stands on it"
    if any(ColumnName(place.table, name) in each.uses for each in way.before.others.values()):
        yield "a view, policy or the like stands on it"
    if native_column(new, after, way.change.after) is None:
        yield "SQLAlchemy has no name for its type"


def _is_referred_to(way: Way, table: Name, column: str) -> bool:
    key = way.before.tables[table].primary_key
    return bool(key and column in key.columns) or any(
        each.reference.table == table and column in each.reference.columns
        for _, each in keys_on(way.before, {ColumnName(table, column)})
    )


def keep_names(way: Way) -> None:
    """Go on by the new columns, each kept equal to the old one; who reads by the new name sees all soon."""
    for place, old in sorted(way.change.kept_names.items()):
        pair = _Pair(way, place, old)
        moves = _moves(way, place.table, old)
        up = [
            CommentOp(
                f"The name {old} stays usable until no code uses it: a trigger keeps the two columns equal."
            ),
            *(there for there, _ in moves),
            *pair.add(place.column, way.at),
            *pair.keep(way.at),
        ]
        down = [*pair.stop(way.at), *pair.drop(place.column, way.at), *(back for _, back in moves)]
        table = _with_other_names(way.at.tables[place.table], way.change.after.tables[place.table], old)
        beside = replace(pair.new, not_null=False)
        way.step(way.with_table(replace(table, columns=(*table.columns, beside))), up, down)
        before = _with_other_names(way.before.tables[place.table], way.change.after.tables[place.table], old)
        way.before = replace(way.before, tables={**way.before.tables, place.table: before})


def drop_old_names(way: Way) -> None:
    """Go on by dropping the old columns and what stands on them; the way back fills them again."""
    for place, old in sorted(way.change.kept_names.items()):
        name = place.table
        for part in on_column(way.at.tables[name], old):
            if isinstance(part, Index):
                drop_index(way, name, part)
            else:
                drop_constraint(way, name, part)
        pair = _Pair(way, place, old)
        if pair.old.not_null:
            loosen(way, name, pair.old)
        fill = Fill(old, quoted(place.column), may_be_null=True, is_moved=True)
        way.step(way.at, [], backfill(way.at.tables[name], fill, way.at))
        table = way.at.tables[name]
        up = [*pair.stop(way.at), *pair.drop(old, way.at)]
        down = [*pair.add(old, way.at), *pair.keep(way.at)]
        way.step(way.with_table(table.without_columns({old})), up, down)


Move = tuple[ops.MigrateOperation, ops.MigrateOperation]


def _moves(way: Way, name: Name, old: str) -> list[Move]:
    """Return what takes names from what stands on the old column, and back, where the new one needs them."""
    table, wanted = way.at.tables[name], way.change.after.tables[name]
    return [
        (
            constraints.rename_part_op(name, part, aside, way.at),
            constraints.rename_part_op(name, replace(part, name=aside), part.name, way.at),
        )
        for part, aside in _asides(table, wanted, old)
    ]


def _asides(table: Table, wanted: Table, old: str) -> Iterator[tuple[Piece, str]]:
    taken = {*table.constraints, *table.indexes, *wanted.constraints, *wanted.indexes}
    for part in on_column(table, old):
        if part.name in wanted.constraints or part.name in wanted.indexes:
            yield part, temporary_name(part.name, "_old", taken)


def _with_other_names(table: Table, wanted: Table, old: str) -> Table:
    names = {part.name: aside for part, aside in _asides(table, wanted, old)}

    def own(part: Piece) -> Piece:
        return replace(part, name=names.get(part.name, part.name))

    return replace(table, constraints={}, indexes={}).having(*map(own, table.parts))


def _differ(one: str, other: str) -> str:
    """Return the condition that two values differ, by their bytes.

    json has no equality, and other values may be equal, or be printed alike.
    """
    return f"record_image_ne(ROW({one}), ROW({other}))"


class _Pair:
    """A column by its old name and by its new one.

    Args:
        way: so far.
        place: the new one.
        old: the old one's name.
    """

    def __init__(self, way: Way, place: ColumnName, old: str) -> None:
        self.name = place.table
        self.old = way.before.tables[self.name][old]
        self.new = way.change.after.tables[self.name][place.column]
        self._before = way.before
        self._after = way.change.after
        names = [made_name(self.name.name, old, "kept")]
        names += [
            made_name(self.name.name, other, "kept")
            for its, other in way.change.kept_names.items()
            if its.table == self.name and other != old
        ]
        # Those of other columns change neither of the two.
        self._later = [each for each in names if each.encode() > names[0].encode()]
        self._trigger = KeepingTrigger(Name(self.name.schema, names[0]), self.name)

    def add(self, column: str, catalog: Catalog) -> list[ops.MigrateOperation]:
        """Return what adds one of the two; with its default for rows to come, and no value in those there."""
        is_new = column == self.new.name
        one, home = (self.new, self._after) if is_new else (self.old, self._before)
        native = native_column(replace(one, not_null=False, default=None), home.tables[self.name], home)
        if native is None:
            raise TypeError(one.type)
        schema = schema_of(self.name, catalog)
        found: list[ops.MigrateOperation] = [ops.AddColumnOp(self.name.name, native, schema=schema)]
        if one.default is not None:
            table = catalog.tables[self.name]
            found.append(alter_op(table, column, catalog, modify_server_default=server_default(one)))
        return found

    def drop(self, column: str, catalog: Catalog) -> Operations:
        """Return what drops one of the two; what it has by then goes over to the other (`left_columns`)."""
        one, other = (self.new, self.old) if column == self.new.name else (self.old, self.new)
        found: list[ops.MigrateOperation] = []
        if one.comment is not None and other.comment is None:
            found.append(alter_op(catalog.tables[self.name], column, catalog, modify_comment=None))
        found.append(ops.DropColumnOp(self.name.name, column, schema=schema_of(self.name, catalog)))
        return found

    def keep(self, catalog: Catalog) -> Operations:
        """Return what makes the trigger: the one that is written tells the other.

        A row that leaves a column out has its default there. Where neither changes, one of the two may not be
        filled yet, and what fills it may pass the row over: its key may change.
        """
        old, new = (quoted(each.name) for each in (self.old, self.new))
        default = default_sql(self.new)

        left_out = f"({default})::{self.new.type}"
        is_given = _differ(f"NEW.{new}", left_out) if default else f"NEW.{new} IS DISTINCT FROM NULL"
        body = [
            "BEGIN",
            "    IF TG_OP = 'INSERT' THEN",
            f"        IF {is_given} THEN NEW.{old} := NEW.{new};",
            f"        ELSE NEW.{new} := NEW.{old}; END IF;",
            f"    ELSIF {_differ(f'NEW.{new}', f'OLD.{new}')} THEN NEW.{old} := NEW.{new};",
            f"    ELSIF {_differ(f'NEW.{old}', f'OLD.{old}')} THEN NEW.{new} := NEW.{old};",
            f"    ELSE NEW.{new} := coalesce(NEW.{new}, NEW.{old}); NEW.{old} := NEW.{new};",
            "    END IF;",
            "    RETURN NEW;",
            "END",
        ]
        return self._trigger.make("\n".join(body), catalog)

    def stop(self, catalog: Catalog) -> Operations:
        """Return what drops the trigger, before one of the two goes."""
        old, new = quoted(self.old.name), quoted(self.new.name)
        differ, mend = _differ(old, new), f"{new} = {old}"
        stop = self._trigger.stop((old, new), differ, mend, catalog, self._later)
        return [lock([self.name], catalog), stop_at_rows_past([stop]), *self._trigger.drop(catalog)]


STAGES = (
    Stage("columns beside old names", keep_names, ["columns changed in place"]),
    Stage("no old names", drop_old_names, ["late exchanged columns"], is_after=True),
)
