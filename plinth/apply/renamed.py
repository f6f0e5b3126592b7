"""What an interrupted revision has renamed gets its name back first: it isn't a drop and an add."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from psycopg.sql import Identifier, Literal

from plinth.autogenerate.change.quoting import do_block
from plinth.catalog import Catalog, Name
from plinth.sql_text import Found, lexed, plain

_ALTER = (
    "alter {table | index | sequence | type | domain | [materialized] view} [if exists] [only] <name> "
    "{rename to <to> | set schema <moved> | rename [column | constraint | value] <old> to <new>}"
)

TAKEN = "_taken"  # behind the name of what has made room for one that comes back

_Key = tuple[str, Name | None, Name | str]  # its kind, the table or type that it is a part of, its name


@dataclass(frozen=True)
class _Renamed:
    """A rename.

    Args:
        old: what it was called.
        new: what it is called.
        back: the statement that gives it its name back.
        aside: the one by which what is new under that name makes room, with `{}` in the place of a name; None
            where it can't.
    """

    old: _Key
    new: _Key
    back: str
    aside: str | None = None


def ways_back(statements: Iterable[str], before: Catalog, now: Catalog) -> list[str]:
    """Return the statements that give what was there its name back, in order.

    Where something new took over the name (a column of another type, say) nothing is renamed: values were
    written to it since. Nor is it where something has gone since.

    Args:
        statements: of the revision, in the order in which they ran.
        before: what was there before.
        now: what is there.
    """
    all_of_them = _without_round_trips(list(_renames(statements, {}, before.default_schema)))
    taken_along = _taken_along(all_of_them, before)
    found = _without_exchanges(all_of_them, taken_along, before, now)
    origins = dict(taken_along)  # by the names of now
    chains: list[tuple[set[_Key], set[_Key]]] = []  # names that are connected, and those that came first
    for each in found:
        origin = origins.pop(each.old, each.old)
        origins[each.new] = origin
        names, firsts = {each.old, each.new}, {origin}
        for chain in [chain for chain in chains if names & chain[0]]:
            chains.remove(chain)
            names, firsts = names | chain[0], firsts | chain[1]
        chains.append((names, firsts))
    current = {origin: key for key, origin in origins.items()}
    wanted = {
        name
        for names, firsts in chains
        if all(_is_in(before, each) for each in firsts)
        and all(_is_in(now, _held_now(key, current)) for key in origins.keys() & names)
        for name in names
    }
    return [
        statement
        for each in reversed(found)
        if each.old in wanted
        for statement in (*_room(each, origins, current, now), each.back)
    ]


@dataclass(frozen=True)
class Origins:
    """What tables and columns were called before a revision's statements."""

    _names: Mapping[_Key, _Key]

    def of_table(self, name: Name) -> Name:
        """Return what a table was called; its name if none has been renamed to that."""
        _, _, found = self._names.get(("relation", None, name), ("relation", None, name))
        return found if isinstance(found, Name) else name

    def of_columns(self, table: Name) -> dict[str, str]:
        """Return what columns were called, by the names of now, of a table by its name of then."""
        return {
            str(now): str(then)
            for (kind, holder, now), (_, _, then) in self._names.items()
            if (kind, holder) == ("column", table)
        }


def origins(statements: Iterable[str], default: str) -> Origins:
    """Return what was called otherwise before statements."""
    names: dict[_Key, _Key] = {}
    for _ in _renames(statements, names, default):
        pass
    return Origins(names)


def renames_of(statements: Iterable[str], default: str) -> Iterator[tuple[str, str]]:
    """Yield the names that tables, indexes and the like had, and those that they got, without schemas."""
    for each in _renames(statements, {}, default):
        (_, holder, old), (*_, new) = each.old, each.new
        if holder is None and isinstance(old, Name) and isinstance(new, Name):
            yield old.name, new.name


