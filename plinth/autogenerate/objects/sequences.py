"""Sequences: those that stand alone, and those that belong to a column."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from plinth.autogenerate.change.quoting import (
    comment_sql,
    literal,
    made_name,
    quoted,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.steps import Change, Forced, SqlOp, Step, Waiting
from plinth.catalog.differences import changed_fields
from plinth.catalog.picture import Catalog, Column, ColumnName, Name, Node, Sequence, Table

_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
INTEGERS = set(_LARGEST)


def next_value(sequence: Name, catalog: Catalog) -> str:
    """Return the default that is the next value of a sequence, as PostgreSQL prints it."""
    return f"nextval({literal(sql_name(sequence, catalog))}::regclass)"


def is_serial(column: Column, table: Table, catalog: Catalog) -> bool:
    """Whether a column is what SERIAL makes: with a sequence of its own, of the usual name and options."""
    sequence = catalog.sequences.get(column.sequence) if column.sequence else None
    return (
        sequence is not None
        and not sequence.is_identity
        and column.not_null
        and column.type in INTEGERS
        and column.default == next_value(sequence.name, catalog)
        and sequence.name == Name(table.name.schema, made_name(table.name.name, column.name, "seq"))
        and sequence == default_sequence(sequence, column.type, table.persistence)
    )


def default_sequence(sequence: Sequence, type_: str, persistence: str) -> Sequence:
    """Return a sequence with the options that it has when none are said."""
    return replace(
        sequence,
        type=type_,
        start=1,
        increment=1,
        minimum=1,
        maximum=_LARGEST[type_],
        cache=1,
        cycle=False,
        persistence=persistence,
        comment=None,
    )


def _options(sequence: Sequence, usual: Sequence) -> dict[str, int | bool]:
    """Return what isn't usual about a sequence."""
    names = ("start", "increment", "minimum", "maximum", "cache", "cycle")
    return {
        each: getattr(sequence, each) for each in names if getattr(sequence, each) != getattr(usual, each)
    }


def option_words(sequence: Sequence, usual: Sequence) -> list[str]:
    """Return what isn't usual about a sequence, as SQL says it."""
    starts = {
        "start": "START WITH",
        "increment": "INCREMENT BY",
        "minimum": "MINVALUE",
        "maximum": "MAXVALUE",
    }
    found = _options(sequence, usual)
    words = [f"{starts.get(name, name.upper())} {value}" for name, value in found.items() if name != "cycle"]
    return [*words, "CYCLE" if found["cycle"] else "NO CYCLE"] if "cycle" in found else words


def _of_identity(column: Column, catalog: Catalog) -> tuple[Sequence, Sequence]:
    """Return an identity column's sequence, and as it is when none of its options are said."""
    sequence = catalog.sequences[column.sequence]  # type: ignore[index] # an identity column has one
    usual = default_sequence(sequence, column.type, sequence.persistence)
    if sequence.increment < 0:
        usual = replace(usual, minimum=-_LARGEST[column.type] - 1, maximum=-1)
    return sequence, replace(usual, start=sequence.maximum if sequence.increment < 0 else sequence.minimum)


def identity(column: Column, catalog: Catalog) -> sa.Identity:
    """Return it as SQLAlchemy takes it."""
    names = {"minimum": "minvalue", "maximum": "maxvalue"}
    options = {
        names.get(each, each): value for each, value in _options(*_of_identity(column, catalog)).items()
    }
    return sa.Identity(always=column.identity == "a", **options)  # type: ignore[arg-type]


def identity_sql(column: Column, catalog: Catalog) -> str:
    """Return what makes a column an identity column."""
    words = option_words(*_of_identity(column, catalog))
    kind = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
    return f"GENERATED {kind} AS IDENTITY" + (f" ({' '.join(words)})" if words else "")


