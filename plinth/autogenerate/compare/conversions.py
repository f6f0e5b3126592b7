"""What autogenerate asks before a column's values become others: nothing may be cut, rounded or guessed.

PostgreSQL is asked twice: with values of the old type that have something to lose, and with the rows. Neither
knows all: no row of this database may have what one elsewhere has, and no list of values is complete.
"""

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from plinth.autogenerate.change import casts
from plinth.autogenerate.change.casts import Using
from plinth.autogenerate.change.expressions import named
from plinth.autogenerate.change.heirs import is_column_inherited
from plinth.autogenerate.change.quoting import literal, quoted, shown, sql_name, temporary_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.change.types import base_name, numbers
from plinth.autogenerate.compare.hidden import answer, asked_of_rows
from plinth.autogenerate.objects.columns import is_replaced
from plinth.autogenerate.objects.tables import columns_kept
from plinth.catalog.picture import Catalog, Column, ColumnName, Enum
from plinth.plan.filling import samples_of
from plinth.sql_text import lexed

log = logging.getLogger(__name__)

_ENUM = """
    select to_regtype(%(name)s)::oid, (select array_agg(enumlabel::text order by enumsortorder)
                                       from pg_enum where enumtypid = to_regtype(%(name)s))
    """
# Of a json value, or of an array of such: the colons that stand in no string.
_KEYS = r"""length(regexp_replace(to_json({})::text, '"([^"\\]|\\.)*"|[^:]', '', 'g'))"""
_TEXTS = {"text", "character varying", "character", "json", "jsonb", "xml"}
_SCHEMA = "select to_regnamespace(%s) is not null"


@dataclass(frozen=True)
class Conversion:
    """A column's values that become others, or that it gets.

    Args:
        place: the column.
        before: as it is; a domain's values are its base type's.
        after: as it will be, likewise.
        table: the table as SQL has it.
        said: what the models say of it.
        old_enum: the one whose values it has.
        new_enum: the one whose values it gets.
        was: the name that it has before, where that stays usable (`keep_old`).
        fill: the expression that gives a new column its values; before is what it will be, too.
    """

    place: ColumnName
    before: Column
    after: Column
    table: str = ""
    said: Using | None = None
    old_enum: Enum | None = None
    new_enum: Enum | None = None
    was: str | None = None
    fill: str | None = None

    @property
    def standing(self) -> "Conversion":
        """The same by the name that the column has before."""
        return replace(self, place=self.place._replace(column=self.was or self.place.column))

    @property
    def is_of_enums(self) -> bool:
        """Whether it has an enum's values, or gets them."""
        return bool(self.old_enum or self.new_enum)

    @property
    def way_back(self) -> str | None:
        """The author's expression for it."""
        return self.said.way_back(self.before, self.after) if self.said else None

    @property
    def back(self) -> "Conversion":
        """The way back."""
        enums = {"old_enum": self.new_enum, "new_enum": self.old_enum}
        return replace(self, before=self.after, after=self.before, **enums)  # type: ignore[arg-type]


def changed_values(change: Change) -> Iterator[Conversion]:
    """Yield the columns whose type, name or enum becomes another, and new ones with a backfill.

    A domain's values are its base type's, but it may have a default, which is no row's value.
    """
    for place in sorted(columns_kept(change)):
        old, new = (each.tables[place.table][place.column] for each in (change.before, change.after))
        if old.generated or new.generated or is_replaced(old, new):
            continue
        if is_column_inherited(change, place.table, old, change.before):
            continue
        before, after = casts.without_domains(old, change.before), casts.without_domains(new, change.after)
        enums = _enum(before, change.before), _enum(after, change.after)
        if old.type != new.type or (enums[0] and enums[1] and enums[0].values != enums[1].values):
            table = sql_name(place.table, change.before)
            yield Conversion(place, before, after, table, change.usings.get(place), *enums)
    for place, was in sorted(change.kept_names.items()):
        column = casts.without_domains(change.before.tables[place.table][was], change.before)
        yield Conversion(place, column, column, sql_name(place.table, change.before), was=was)
    for place, fill in sorted(change.backfills.items()):
        table_before, table_after = (each.tables.get(place.table) for each in (change.before, change.after))
        new_column = table_after.column(place.column) if table_after else None
        is_there = not table_before or table_before.column(place.column) or place in change.kept_names
        if new_column and not is_there and not new_column.generated and not new_column.identity:
            column = casts.without_domains(new_column, change.after)
            yield Conversion(place, column, column, sql_name(place.table, change.before), fill=fill)


