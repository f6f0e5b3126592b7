"""Columns of another type take the place of those that stand: a key's together with all that refer to it.

Beside each column stands a second one, which a trigger keeps equal. It is filled in batches, and gets all
that will stand on it: checks, indexes, foreign keys. Then they exchange their names, in one transaction that
changes the catalog only. The way back is the same with the columns that were left.
"""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from alembic.operations import ops

from plinth.autogenerate.change import dependents, publications
from plinth.autogenerate.change.backfills import Fill, backfill
from plinth.autogenerate.change.belongings import lock
from plinth.autogenerate.change.order import in_order
from plinth.autogenerate.change.partitions import settled
from plinth.autogenerate.change.parts import Piece, keys_on, moved, on_column
from plinth.autogenerate.change.quoting import (
    do_block,
    literal,
    quoted,
    quoted_list,
    schema_of,
    shown,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.steps import CommentOp, SqlOp
from plinth.autogenerate.change.way import Operations, Outside, Way, virtual_on
from plinth.autogenerate.objects import (
    constraints,
    foreign_keys,
    indexes,
    not_null_names,
    said_anew,
    triggers,
)
from plinth.autogenerate.objects.columns import (
    alter_op,
    default_op,
    loosened,
    native_column,
    server_default,
    without_value,
)
from plinth.autogenerate.objects.constraints import (
    add_constraint,
    add_not_valid,
    added_on_index,
    key_index,
    validate,
)
from plinth.autogenerate.objects.enums import new_enum
from plinth.autogenerate.objects.foreign_keys import moved_key
from plinth.autogenerate.objects.indexes import add_index, build_for_key
from plinth.autogenerate.objects.not_null import not_null_check, tightened
from plinth.autogenerate.objects.sequences import identity_sql, made_its_own
from plinth.autogenerate.online.keepers import Keeper, Turn, stop_at_rows_past
from plinth.autogenerate.online.materialized import Beside
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Index, Name, Other, Table

_SIZES = {"smallint": 2, "integer": 4, "bigint": 8}
_WIDTH = 90  # of a comment's lines
_WHY = "in place, the table would be written anew while nobody can use it."


def swap(way: Way, places: Sequence[ColumnName]) -> None:
    """Go the whole way of columns that change together, but for the drop of the old ones."""
    others, goal = way.at.others, dependents.goal_of(way)
    triggers.guard(way, {place.table for place in places})
    turns = [_begin(way, place, places) for place in places]
    there = _Exchange(way, turns, goal)
    there.fill()
    there.prepare()
    before, reached = replace(way.at, others=others), there.reached()
    back_way = replace(way, at=reached, parts=[], change=replace(way.change, is_downgrade=True))
    back = _Exchange(back_way, [turn.back for turn in turns], before, there.names)
    back.begin()
    back.prepare()
    again = there.analyze_again()
    way.step(way.at, [], again)
    for looked in reversed(back.looks()):
        way.step(way.at, [], looked)
    way.step(reached, there.take_over(), back.take_over())
    for looked in there.looks():
        way.step(reached, looked)
    way.step(reached, again)
    for part in reversed(back_way.parts):
        way.step(reached, [], part.up)


def _begin(way: Way, place: ColumnName, places: Sequence[ColumnName]) -> Turn:
    """Go on by a second column beside one, kept equal to it."""
    name, column = place
    enum = new_enum(way, place)
    if enum:
        way.go(enum.made(way.at))
    table, wanted = way.at.tables[name], way.change.after.tables[name][column]
    taken = {each.name for each in table.columns}
    new, old = (temporary_name(column, ending, taken) for ending in ("_new", "_old"))
    beside, left = without_value(_bare(wanted, new), way.at), _bare(table[column], old)
    if enum:
        beside, left = enum.typed(beside, enum.new, way.at), enum.typed(left, enum.old, way.at)
    own = table[column]
    later = replace(wanted, has_privileges=own.has_privileges, published_by=own.published_by)
    turn = Turn(name, table[column], later, beside, left, enum)
    to = way.with_table(replace(table, columns=(*table.columns, beside)))
    native = native_column(beside, table, way.at)
    if native is None:
        raise TypeError(wanted.type)
    schema = schema_of(name, way.at)
    up = [ops.AddColumnOp(name.name, native, schema=schema), *Keeper(way, turn).make()]
    if place == places[0]:
        up.insert(0, CommentOp(_comment(way, places)))
    way.step(to, up)
    return turn


def _bare(column: Column, name: str) -> Column:
    """Return a column under another name that nobody has to give a value."""
    none = frozenset[str]()
    return replace(
        column, name=name, not_null=False, default=None, identity="", sequence=None, published_by=none
    )


def _comment(way: Way, places: Sequence[ColumnName]) -> str:
    if len(places) == 1:
        text = f"A second column takes the place of {places[0].column}: {_WHY}"
        keep = "Until then a trigger keeps the two equal."
    else:
        names = ", ".join(f"{shown(each.table, way.at)}.{each.column}" for each in places)
        text = f"Second columns take the places of {names}, all at once: {_WHY}"
        keep = "Until then triggers keep them equal."
    return "\n".join(textwrap.wrap(f"{text} {keep}", _WIDTH, break_on_hyphens=False))


@dataclass(frozen=True)
class _Made:
    """What will stand on the columns that take over.

    Args:
        table: whose.
        name: what it is called until then.
        piece: as it will be; a primary key is but an index until then.
    """

    table: Name
    name: str
    piece: Piece


class _Exchange:
    """Columns that take over the names of others, all at once.

    Args:
        way: so far.
        turns: the columns.
        goal: a schema that says what will stand on them.
        names: of what has to make place, or comes back, although it stands on other columns.
    """

    def __init__(
        self, way: Way, turns: Sequence[Turn], goal: Catalog, names: Collection[tuple[Name, str]] = ()
    ) -> None:
        self.way = way
        self.turns = turns
        self.goal = goal
        self.names = set(names)
        self.keepers = [Keeper(way, turn) for turn in turns]
        self.places = {turn.place for turn in turns}
        self.required: dict[ColumnName, Constraint] = {}
        self.made: list[_Made] = []
        self.late: list[tuple[Name, Constraint]] = []
        self.views = Beside(way, way.at, [])

    def _of(self, table: Name) -> list[Turn]:
        return [turn for turn in self.turns if turn.table == table]

    def _beside(self, table: Name) -> dict[str, str]:
        return {turn.old.name: turn.beside.name for turn in self._of(table)}

    def _types(self) -> dict[str, str]:
        """Return what enums are called until then, by what they will be called."""
        names: dict[str, str] = {}
        for turn in self.turns:
            if turn.enum:
                names |= turn.enum.called(turn.enum.old if turn.is_back else turn.enum.new, self.way.at)
        return names

    @property
    def own_tables(self) -> list[Name]:
        """The tables of the columns, in their order."""
        return list(dict.fromkeys(turn.table for turn in self.turns))

    def pieces(self, table: Table) -> list[Piece]:
        """Return what stands on the columns of a table, or has a name that is taken; foreign keys aside."""
        own: list[Piece] = [each for each in table.constraints.values() if each.type not in {"n", "f"}]
        own += table.indexes.values()
        on_columns = {each.name for turn in self._of(table.name) for each in on_column(table, turn.old.name)}
        on_columns -= self._on_virtual(table).keys()
        return [each for each in own if each.name in on_columns or (table.name, each.name) in self.names]

    def _virtual(self, name: Name) -> set[str]:
        """Return the columns that are generated from those that exchange their names, and made anew then."""
        turned = {turn.old.name for turn in self._of(name)}
        return virtual_on(self.way.at.tables[name], self.goal.tables[name], turned)

    def _on_virtual(self, table: Table) -> dict[str, Constraint]:
        """Return the checks on them, by name; PostgreSQL has nothing else on such a column."""
        found = [each for column in self._virtual(table.name) for each in on_column(table, column)]
        return {each.name: each for each in found if isinstance(each, Constraint)}

    def _checks(self, name: Name) -> list[Constraint]:
        """Return those that come again with the columns."""
        wanted = self.goal.tables[name].constraints
        standing = self._on_virtual(self.way.at.tables[name])
        return [wanted.get(each, old) for each, old in standing.items()]

    def _required(self, name: Name) -> list[tuple[Column, Constraint]]:
        """Return those of the columns that refuse NULL afterwards, and the checks that do so until then."""
        table = self.goal.tables[name]
        found = [table[each] for each in sorted(self._virtual(name)) if table[each].not_null]
        return [(each, not_null_check(self.way.at.tables[name], each)) for each in found]

    def _without_virtual(self, catalog: Catalog) -> Catalog:
        """Return a schema in which these columns aren't."""
        tables = dict(catalog.tables)
        for name in self.own_tables:
            gone = [*self._checks(name), *(check for _, check in self._required(name))]
            left = tables[name].without(*(each.name for each in gone))
            tables[name] = left.without_columns(self._virtual(name))
        return replace(catalog, tables=tables)

    # What happens beside the work of the application

    def begin(self) -> None:
        """Let the columns that were left be equal again, as the way back begins."""
        too_large = Outside(op for turn in self.turns for op in self._refuse_too_large(turn))
        self.way.step(self.way.at, too_large)
        triggers.guard(self.way, self.own_tables)
        for keeper in self.keepers:
            self.way.step(self.way.at, keeper.make())
        self.fill()

    def fill(self) -> None:
        """Fill the columns, batch by batch."""
        at = self.way.at
        for keeper in self.keepers:
            turn = keeper.turn
            says_so = bool(triggers.own_triggers(at, {turn.table}))
            fill = Fill(
                turn.beside.name,
                keeper.value,
                keeper.missing,
                says_so,
                may_be_null=not turn.is_back and keeper.otherwise is None,
                is_kept=True,
                is_moved=not turn.new.not_null,  # of what is required a check is validated
            )
            self.way.step(at, backfill(at.tables[turn.table], fill, at))

    def _refuse_too_large(self, turn: Turn) -> Iterator[SqlOp]:
        """Yield what stops if a number of a key is too large for its old type, before any trigger would."""
        table = self.way.at.tables[turn.table]
        column, key = quoted(turn.old.name), table.primary_key
        if _SIZES.get(turn.beside.type, 8) >= _SIZES.get(turn.old.type, 0):
            return
        asked = []
        if key is not None and key.columns[0] == turn.old.name:
            asked += [f"{each}({column})::{turn.beside.type}" for each in ("max", "min")]
        sequence = turn.old.sequence
        if sequence is not None:
            source = sql_name(sequence, self.way.at)
            asked.append(f"(SELECT last_value::{turn.beside.type} FROM {source})")  # noqa: S608 - quoted names
        if asked:
            yield SqlOp(
                f"SELECT {', '.join(asked)} FROM {sql_name(turn.table, self.way.at)}",  # noqa: S608
                table=turn.table,
                note=f"stops if a number is too large for {turn.beside.type}, before any trigger would",
            )

    def prepare(self) -> None:
        """Go on by all that will stand on the columns, without holding anybody up."""
        for turn in self.turns:
            if turn.new.not_null:
                check = not_null_check(self.way.at.tables[turn.table], turn.beside)
                self.required[turn.place] = check
                add_not_valid(self.way, turn.table, check)
                validate(self.way, turn.table, check)
        for name in self.own_tables:
            for piece in self.pieces(self.goal.tables[name]):
                self._make(name, piece)
        self._analyze()
        for owner, key in keys_on(self.goal, self.places):
            at = self.way.at.tables.get(owner)
            if at is None or key.name not in at.constraints:
                continue
            if self._is_late(key):
                self.late.append((owner, key))
            else:
                self._make_key(owner, key)
        self.views = Beside(self.way, self.reached(), self._others())
        if self.views.views:
            self.way.step(self.way.at, self.views.make(*self._lend()))
            self.way.step(self.way.at, self.views.fill())

    def _analyze(self) -> None:
        """Let the planner know the columns, before anybody asks for them."""
        for name in self.own_tables:
            columns = quoted_list(tuple(self._beside(name).values()))
            op = SqlOp(f"ANALYZE {sql_name(name, self.way.at)} ({columns})", table=name)
            self.way.step(self.way.at, Outside([op]))

    def analyze_again(self) -> Operations:
        """Return what fills the statistics of several columns, which are made anew with the exchange."""
        names = {each.table for each in self._others() if each.kind == "statistics" and each.table}
        return Outside(SqlOp(f"ANALYZE {sql_name(name, self.way.at)}", table=name) for name in sorted(names))

    def _free(self, table: Table, name: str) -> str:
        ending = "_old" if self.turns[0].is_back else "_new"
        return temporary_name(name, ending, {*table.constraints, *table.indexes})

    def _make(self, name: Name, piece: Piece) -> None:
        table = self.way.at.tables[name]
        own = self._free(table, piece.name)
        self.made.append(_Made(name, own, piece))
        self.names.add((name, piece.name))
        beside = moved(piece, self._beside(name), own, self._types())
        if isinstance(beside, Index):
            add_index(self.way, name, beside, goes=True)
        elif beside.type == "p":
            index = key_index(beside, table)  # a partitioned table's own comes with the key
            built = build_for_key(index, table, self.way.at)
            self.way.step(self.way.with_table(table.having(index)), Outside(built))
        else:
            add_constraint(self.way, name, beside, goes=True)

    def _make_key(self, owner: Name, key: Constraint) -> None:
        own = self._free(self.way.at.tables[owner], key.name)
        self.made.append(_Made(owner, own, key))
        referred = self._beside(key.reference.table)
        beside = moved_key(key, self._beside(owner), referred, own, self.way.at)
        add_constraint(self.way, owner, beside, goes=True)

    def _is_late(self, key: Constraint) -> bool:
        """Whether a foreign key refers to a primary key that isn't there before the exchange.

        A table has one, and with partitions its index can't be built beforehand: only theirs can.
        """
        target = self.goal.tables[key.reference.table]
        primary, turned = target.primary_key, self._beside(target.name)
        return (
            bool(target.partition_key)
            and primary is not None
            and set(primary.columns) == set(key.reference.columns)
            and not turned.keys().isdisjoint(primary.columns)
        )

    def looks(self) -> list[Operations]:
        """Return what looks at all rows, after the exchange, for what could only be added with it."""
        at, found = self.way.at, list[Operations]()
        for name in self.own_tables:
            table, required = at.tables[name], self._required(name)
            checks = [each for each in self._checks(name) if each.validated and not each.is_not_enforced]
            for each in (*checks, *(check for _, check in required)):
                found.append(Outside([constraints.validate_op(each, table, at)]))
            goal = self.goal.tables[name]
            found += [tightened(goal, column.name, check, at) for column, check in required]
        for owner, key in self.late:
            found += foreign_keys.looks(key, at.tables[owner], at)
        return found

    def _add_late(self) -> Iterator[ops.MigrateOperation]:
        """Yield what adds such foreign keys for new rows; for those that are there, the old ones held."""
        for owner, key in self.late:
            table = self.way.at.tables[owner]
            if table.partition_key:
                yield foreign_keys.added_to_partitions(key, table, self.way.at)
            else:
                yield constraints.not_valid_op(key, table, self.way.at)

    def _lend(self) -> tuple[Operations, Operations]:
        """Return what gives the columns and types their later names, and what takes these back."""
        at, lend, back = self.way.at, list[ops.MigrateOperation](), list[ops.MigrateOperation]()
        if len(self.own_tables) > 1:
            lend.append(lock(in_order(self.own_tables, at), at))
        for enum in dict.fromkeys(turn.enum for turn in self.turns if turn.enum):
            beside, aside_it = enum.old if self.turns[0].is_back else enum.new, enum.aside(at)
            lend += enum.turn(aside_it, beside, at)
            back += enum.turn(beside, aside_it, at)
        for turn in self.turns:
            own, beside_it = turn.old.name, turn.beside.name
            aside = temporary_name(own, "_aside", {each.name for each in at.tables[turn.table].columns})
            lend += [self._alter(turn, old, modify_name=new) for old, new in ((own, aside), (beside_it, own))]
            back += [self._alter(turn, old, modify_name=new) for old, new in ((own, beside_it), (aside, own))]
        return lend, back

    # The exchange

    def _dropped(self) -> list[tuple[Name, Piece]]:
        """Return what goes with the columns that are left, as these get no values any more.

        Not every check would let them, and a foreign key's actions would be those of an older value.
        """
        found: list[tuple[Name, Piece]] = [*keys_on(self.way.at, self.places)]
        for name in self.own_tables:
            found += [(name, each) for each in self.pieces(self.way.at.tables[name])]
        return found

    def take_over(self) -> Operations:
        """Return the operations of the transaction in which the columns exchange their names."""
        at = self.way.at
        dropped = self._dropped()
        names = {*self.own_tables, *(name for name, _ in dropped)}
        names |= {key.reference.table for _, key in keys_on(at, self.places)}
        gone = self._others()
        names |= {each.table for each in gone if each.table and each.table in at.tables}
        views = [each for each in gone if each.table not in at.tables]
        if {node for each in gone if each not in views for node in each.needs} & {
            each.node for each in views
        }:
            views = []
        # Views before their tables, as queries lock them.
        found: list[ops.MigrateOperation] = [*self._drop_others(at, views)]
        found.append(lock(in_order(names, at), at))
        found.append(stop_at_rows_past([each.stop(self.keepers) for each in self.keepers]))
        at = dependents.without(at, views)
        found += self._drop_others(at, [each for each in gone if each not in views])
        left = dependents.without(self.way.at, gone)
        found += self.way.up(left, self._without_virtual(left))
        for keeper in self.keepers:
            found += keeper.drop()
        found += self._unchosen()
        for turn in self.turns:
            if turn.old.default is not None:
                found.append(self._default(at, turn, replace(turn.old, default=None)))
        for enum in dict.fromkeys(turn.enum for turn in self.turns if turn.enum):
            old, new = (enum.new, enum.old) if self.turns[0].is_back else (enum.old, enum.new)
            found += enum.turn(old, new, at)
        found += [_drop(each, at.tables[name], at) for name, each in dropped]
        for turn in self.turns:
            if turn.old.not_null and not turn.old.identity:
                found += loosened(at.tables[turn.table], turn.old.name, at)
        found += [self._rename(each) for each in self.made if not _is_primary(each.piece)]
        found += [self._grant(turn) for turn in self.turns if turn.old.has_privileges]
        published = [turn.place for turn in self.turns if turn.old.published_by]
        found += [publications.unpublish(published, at)] if published else []
        for turn in self.turns:
            found += [
                self._alter(turn, turn.old.name, modify_name=turn.left.name),
                self._alter(turn, turn.beside.name, modify_name=turn.old.name),
            ]
        for turn in self.turns:
            found += self._settle(turn)
        for each in self.made:
            if _is_primary(each.piece) and isinstance(each.piece, Constraint):
                table = at.tables[each.table]
                found += added_on_index(each.piece, each.name, table, at)
        found += self._add_late()
        there = dependents.without(self.reached(looked_at=False), gone)
        found += self.way.up(self._without_virtual(there), there)
        found += self._settle_parts()
        found += self._chosen()
        found += [publications.publish()] if published else []
        # In the same transaction: nobody could tell later that it misses what was written since.
        found += [
            ops.DropColumnOp(turn.table.name, turn.left.name, schema=schema_of(turn.table, at))
            for turn in self.turns
            if turn.is_back
        ]
        found += self.views.take_over()
        found += self._make_others(self.views.rest)
        return [*found, *self._say_anew(dropped, gone)]

    def _say_anew(self, dropped: Collection[tuple[Name, Piece]], gone: Collection[Other]) -> Iterator[SqlOp]:
        """Yield what names that of which less is said afterwards: what it had isn't said again."""
        reached = self.reached()
        pairs: list[tuple[str, said_anew.Said, said_anew.Said]] = []
        for turn in self.turns:
            if turn.old.identity and (sequence := turn.old.sequence):
                before, after = (each.sequences[sequence] for each in (self.way.at, reached))
                pairs.append((turn.old.name, said_anew.said(before), said_anew.said(after)))
        for name, piece in dropped:
            table = reached.tables[name]
            if new := table.indexes.get(piece.name) or table.constraints.get(piece.name):
                pairs.append((piece.name, said_anew.said(piece), said_anew.said(new)))
        for each in gone:
            other = reached.others.get((each.kind, each.name), each)
            pairs.append((each.bare, said_anew.said(each), said_anew.said(other)))
        yield from said_anew.say(name for name, before, after in pairs if said_anew.loses(before, after))

    def _others(self) -> list[Other]:
        """Return what goes with the old columns, and comes again on those that take over."""
        nodes = {node for place in self.places for node in dependents.nodes_of(self.way.at, place)}
        own = triggers.own_triggers(self.way.at, self.own_tables)
        return dependents.standing_on(self.way.at, nodes | {each.node for each in own}, own)

    def _drop_others(self, at: Catalog, gone: Collection[Other]) -> Operations:
        return self.way.up(at, dependents.without(at, gone)) if gone else []

    def _make_others(self, gone: Collection[Other]) -> Operations:
        reached = self.reached()
        return self.way.up(dependents.without(reached, gone), reached) if gone else []

    def _alter(self, turn: Turn, column: str, **what: object) -> ops.AlterColumnOp:
        return alter_op(self.way.at.tables[turn.table], column, self.way.at, **what)

    def _default(self, at: Catalog, turn: Turn, column: Column) -> ops.MigrateOperation:
        return default_op(replace(self.way.change, after=at), at.tables[turn.table], column)

    def _settle_parts(self) -> Iterator[SqlOp]:
        """Yield what lets partitions' parts have their names."""
        for name in dict.fromkeys(each.table for each in self.made):
            table = self.way.at.tables[name]
            if table.partition_key:
                yield from settled(
                    [each.piece for each in self.made if each.table == name], table, self.way.at
                )

    def _rename(self, made: _Made) -> ops.MigrateOperation:
        until_then = replace(made.piece, name=made.name)
        return constraints.rename_part_op(made.table, until_then, made.piece.name, self.way.at)

    def _settle(self, turn: Turn) -> Iterator[ops.MigrateOperation]:
        """Yield what a column gets when it has its name: its default, NOT NULL, its sequence, no comment."""
        column, check = turn.new, self.required.get(turn.place)
        table = self.way.at.tables[turn.table]
        if column.default is not None:
            yield self._alter(turn, column.name, modify_server_default=server_default(column))
        elif turn.beside.default is not None:
            yield self._alter(turn, column.name, modify_server_default=None)
        if turn.old.comment is not None and column.comment is None:  # it went over with the name
            yield self._alter(turn, column.name, modify_comment=None)
        if turn.old.identity:
            yield self._pass_identity(turn)
        elif check:
            yield self._alter(turn, column.name, modify_nullable=False)
        if check:
            yield from not_null_names.not_null_name_ops(
                self.goal.tables[turn.table], column.name, self.way.at
            )
            yield constraints.drop_op(check, table, self.way.at)
        if turn.old.sequence and not turn.old.identity:
            place = f"{sql_name(turn.table, self.way.at)}.{quoted(column.name)}"
            sequence = sql_name(turn.old.sequence, self.way.at)
            yield SqlOp(f"ALTER SEQUENCE {sequence} OWNED BY {place}", table=turn.table)
        if turn.old.identity and column.sequence:
            sequence_after = self.goal.sequences[column.sequence]
            if sequence_after.comment is not None:
                name = sql_name(column.sequence, self.way.at)
                yield SqlOp(
                    f"COMMENT ON SEQUENCE {name} IS {literal(sequence_after.comment)}", table=turn.table
                )

    def _grant(self, turn: Turn) -> SqlOp:
        """Return what gives the new column the privileges that the old one has in this database."""
        table = sql_name(turn.table, self.way.at)
        lines = [
            "DECLARE said text; BEGIN",
            "    FOR said IN",
            "        SELECT format('GRANT %s (%I) ON %s TO %s %s', privilege_type, "
            f"{literal(turn.beside.name)}, attrelid::regclass,",
            "            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,",
            "            CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END)",
            "        FROM pg_attribute, aclexplode(attacl) "
            f"WHERE attrelid = {literal(table)}::regclass AND attname = {literal(turn.old.name)}",
            "    LOOP EXECUTE said; END LOOP;",
        ]
        return SqlOp(do_block(lines), table=turn.table)

    def _pass_identity(self, turn: Turn) -> SqlOp:
        """Return what gives the new column an identity that goes on where the old one's stands."""
        column = turn.new
        if column.sequence is None:
            raise TypeError(f"{column.name} has no sequence")
        sequence = sql_name(column.sequence, self.way.at)
        table = sql_name(turn.table, self.way.at)
        alter = f"ALTER TABLE {table} ALTER COLUMN"
        # What refuses NULL in partitions is their own (`loosened`), and has the name that the new one gets.
        theirs = [
            f"    FOR part IN SELECT oid FROM pg_class, pg_partition_tree({literal(table)})",  # noqa: S608 - quoted
            "        WHERE oid = relid AND isleaf AND relkind = 'r'",
            "    LOOP",
            "        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', part, "
            f"{literal(turn.left.name)});",
            "    END LOOP;",
        ]
        is_parted = self.way.at.tables[turn.table].partition_key
        before, after = (each.sequences[column.sequence] for each in (self.way.at, self.goal))
        note, again = made_its_own(before, after, sequence)
        own, parts = "its text; " * bool(note), "part regclass; " * bool(is_parted)
        lines = [
            f"DECLARE value bigint; called boolean; {own}{parts}BEGIN",
            f"    SELECT last_value, is_called INTO value, called FROM {sequence};",  # noqa: S608 - quoted names
            *note,
            f"    {alter} {quoted(turn.left.name)} DROP IDENTITY;",
            f"    {alter} {quoted(turn.left.name)} DROP NOT NULL;",
            *(theirs if is_parted else ()),
            f"    {alter} {quoted(column.name)} SET NOT NULL;",
            f"    {alter} {quoted(column.name)} ADD {identity_sql(column, self.goal)};",
            *again,
            f"    PERFORM setval({literal(sequence)}, value, called);",
        ]
        return SqlOp(do_block(lines), table=turn.table)

    def _unchosen(self) -> Iterator[SqlOp]:
        """Yield what lets rows be told apart by the primary key meanwhile, where it was another index."""
        for name, index in self._indexes():
            if self.way.at.tables[name].replica_identity == f"USING INDEX {quoted(index)}":
                yield SqlOp(f"ALTER TABLE {sql_name(name, self.way.at)} REPLICA IDENTITY DEFAULT", table=name)

    def _chosen(self) -> Iterator[SqlOp]:
        """Yield what says again by which index rows are told apart, or ordered."""
        for name, index in self._indexes():
            table, sql = self.way.at.tables[name], f"ALTER TABLE {sql_name(name, self.way.at)}"
            if table.replica_identity == f"USING INDEX {quoted(index)}":
                yield SqlOp(f"{sql} REPLICA IDENTITY {table.replica_identity}", table=name)
            if table.clustered_on == index:
                yield SqlOp(f"{sql} CLUSTER ON {quoted(index)}", table=name)

    def _indexes(self) -> list[tuple[Name, str]]:
        """Return the names of the indexes, those of constraints included, that are others afterwards."""
        return sorted({(each.table, each.piece.name) for each in self.made})

    def reached(self, *, looked_at: bool = True) -> Catalog:
        """Return the schema after the exchange, and after the look at what had to come with it."""
        at, tables = self.way.at, dict(self.way.at.tables)
        dropped = {(name, each.name) for name, each in self._dropped()}
        dropped |= {(place.table, check.name) for place, check in self.required.items()}
        checks = {name: self._checks(name) for name in self.own_tables}
        dropped |= {(name, each.name) for name, found in checks.items() for each in found}
        made = {(each.table, each.name): each.piece for each in self.made}
        for name in {*self.own_tables, *(table for table, _ in made), *(owner for owner, _ in self.late)}:
            table, left = tables[name], {turn.old.name for turn in self._of(name)}
            required = self._required(name) if left and not looked_at else []
            virtual = self._virtual(name) if left else set[str]()
            parts: list[Piece] = []
            for each in table.parts:
                key = name, each.name
                if key in made:
                    parts.append(made[key])
                elif key not in dropped and not _is_not_null(each, left | virtual):
                    parts.append(each)
            named = left | virtual - {column.name for column, _ in required}
            parts += [
                each for each in self.goal.tables[name].constraints.values() if _is_not_null(each, named)
            ]
            parts += [check.for_new_rows for _, check in required]
            parts += [key for owner, key in self.late if owner == name]
            own = checks.get(name, [])
            parts += [each if looked_at or not each.validated else each.for_new_rows for each in own]
            loose = {column.name for column, _ in required}
            columns = [
                replace(each, not_null=each.not_null and each.name not in loose)
                for each in self._columns(table)
            ]
            bare = replace(table, columns=tuple(columns), constraints={}, indexes={})
            tables[name] = bare.having(*parts)
        sequences = {
            sequence: self.goal.sequences[sequence]
            for turn in self.turns
            if turn.new.identity and (sequence := turn.new.sequence)
        }
        found = replace(at, tables=tables, sequences={**at.sequences, **sequences})
        for turn in self.turns:
            found = turn.enum.taken_over(found) if turn.enum else found
        return dependents.with_again(found, self._others(), self.goal)

    def _columns(self, table: Table) -> tuple[Column, ...]:
        turns = self._of(table.name)
        gone = {name for turn in turns for name in (turn.old.name, turn.beside.name)}
        virtual = self._virtual(table.name) if turns else set[str]()
        wanted = self.goal.tables[table.name]
        kept = [
            wanted[each.name] if each.name in virtual else each
            for each in table.columns
            if each.name not in gone
        ]
        return (*kept, *(each for turn in turns for each in (turn.new, turn.left)))


def _is_primary(piece: Piece) -> bool:
    return isinstance(piece, Constraint) and piece.type == "p"


def _drop(piece: Piece, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    if isinstance(piece, Index):
        return indexes.drop_op(piece, table, catalog)
    return constraints.drop_op(piece, table, catalog)


def _is_not_null(piece: Piece, columns: Collection[str]) -> bool:
    return isinstance(piece, Constraint) and piece.type == "n" and piece.columns[0] in columns