def made_its_own(before: Sequence, after: Sequence, name: str) -> tuple[list[str], list[str]]:
    """Return the lines of a block that note as `its` how a database has a sequence, and make another one so.

    Of two databases that number rows for one another, each takes every second. What the models say otherwise
    than before stays as they say it; `value` is where the first one stands.

    Args:
        before: as it is, in the models.
        after: the one that takes its name, likewise.
        name: theirs, as SQL has it.
    """
    kept = [
        words
        for each, words in (
            ("increment", "'INCREMENT', seqincrement"),
            ("cache", "'CACHE', seqcache"),
            ("start", "'START', seqstart"),
            ("cycle", "CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END"),
        )
        if getattr(before, each) == getattr(after, each)
    ]
    largest = _LARGEST[after.type]
    for each, word, column, fits in (
        ("minimum", "MINVALUE", "seqmin", f">= {-largest - 1}"),
        ("maximum", "MAXVALUE", "seqmax", f"<= {largest}"),
    ):
        was, will = getattr(before, each), getattr(after, each)
        usual = [getattr(default_sequence(own, own.type, ""), each) for own in (before, after)]
        if was == will or [was, will] == usual:
            kept.append(f"CASE WHEN {column} <> {was} AND {column} {fits} THEN '{word} ' || {column} END")
    note = [
        f"    SELECT concat_ws(' ', {kept[0]},",
        *(f"        {each}," for each in kept[1:]),
        f"        'RESTART', value) INTO its FROM pg_sequence WHERE seqrelid = {literal(name)}::regclass;",
    ]
    return note if kept else [], [f"    EXECUTE {literal(f'ALTER SEQUENCE {name} ')} || its;"] if kept else []


def continue_sequence(change: Change, sequence: Sequence, table: Table, column: Column) -> SqlOp:
    """Return what lets a sequence go on behind the values of its column, unless it stands there already."""
    farthest, reaches = ("max", ">=") if sequence.increment > 0 else ("min", "<=")
    value = f"{farthest}({quoted(column.name)})"
    name = sql_name(sequence.name, change.after)
    firsts = {each.key_columns[:1] for each in table.indexes.values() if each.where is None}
    firsts |= {each.columns[:1] for each in table.constraints.values() if each.type in {"p", "u"}}
    why = f"All rows of {table.name.name} are read for {farthest}({column.name}) while nobody can use it"
    return SqlOp(
        f"SELECT setval({literal(name)}, {value}) FROM {sql_name(table.name, change.after)} "  # noqa: S608
        f"HAVING {value} {reaches} (SELECT last_value FROM {name})",
        table=table.name,
        waiting=None
        if (column.name,) in firsts
        else Waiting(f"{why}: no index begins with it", "blocks", only_where_locked=True),
    )


def owner_of(sequence: Sequence, catalog: Catalog) -> tuple[Table, Column] | None:
    """Return the column that a sequence belongs to."""
    column = catalog.column(*sequence.owner) if sequence.owner else None
    return (catalog.tables[sequence.owner.table], column) if sequence.owner and column else None


def create_sql(sequence: Sequence, catalog: Catalog) -> str:
    """Return the statement that makes a sequence."""
    usual = default_sequence(sequence, sequence.type, "p")
    words = ["CREATE"] + (["UNLOGGED"] if sequence.persistence == "u" else [])
    words += ["SEQUENCE", sql_name(sequence.name, catalog)]
    if sequence.type != "bigint":
        words.append(f"AS {sequence.type}")
    words += option_words(sequence, usual)
    return " ".join(words)


def rename_op(old: Name, new: str, catalog: Catalog) -> SqlOp:
    """Return what renames a sequence."""
    return SqlOp(f"ALTER SEQUENCE {sql_name(old, catalog)} RENAME TO {quoted(new)}")


def steps(change: Change, forced: Forced) -> Iterator[Step]:
    """Yield what makes the sequences as they should be.

    Args:
        change: the whole.
        forced: what is made anew; what belongs to such a column, or a new one, comes and goes with it.
    """
    before, after = change.before, change.after
    for name, sequence in after.sequences.items():
        old = before.sequences.get(name)
        if old is None:
            yield from _create(change, sequence, owner_of(sequence, after), forced)
        elif old.is_identity != sequence.is_identity:
            yield from _take_turns(change, old, sequence)
        elif old != sequence:
            yield from _alter(change, old, sequence)
        if old is not None and change.is_downgrade:
            yield from _go_on(change, sequence, forced)
    for name, sequence in before.sequences.items():
        owner = owner_of(sequence, before)
        if name in after.sequences or sequence.is_identity:
            continue
        if owner and not _stays(change, forced, *owner):
            continue  # goes with its column
        summary = None if owner else f"drop {name.name}"
        drop = SqlOp(f"DROP SEQUENCE {sql_name(name, before)}", summary)
        yield Step(drop).dropping(Node("sequence", name))