def _enum(column: Column, catalog: Catalog) -> Enum | None:
    return catalog.enums.get(column.named_type) if column.named_type else None


def with_words_for_null(connection: Connection, change: Change) -> Change:
    """Return a change in which it is known of words for values whether they make any of NULL."""
    usings = {
        each.place: replace(each.said, keeps_null=_keeps_null(connection, change, each, each.said.up))
        for each in changed_values(change)
        if each.said
    }
    return replace(change, usings={**change.usings, **usings})


def with_finer(connection: Connection, change: Change) -> Change:
    """Return a change in which it is known which new types have values that the old ones can't have."""
    changed = [each for each in changed_values(change) if each.before.type != each.after.type]
    finer = {
        each.place for each in changed if not (each.said or each.is_of_enums) and _is_finer(connection, each)
    }
    return replace(change, finer=finer)


def _is_finer(connection: Connection, each: Conversion) -> bool:
    """Whether PostgreSQL makes other values, without a word, of some that the new type has.

    A text that is too long for the old type stops (`casts.using`), as what is in no range of it does.
    """
    old, new = each.before.type, each.after.type
    if not _TEXTS.isdisjoint({base_name(old.removesuffix("[]")), base_name(new.removesuffix("[]"))}):
        return False
    session = connection.connection.driver_connection
    assert isinstance(session, psycopg.Connection)  # noqa: S101 - the one driver that we take
    for value in samples_of(session, new, 1, ()):
        given = f"{literal(value)}::{new}"
        query = f"SELECT {given}::{old}::{new} IS DISTINCT FROM {given}"  # noqa: S608 - quoted
        try:
            with connection.begin_nested():
                if connection.exec_driver_sql(query.replace("%", "%%")).scalar_one():
                    return True
        except DBAPIError:  # there is no such value, or it stops, or has no equality
            continue
    return False


def _keeps_null(connection: Connection, change: Change, each: Conversion, expression: str) -> bool:
    others = {column.name for column in change.before.tables[each.place.table].columns} - {each.place.column}
    if others & named(expression) or _is_made_anew(change, each):
        return False
    null = _null(each.place, each.before)
    query = f"SELECT ({expression}) IS NOT DISTINCT FROM NULL FROM {null}"  # noqa: S608
    try:
        with enum_made(connection, each):
            return bool(connection.exec_driver_sql(query.replace("%", "%%")).scalar_one())
    except DBAPIError:  # what it needs is made by the change, or it is wrong
        return False


def _is_made_anew(change: Change, each: Conversion) -> bool:
    """Whether an enum stands under the name of the one whose values it gets: here that would be locked."""
    new = each.new_enum
    standing = change.before.enums.get(new.name) if new else None
    return bool(new and standing and standing.values != new.values)


def _null(place: ColumnName, column: Column) -> str:
    """Return a row of a table with NULL in a column, as FROM has it."""
    return f"(SELECT NULL::{column.type} AS {quoted(place.column)}) AS {quoted(place.table.name)}"


def ask(connection: Connection, change: Change) -> None:
    """Ask about each column that gets another type, unless nothing can be lost.

    Args:
        connection: the database, renames done.
        change: from what is there to what the models mean.

    Raises:
        Refusal: a word is needed, and refusals aren't collected.
    """
    changed = [each for each in changed_values(change) if each.before.type != each.after.type]
    for each in changed:
        others = {other.place.column for other in changed if other.place.table == each.place.table}
        _refuse_others(each, others - {each.place.column})
        _ask(connection, change, each)