def _without_round_trips(found: list[_Renamed]) -> list[_Renamed]:
    """Leave out renames after which what they are about is called as before: names that were only lent."""
    left, place = found[:], 0
    while place < len(left):
        trip = _round_trip(left, place)
        left = [each for number, each in enumerate(left) if number not in trip]
        place += not trip
    return left


def _round_trip(found: list[_Renamed], start: int) -> set[int]:
    """Return the places of a rename, and of those of the same names, that lead back to where it began."""
    origins: dict[_Key, _Key] = {}
    names: set[_Key] = {found[start].old}
    trip: set[int] = set()
    for place in range(start, len(found)):
        each = found[place]
        if names.isdisjoint({each.old, each.new}):
            continue
        names |= {each.old, each.new}
        trip.add(place)
        origins[each.new] = origins.pop(each.old, each.old)
        if all(key == origin for key, origin in origins.items()):
            return trip
    return set()


def _taken_along(found: list[_Renamed], before: Catalog) -> dict[_Key, _Key]:
    """Return what indexes and sequences were called before their table went to another schema with them."""
    homes: set[tuple[str, str]] = set()
    known: dict[_Key, _Key] = {}
    for each in found:
        kind, holder, name = each.old
        to = each.new[2]
        if holder is not None or not isinstance(name, Name) or not isinstance(to, Name):
            continue
        if name.schema != to.schema:
            homes.add((to.schema, name.schema))
        for schema, home in homes:
            first: _Key = (kind, None, Name(home, name.name))
            if schema == name.schema and not _is_in(before, each.old) and _is_in(before, first):
                known.setdefault(each.old, first)
    return known


def _without_exchanges(
    found: list[_Renamed], taken_along: Mapping[_Key, _Key], before: Catalog, now: Catalog
) -> list[_Renamed]:
    """Leave out by what something new took the name of what was there: values were written to it since.

    What had that name is called something else by now, or gone; a rename before it is one of what has the
    name now, and so is one behind it.
    """
    origins = dict(taken_along)
    for each in found:
        origins[each.new] = origins.pop(each.old, each.old)
    current = {origin: key for key, origin in origins.items()}
    origins = dict(taken_along)
    firsts: list[_Key] = []
    left_out: set[int] = set()
    for place, each in enumerate(found):
        firsts.append(origins.pop(each.old, each.old))
        displaced = _displaced(found, place)
        is_gone = displaced is not None and not _is_in(now, _held_now(found[displaced].new, current))
        if _is_in(before, firsts[place]) and not is_gone:
            origins[each.new] = firsts[place]
            continue
        left_out.add(place)
        if displaced is not None:
            left_out.add(displaced)
            origins.pop(found[displaced].new, None)
            origins[each.new] = firsts[displaced]
        elif each.new not in origins and not _is_in(before, each.new):
            origins[each.new] = firsts[place]
    return [each for place, each in enumerate(found) if place not in left_out]


def _displaced(found: list[_Renamed], taker: int) -> int | None:
    """Return the rename by which something made room for what another one names so, and stayed aside."""
    for place in reversed(range(taker)):
        if found[place].old == found[taker].new:
            stays = all(each.old != found[place].new for each in found[place + 1 :])
            return place if stays else None
    return None


def _room(
    each: _Renamed, origins: Mapping[_Key, _Key], current: Mapping[_Key, _Key], now: Catalog
) -> Iterator[str]:
    """Yield what makes room for a name that something new has taken; it is dropped afterwards."""
    name = each.old[2]
    if each.old not in origins and isinstance(name, Name) and _is_view(now, name):  # the old name of a table
        yield f"DROP VIEW {Identifier(name.schema, name.name).as_string()}"
    elif each.aside and each.old not in origins and _is_in(now, _held_now(each.old, current)):
        short = (name if isinstance(name, str) else name.name).encode()[:50].decode(errors="ignore")
        yield each.aside.format(Identifier(f"{short}{TAKEN}").as_string())


