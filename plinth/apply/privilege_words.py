"""What GRANT and REVOKE say: which privileges, on what, of whom; or that it can't be read with certainty."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from plinth.sql_text import Lexed, Tokens, parts, plain

ALL = "ALL"
PUBLIC = "public"
_KINDS = {
    "table": "",
    "sequence": "SEQUENCE",
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "routine": "ROUTINE",
    "type": "TYPE",
    "domain": "TYPE",
}
_NAMED = f"[{' | '.join(_KINDS)}] <name>"
_OTHERS = "schema | database | large object | language | foreign | tablespace | parameter"
_IN_SCHEMA = "all {tables | sequences | functions | procedures | routines} in schema"
_OPTION = "grant option for"
_BEHIND_ROLES = {"with", "granted", "cascade", "restrict"}


@dataclass(frozen=True)
class Words:
    """What one of them says.

    Args:
        is_grant: else it takes away.
        is_read: all of it; else it may be about whatever `names` has, and any role.
        names: of what it is about, as the catalog has their parts.
        kind: of that, as GRANT calls it; empty: a table, view or sequence.
        in_schema: `names` are schemas, and it is about all of that kind in them.
        privileges: with the columns of each; without any it is about the whole.
        roles: as they are written.
        is_option: REVOKE GRANT OPTION FOR.
    """

    is_grant: bool
    is_read: bool
    names: frozenset[tuple[str, ...]]
    kind: str = ""
    in_schema: bool = False
    privileges: dict[str, frozenset[str]] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    is_option: bool = False

    def is_of_kind(self, kind: str) -> bool:
        """Whether it may be about a thing of a kind."""
        is_sequence_as_table = kind == "SEQUENCE" and not self.kind and not self.in_schema
        return not self.is_read or kind == self.kind or is_sequence_as_table

    def says(self, privilege: str, column: str) -> bool:
        """Whether it is about a privilege: on a column, or on the whole, where that is empty."""
        return any(
            name in {ALL, privilege} and (not columns or column in columns)
            for name, columns in self.privileges.items()
        )


def privilege_words(statement: Lexed) -> Iterator[Words]:
    """Yield what a statement says of the privileges on objects: itself, or what a DO block executes."""
    executed = statement.executed
    is_put_together = any(each.has("execute") and not each.matches("execute <text>") for each in executed[1:])
    for each in executed:
        if not each.begins("grant | revoke"):
            continue
        tokens = _without_end(each)
        if "on" not in tokens and not {"to", "from"}.isdisjoint(tokens):
            continue  # roles, of other roles
        found = None if is_put_together else _read(tokens)
        yield found or Words(tokens[0] == "grant", is_read=False, names=names_in(statement))


def names_in(statement: Lexed) -> frozenset[tuple[str, ...]]:
    """Return the names that stand in a statement, also in its strings, as the catalog has their parts."""
    found = (each["name"] for part in statement.nested for each in part.find("<name>"))
    return frozenset(tuple(parts(name)) for name in found)


def roles_said(tokens: Tokens) -> tuple[str, ...]:
    """Return the roles that a list names, as they are written; none if it can't be read."""
    listed = _without_end(tokens)
    end = next((place for place, each in enumerate(listed) if each in _BEHIND_ROLES), len(listed))
    found = [_group(each.listed) for each in _elements(listed[:end])]
    return tuple(found) if all(map(_is_name, found)) else ()


def _read(tokens: Sequence[str]) -> Words | None:
    if "on" not in tokens:
        return None
    on = tokens.index("on")
    to = next((place for place in range(on, len(tokens)) if tokens[place] in {"to", "from"}), None)
    if to is None:
        return None
    what, objects, roles = _tokens(tokens[1:on]), _elements(tokens[on + 1 : to]), _tokens(tokens[to + 1 :])
    is_option = what.begins(_OPTION)
    privileges = dict(map(_privilege, (is_option.rest if is_option else what).elements()))
    said = roles_said(roles)
    if not said or "" in privileges or not objects:
        return None
    about: frozenset[tuple[str, ...]] = frozenset()
    if in_schema := objects[0].begins(_IN_SCHEMA):
        kind = _KINDS[objects[0].listed[1].removesuffix("s")]
        names = [each.listed for each in (in_schema.rest, *objects[1:])]
        if not all(len(each) == 1 and _is_name(each[0]) for each in names):
            return None
        about = frozenset((plain(each[0]),) for each in names)
    elif objects[0].begins(_OTHERS) and objects[0].listed[1:]:
        kind = "other"
    else:
        kind = _KINDS.get(objects[0].listed[0], "") if objects[0].listed[1:] else ""
        found = [each.begins(_NAMED) for each in objects]
        if not all(each and each.rest.listed[:1] in ([], ["("]) and _is_name(each["name"]) for each in found):
            return None
        about = frozenset(tuple(parts(each["name"])) for each in found if each)
    return Words(
        is_grant=tokens[0] == "grant",
        is_read=True,
        names=about,
        kind=kind,
        in_schema=in_schema is not None,
        privileges=privileges,
        roles=said,
        is_option=is_option is not None,
    )


def _privilege(element: Tokens) -> tuple[str, frozenset[str]]:
    """Return a privilege and its columns; an empty one, if it can't be read."""
    listed = element.listed
    open_ = listed.index("(") if "(" in listed else len(listed)
    words, columns = listed[:open_], [each for each in listed[open_ + 1 : -1] if each != ","]
    if not words or not all(each.isalpha() for each in words) or not all(map(_is_name, columns)):
        return "", frozenset()
    name = " ".join(words).upper().removesuffix(" PRIVILEGES")
    return name, frozenset(map(plain, columns))


def _group(listed: list[str]) -> str:
    rest = listed[1:] if listed[:1] == ["group"] and listed[1:] else listed
    return rest[0] if len(rest) == 1 else ""


def _is_name(token: str) -> bool:
    return bool(token) and (token[0] in '"_' or token[0].isalpha())


def _without_end(tokens: Tokens) -> list[str]:
    return [each for each in tokens.listed if each != ";"]


def _elements(listed: Sequence[str]) -> list[Tokens]:
    return [each for each in _tokens(listed).elements() if each.listed]


def _tokens(listed: Sequence[str]) -> Tokens:
    return Tokens("\0".join(["", *listed, ""]))