def _refuse_others(each: Conversion, others: Collection[str]) -> None:
    """Refuse an expression of another column that gets another type: which of its values, nothing says."""
    words = f"{each.said.up} {each.said.back or ''}" if each.said else ""
    found = sorted(named(words).intersection(others))
    if found:
        refuse(
            "conversion",
            f"The expression for {each.table}.{each.place.column} names {found[0]}, which gets another type "
            "in the same change: its old value, or its new one? Let one of the two be a revision of its own.",
        )


def _ask(connection: Connection, change: Change, each: Conversion) -> None:
    place = f"{shown(each.place.table, change.after)}.{each.place.column}"
    what = f"Column {place} changes from {each.before.type} to {each.after.type}"
    said = each.said
    if said is None and not _is_automatic(change, each):
        refuse(
            "conversion",
            f"{what}, and {_why(change, each)}. Say how, on the column in the model: {_hint(change, each)}",
        )
    elif said is not None and said.back is None and not _has_way_back(change, each.back):
        refuse(
            "conversion",
            f"{what} by an expression of yours, and the way back needs one too. Say it beside the other: "
            f'info={{"using": …, "using_back": {_text(_suggested(change, each.back))}}}',
        )
    elif each.is_of_enums:
        _refuse_labels(connection, change, each, what)
    elif said is None:
        _refuse_losses(connection, change, each, f"{what},")
    else:
        _refuse_words(connection, change, each, said, f"{what},")


def _refuse_losses(connection: Connection, change: Change, each: Conversion, what: str) -> None:
    column = quoted(each.place.column)
    made_up = tried(connection, each, column, rows=False)
    count, known = 0, "here no row has such a value"
    if made_up.stopped or made_up.changed or _is_another(connection, each, column):
        found = asked_of_rows(connection, each.table, lambda: tried(connection, each, column, rows=True))
        known = known if found else "whether a row here has such a value can't be seen"
        count = found.stopped + found.changed if found else 0
    if count:
        refuse(
            "conversion",
            f"{what} and {_rows(count)} of {each.table} would lose something by it. Change them first (a "
            "revision by hand), or say how they are converted, on the column in the model: "
            f"{_hint(change, each)}",
        )
    elif made_up.changed:
        refuse(
            "conversion",
            f"{what} which rounds or cuts values without a word, in production too ({known}). If "
            f"that is meant, say so on the column in the model: {_hint(change, each)}",
        )


def _is_another(connection: Connection, each: Conversion, column: str) -> bool:
    """Whether a row's value may be another one when it is converted back: all are looked at at once."""
    again = f"{column}::{each.after.type}::{each.before.type}"
    query = f"SELECT EXISTS (SELECT FROM {each.table} WHERE {again} IS DISTINCT FROM {column})"  # noqa: S608
    try:
        with connection.begin_nested():
            return bool(connection.exec_driver_sql(query.replace("%", "%%")).scalar_one())
    except DBAPIError:  # a value stops it, or has no equality
        return True