def _renames(statements: Iterable[str], origins: dict[_Key, _Key], default: str) -> Iterator[_Renamed]:
    for statement in (each for text in statements for each in lexed(text).statements):
        for place, each in enumerate(statement.executed):
            found = each.matches(_ALTER)
            if found:
                renamed = _renamed(each.listed, found, origins, default)
                origins[renamed.new] = origins.pop(renamed.old, renamed.old)
                # A block may have renamed it or not.
                yield replace(renamed, back=_if_there(renamed.back), aside=None) if place else renamed


def _renamed(words: list[str], found: Found, origins: dict[_Key, _Key], default: str) -> _Renamed:
    kind = "MATERIALIZED VIEW" if words[1] == "materialized" else words[1].upper()
    *schemas, bare = (each for each in lexed(found["name"]).listed if each != ".")
    schema, name = plain(schemas[0]) if schemas else default, plain(bare)
    space = "type" if kind in {"TYPE", "DOMAIN"} else "relation"
    prefix = f"{schemas[0]}." if schemas else ""
    own: _Key = (space, None, Name(schema, name))
    if found["to"]:
        back = f"ALTER {kind} {prefix}{found['to']} RENAME TO {bare}"
        aside = f"ALTER {kind} {_whole(prefix)}{_whole(bare)} RENAME TO {{}}"
        return _Renamed(own, (space, None, Name(schema, plain(found["to"]))), back, aside)
    if found["moved"]:
        home = schemas[0] if schemas else Identifier(default).as_string()
        back = f"ALTER {kind} {found['moved']}.{bare} SET SCHEMA {home}"
        return _Renamed(own, (space, None, Name(plain(found["moved"]), name)), back)
    old, new = found["old"], found["new"]
    part = "value" if old.startswith("'") else "constraint" if found.has("rename constraint") else "column"
    owner = origins.get(own, own)[2]
    holder = owner if isinstance(owner, Name) else None
    alter = f"ALTER {kind} {prefix}{bare} RENAME {part.upper()}"
    if part == "value":
        back = f"{alter} {Literal(new[1:]).as_string()} TO {Literal(old[1:]).as_string()}"
        return _Renamed((part, holder, old[1:]), (part, holder, new[1:]), back)
    room = f"{_whole(alter)} {_whole(old)} TO {{}}"
    return _Renamed((part, holder, plain(old)), (part, holder, plain(new)), f"{alter} {new} TO {old}", room)


def _whole(sql: str) -> str:
    """Return SQL as `format()` leaves it."""
    return sql.replace("{", "{{").replace("}", "}}")


def _held_now(key: _Key, current: Mapping[_Key, _Key]) -> _Key:
    """Return what something is called, with the name that the table or type which it is a part of has now."""
    kind, holder, name = key
    if holder is None:
        return key
    own = [current[space, None, holder] for space in ("relation", "type") if (space, None, holder) in current]
    held = own[0][2] if own else holder
    return kind, held if isinstance(held, Name) else holder, name


def _is_in(catalog: Catalog, key: _Key) -> bool:
    kind, holder, name = key
    if holder is not None:
        table, enum = catalog.tables.get(holder), catalog.enums.get(holder)
        if kind == "value":
            return enum is not None and name in enum.values
        if table is None:
            return False
        return name in table.constraints if kind == "constraint" else table.column(str(name)) is not None
    assert isinstance(name, Name)  # noqa: S101 - what is no part has a schema
    if kind == "type":
        return name in catalog.enums or name in catalog.domains
    own = [table for table in catalog.tables.values() if table.name.schema == name.schema]
    is_part = any(name.name in table.indexes or name.name in table.constraints for table in own)
    return is_part or name in catalog.tables or name in catalog.sequences


def _is_view(catalog: Catalog, name: Name) -> bool:
    plain = f"{name.schema}.{name.name}".replace('"', "")
    return any(kind == "view" and shown.replace('"', "") == plain for kind, shown in catalog.others)


def _if_there(back: str) -> str:
    return do_block([f"BEGIN {back};", "EXCEPTION WHEN undefined_object OR undefined_column THEN NULL;"])