def _take_turns(change: Change, old: Sequence, new: Sequence) -> Iterator[Step]:
    """Yield what lets an identity column's sequence take over from SERIAL's of that name, or give it back.

    The new one goes on where the old one stands.
    """
    aside = Name(old.name.schema, temporary_name(old.name.name, "_old"))
    rename = f"ALTER SEQUENCE {sql_name(old.name, change.before)} RENAME TO {quoted(aside.name)}"
    yield Step(SqlOp(rename), "sequence")
    place = f"{literal(sql_name(new.name, change.after))}, last_value, is_called"
    go_on = SqlOp(f"SELECT setval({place}) FROM {sql_name(aside, change.before)}")  # noqa: S608 - quoted names
    owner = owner_of(new, change.after)
    if new.is_identity:
        yield Step(go_on, "owner")
        yield Step(SqlOp(f"DROP SEQUENCE {sql_name(aside, change.before)}"), "owner")
    else:  # the other one is dropped with DROP IDENTITY
        yield Step(SqlOp(create_sql(new, change.after)), "sequence")
        yield Step(go_on, "sequence")
        if owner:
            yield Step(_own(change, new, *owner), "owner")
    if new.comment is not None:
        yield Step(_comment(change, new), "comment")


def _go_on(change: Change, sequence: Sequence, forced: Forced) -> Iterator[Step]:
    """Yield what lets a sequence go on behind a column's values when these are numbers again."""
    for table, column in _askers(change, sequence):
        if _stays(change, forced, table, column):
            was, is_now = (each.tables[table.name][column.name] for each in (change.before, change.after))
            if was.type not in INTEGERS and was.type != column.type == is_now.type:
                yield Step(continue_sequence(change, sequence, table, column), "owner")


def _stays(change: Change, forced: Forced, table: Table, column: Column) -> bool:
    """Whether a column is there before and after, and isn't made anew."""
    is_there = all(each.column(table.name, column.name) for each in (change.before, change.after))
    return is_there and table.part("column", column.name) not in forced.anew


def _create(
    change: Change, sequence: Sequence, owner: tuple[Table, Column] | None, forced: Forced
) -> Iterator[Step]:
    if sequence.is_identity:
        return
    is_new = owner is not None and not _stays(change, forced, *owner)
    if owner and is_new and is_serial(owner[1], owner[0], change.after):
        return  # SERIAL makes it
    summary = None if owner else f"create {sequence.name.name}"
    asking = list(_askers(change, sequence))
    unknown = change.is_downgrade and not owner and not asking
    note = "it begins anew: where it stood when it was dropped isn't known" if unknown else None
    create = SqlOp(create_sql(sequence, change.after), summary, note=note)
    yield Step(create).making(Node("sequence", sequence.name))
    if sequence.comment is not None:
        yield Step(_comment(change, sequence), "comment")
    if owner:
        yield Step(_own(change, sequence, *owner), "owner")
    for table, column in asking:
        # A column that isn't of its type again shows no numbers yet: see `_go_on`.
        if (
            _stays(change, forced, table, column)
            and change.after.tables[table.name][column.name].type == column.type
        ):
            yield Step(continue_sequence(change, sequence, table, column), "owner")


def _askers(change: Change, sequence: Sequence) -> Iterator[tuple[Table, Column]]:
    """Yield the columns whose default, in the database or the application, is a sequence's next value."""
    catalog = change.goal or change.after
    default = next_value(sequence.name, catalog)
    for table in catalog.tables.values():
        for column in table.columns:
            numbered = change.numbered.get(ColumnName(table.name, column.name))
            is_numbered = numbered == sequence.name and column.type in INTEGERS and not change.is_downgrade
            if column.default == default or is_numbered:
                yield table, column


def _own(change: Change, sequence: Sequence, table: Table, column: Column) -> SqlOp:
    return SqlOp(
        f"ALTER SEQUENCE {sql_name(sequence.name, change.after)} OWNED BY "
        f"{sql_name(table.name, change.after)}.{quoted(column.name)}"
    )


def _comment(change: Change, sequence: Sequence) -> SqlOp:
    sql = comment_sql(f"SEQUENCE {sql_name(sequence.name, change.after)}", sequence.comment)
    return SqlOp(sql, f"comment {sequence.name.name}")