def _refuse_words(connection: Connection, change: Change, each: Conversion, said: Using, what: str) -> None:
    """Refuse it if an expression is surely needless, doesn't bear the rows, or has no way back."""
    if _is_automatic(change, each):
        column, plain_cast = quoted(each.place.column), replace(each, said=None)
        constants = _constants(said.up)
        plain = tried(connection, plain_cast, column, rows=False, further=constants)
        meant = tried(connection, plain_cast, said.up, rows=False, further=constants)
        is_lossless = not plain.stopped and not plain.changed
        if is_lossless and meant == plain and _is_same(connection, change, each, said.up):
            refuse(
                "hint",
                f'{what} and nothing can be lost by it: info={{"using": …}} says something that is done or '
                "isn't needed. Take it out.",
            )
            return
        if is_lossless and casts.is_related(
            each.before, each.after, change.before, change.after, change.casts
        ):
            log.warning(
                '%s which PostgreSQL does by itself, and info={"using": %s} makes other values of what rows '
                "have. If the model says it of a change that is done, take it out.",
                what,
                _text(said.up),
            )
    _refuse_stopped(connection, change, each, what)
    is_back_ours = said.back is None and not casts.is_a_matter_of_zone(each.before, each.after)
    if is_back_ours and tried(connection, each, said.up, rows=False).unsteady:
        refuse(
            "conversion",
            f"{what} and what PostgreSQL makes of the new values by itself isn't what they were made of. Say "
            f'how, beside the other: info={{"using": …, "using_back": "…"}}',
        )


def _constants(expression: str) -> list[str]:
    """Return the strings and numbers in an expression: values of which it may make something of its own."""
    return [each.removeprefix("'") for each in lexed(expression).listed if each[0] in "'.0123456789"]


def _is_same(connection: Connection, change: Change, each: Conversion, expression: str) -> bool:
    """Whether an expression makes of NULL, and of all rows' values, what PostgreSQL does by itself."""
    names = {column.name for column in change.before.tables[each.place.table].columns}
    if (names - {each.place.column}) & named(expression):
        return False
    column = quoted(each.place.column)
    differ = f"(({expression})::{each.after.type}) IS DISTINCT FROM ({column}::{each.after.type})"
    sources = (_null(each.place, each.before), each.table)
    query = " UNION ALL ".join(f"(SELECT FROM {source} WHERE {differ} LIMIT 1)" for source in sources)
    try:
        with connection.begin_nested():
            return not connection.exec_driver_sql(f"SELECT EXISTS ({query})".replace("%", "%%")).scalar_one()
    except DBAPIError:  # a value stops it, or has no equality
        return False


def _is_automatic(change: Change, each: Conversion) -> bool:
    return casts.is_automatic(each.before, each.after, change.before, change.after, change.casts)


def _has_way_back(change: Change, back: Conversion) -> bool:
    if casts.is_a_matter_of_zone(back.before, back.after):
        return True
    return casts.is_automatic(back.before, back.after, change.after, change.before, change.casts)


def _why(change: Change, each: Conversion) -> str:
    names = [base_name(side.type.removesuffix("[]")) for side in (each.before, each.after)]
    found = change.casts.get((names[0], names[1]))
    if found is not None and found.depends_on_session and found.context != "e":
        return "what becomes of a value depends on the session (its TimeZone, for instance)"
    if not casts.is_possible(each.before, each.after, change.casts):
        return (
            f"PostgreSQL has no cast from {names[0]} to {names[1]} (for values that are new, add a column of "
            "another name, and drop this one when nothing uses it)"
        )
    return "PostgreSQL doesn't do that by itself"


def _hint(change: Change, each: Conversion) -> str:
    if casts.is_a_matter_of_zone(each.before, each.after):
        return f'info={{"using": {_text(_suggested(change, each))}}}, with the zone of the times'
    said = f'"using": {_text(_suggested(change, each))}'
    if _has_way_back(change, each.back):
        return f"info={{{said}}}"
    return f'info={{{said}, "using_back": {_text(_suggested(change, each.back))}}}'


def _suggested(change: Change, each: Conversion) -> str:
    column, source, target = quoted(each.place.column), each.before.type, each.after.type
    if casts.is_a_matter_of_zone(each.before, each.after):
        return f"{column} AT TIME ZONE 'UTC'"
    if target.endswith("[]") and not source.endswith("[]"):
        return f"ARRAY[{column}]::{target}"
    if source.endswith("[]") and not target.endswith("[]"):
        return f"{column}[1]::{target}"
    return f"{column}::{target}" if casts.is_possible(each.before, each.after, change.casts) else "…"


def _text(expression: str) -> str:
    return '"' + expression.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _refuse_labels(connection: Connection, change: Change, each: Conversion, what: str) -> None:
    """Refuse it if rows have texts that an enum hasn't got, or names of values that are too long."""
    if each.said:
        _refuse_stopped(connection, change, each, f"{what},")
        return
    length = numbers(each.after.type)
    values = each.new_enum.values if each.new_enum else None
    if values is None and each.old_enum and length:
        values = tuple(value for value in each.old_enum.values if len(value) <= length[0])
    if values is None:
        return
    labels = f"ARRAY[{', '.join(map(literal, values))}]::text[]"
    column = quoted(each.place.column)
    condition = f"NOT {column}::text = ANY ({labels})"
    if each.before.type.endswith("[]"):
        condition = f"NOT {column}::text[] <@ {labels}"
    query = f"SELECT count(*) FROM {each.table} WHERE {condition}"  # noqa: S608 - quoted names
    count = answer(connection, each.table, query)
    if count:
        problem = "a value that it hasn't got" if each.new_enum else "a value that is too long for it"
        refuse(
            "conversion",
            f"{what}, and {_rows(count)} of {shown(each.place.table, change.before)} have {problem}. Give "
            "them another one first (a revision by hand), or say how they are converted, on "
            f'the column in the model: info={{"using": "…"}}',
        )


def _refuse_stopped(connection: Connection, change: Change, each: Conversion, what: str) -> None:
    """Refuse it if an expression of the author's doesn't bear the rows."""
    if each.said is None or _is_made_anew(change, each):
        return  # the proof makes another one under the name
    with enum_made(connection, each) as made:
        up = each.said.up
        found = asked_of_rows(connection, each.table, lambda: tried(connection, made, up, rows=True))
    if found and found.stopped:
        refuse(
            "conversion",
            f"{what} and {_rows(found.stopped)} of {each.table} can't be converted by "
            f'info={{"using": {_text(each.said.up)}}}. Correct the expression, or those rows first.',
        )


@dataclass(frozen=True)
class Trial:
    """What became of values.

    Args:
        stopped: how many can't be converted.
        changed: how many aren't the same when they are converted back.
        unsteady: how many become something else on the way back and there again.
        made: what the others became, as texts; of made-up values only.
        refused: those that stopped, likewise.
        restored: what the others are after the way back, likewise: json may be spelled otherwise.
    """

    stopped: int
    changed: int
    unsteady: int
    made: dict[str, str | None]
    refused: list[str]
    restored: dict[str, str | None]


@contextmanager
def enum_made(connection: Connection, each: Conversion) -> Iterator[Conversion]:
    """Have the enum that a column gets inside, and the column's own under another name if theirs is the same.

    Args:
        connection: in a transaction; what is made is rolled back.
        each: what is converted.

    Yields:
        It, with the type that the column has inside.
    """
    savepoint = connection.begin_nested()
    try:
        yield _with_enum(connection, each)
    finally:
        savepoint.rollback()


def _with_enum(connection: Connection, each: Conversion) -> Conversion:
    new = each.new_enum
    if new is None:
        return each
    name = f"{quoted(new.name.schema)}.{quoted(new.name.name)}"
    oid, values = connection.exec_driver_sql(_ENUM, {"name": name}).one()
    if values == list(new.values):
        return each
    if oid is not None:
        aside = quoted(temporary_name(new.name.name, "_old"))
        _execute(connection, f"ALTER TYPE {name} RENAME TO {aside}")
        if each.old_enum and each.old_enum.name == new.name:
            array = "[]" if each.before.type.endswith("[]") else ""
            standing = f"{quoted(new.name.schema)}.{aside}{array}"
            each = replace(each, before=replace(each.before, type=standing))
    elif not connection.exec_driver_sql(_SCHEMA, (quoted(new.name.schema),)).scalar():
        _execute(connection, f"CREATE SCHEMA {quoted(new.name.schema)}")
    _execute(connection, f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, new.values))})")
    return each