def _changed_words(old: Sequence, new: Sequence) -> list[str]:
    """Return what ALTER SEQUENCE says to make one as another."""
    words = []
    before = old
    if old.type != new.type and not (new.is_identity and _is_narrowed(old, new)):
        words.append(f"AS {new.type}")
        # PostgreSQL moves the bounds along when they are the old type's own.
        moved = default_sequence(old, new.type, old.persistence)
        own = default_sequence(old, old.type, old.persistence)
        adjusted = {
            each: getattr(moved, each) if getattr(old, each) == getattr(own, each) else getattr(old, each)
            for each in ("minimum", "maximum")
        }
        before = replace(old, **adjusted)
    return words + option_words(new, before)


def _alter(change: Change, old: Sequence, new: Sequence) -> Iterator[Step]:
    changed = set(changed_fields(old, new))
    name = sql_name(new.name, change.after)
    words = _changed_words(old, new)
    owner = owner_of(new, change.after)
    if new.is_identity:
        words = [word for word in words if not word.startswith("AS ")]  # the column's type takes it along
    # A bound that the narrower type hasn't got has to be lowered before the column gets it.
    about = "sequence" if new.is_identity and _is_narrowed(old, new) else "column"
    begins_anew, bound = words and _begins_anew(old, new), _passed_bound(old, new)
    asking = [owner] if owner else list(_askers(change, new))
    if begins_anew:
        unknown = change.is_downgrade and not asking
        note = "it begins anew: where it stood before the upgrade isn't known" if unknown else None
        yield Step(_alter_op(change, new, [*words, "RESTART"], note), about)
    elif bound:
        # What it stands at is asked under the lock that the first statement takes, and is kept if it may be.
        yield Step(_alter_op(change, new, [each for each in words if not each.startswith(bound)]), about)
        first, less = (new.minimum, "<") if new.increment > 0 else (new.maximum, ">")
        move = f"SELECT setval({literal(name)}, {first}, false) FROM {name} WHERE last_value {less} {first}"  # noqa: S608
        yield Step(SqlOp(move), about)
        yield Step(_alter_op(change, new, [each for each in words if each.startswith(bound)]), about)
    elif words:
        yield Step(_alter_op(change, new, words), about)
    if begins_anew or bound:
        for table, column in asking:
            yield Step(continue_sequence(change, new, table, column), "owner")
    if "persistence" in changed and not new.is_identity and owner is None:
        word = "UNLOGGED" if new.persistence == "u" else "LOGGED"
        yield Step(SqlOp(f"ALTER SEQUENCE {name} SET {word}", f"change {new.name.name}"), "column")
    if "owner" in changed:
        if owner:
            yield Step(_own(change, new, *owner), "owner")
        else:
            step = Step(SqlOp(f"ALTER SEQUENCE {name} OWNED BY NONE"), "sequence")
            yield step.needing(Node("column", old.owner)) if old.owner else step
    if "comment" in changed:
        yield Step(_comment(change, new), "comment")


def _begins_anew(old: Sequence, new: Sequence) -> bool:
    """Whether all that a sequence may stand at is behind its new end, or it goes the other way."""
    is_behind = old.start > new.maximum if new.increment > 0 else old.start < new.minimum
    return (old.increment > 0) != (new.increment > 0) or is_behind


def _passed_bound(old: Sequence, new: Sequence) -> str | None:
    """Return the word for a bound that a sequence may not have come to yet."""
    if new.increment > 0:
        return "MINVALUE" if old.start < new.minimum else None
    return "MAXVALUE" if old.start > new.maximum else None


def _is_narrowed(old: Sequence, new: Sequence) -> bool:
    """Whether an explicit bound of a sequence is out of its new type."""
    largest = default_sequence(new, new.type, new.persistence).maximum
    own = default_sequence(old, old.type, old.persistence)
    return any(
        abs(value) > largest and value != usual
        for value, usual in ((old.maximum, own.maximum), (old.minimum, own.minimum))
    )


def _alter_op(change: Change, new: Sequence, words: list[str], note: str | None = None) -> SqlOp:
    owner = owner_of(new, change.after)
    if not (new.is_identity and owner):
        summary = None if owner else f"change {new.name.name}"
        altered = f"ALTER SEQUENCE {sql_name(new.name, change.after)}"
        return SqlOp(f"{altered} {' '.join(words)}", summary, note=note)
    table, column = owner
    sets = " ".join(word if word == "RESTART" else f"SET {word}" for word in words)
    return SqlOp(
        f"ALTER TABLE {sql_name(table.name, change.after)} ALTER COLUMN {quoted(column.name)} {sets}",
        f"change {table.name.name} {column.name}",
        table.name,
    )