def _execute(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql.replace("%", "%%"))


def tried(
    connection: Connection, each: Conversion, expression: str, *, rows: bool, further: Collection[str] = ()
) -> Trial:
    """Return what becomes of values that are assigned to the new type.

    Args:
        connection: a database that has the table, as it is before.
        each: what is converted.
        expression: of the table's columns.
        rows: whether its rows' values are tried, or made-up ones.
        further: of these, as texts; those that the type hasn't got are passed over.
    """
    table, column = each.table, quoted(each.place.column)
    if rows:
        loop = f"FOR r IN SELECT * FROM {table} WHERE {column} IS NOT NULL LOOP"  # noqa: S608 - quoted names
        get = ""
    else:
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)  # noqa: S101 - the one driver that we take
        longest = max([*numbers(each.after.type), 100])
        labels = each.new_enum.values if each.new_enum else ()
        values = samples_of(session, each.before.type, longest + 1, [*labels, *further])
        loop = f"FOREACH given IN ARRAY ARRAY[{', '.join(map(literal, values))}]::text[] LOOP"
        value = f"r := NULL; r.{column} := given::{each.before.type};"
        get = f"BEGIN {value} EXCEPTION WHEN OTHERS THEN CONTINUE; END;"
    row = f"(SELECT {expression} FROM (SELECT r.*) AS {quoted(each.place.table.name)})"  # noqa: S608
    made = f"r.{column}" if expression == column else row
    back = "new"
    if each.way_back:
        back = f"(SELECT {each.way_back} FROM (SELECT new AS {column}) AS {quoted(each.place.table.name)})"  # noqa: S608
    is_json = base_name(each.before.type.removesuffix("[]")) == "json"
    # json has no equality, and jsonb takes one of two keys that are the same.
    compared = ("::jsonb" + each.before.type[4:]) if is_json else ""
    again = f"new::{each.before.type}{compared}"
    differ = f"{again} IS DISTINCT FROM old{compared}"
    if is_json:
        differ += f" OR {_KEYS.format(f'new::{each.before.type}')} <> {_KEYS.format('old')}"
    block = f"""DO $plinth$
    #variable_conflict use_column
    DECLARE given text; r {table}; old {each.before.type}; new {each.after.type}; later {each.after.type};
        stopped bigint := 0; changed bigint := 0; unsteady bigint := 0;
        made jsonb := '{{}}'; refused jsonb := '[]'; restored jsonb := '{{}}';
    BEGIN
        {loop}
            {get}
            old := r.{column};
            BEGIN new := {made};
            EXCEPTION WHEN OTHERS THEN
                stopped := stopped + 1;
                IF given IS NOT NULL THEN refused := refused || to_jsonb(old::text); END IF;
                CONTINUE;
            END;
            BEGIN
                IF {differ} THEN changed := changed + 1; END IF;
            EXCEPTION
                WHEN undefined_function THEN
                    IF {again}::text IS DISTINCT FROM old::text THEN changed := changed + 1; END IF;
                WHEN OTHERS THEN changed := changed + 1;
            END;
            CONTINUE WHEN given IS NULL;
            made := made || jsonb_build_object(old::text, new::text);
            BEGIN
                r.{column} := {back};
                restored := restored || jsonb_build_object(old::text, r.{column}::text);
                later := {made};
                IF later::text IS DISTINCT FROM new::text THEN unsteady := unsteady + 1; END IF;
            EXCEPTION WHEN OTHERS THEN made := made - old::text;  -- no way back: it stops
            END;
        END LOOP;
        PERFORM set_config('plinth.tried',
            jsonb_build_array(stopped, changed, unsteady, made, refused, restored)::text, false);
    END $plinth$"""
    connection.exec_driver_sql(block.replace("%", "%%"))
    found = connection.exec_driver_sql("select current_setting('plinth.tried')").scalar_one()
    return Trial(*json.loads(str(found)))
