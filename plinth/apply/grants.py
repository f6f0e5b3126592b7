"""What was granted on an object that a revision makes anew is granted on the new one, and its owner stays.

Which roles may use a view, a type or a column, each database says for itself: no revision knows all of them.
So what is there before something is dropped or renamed is compared with what bears the same name when the
transaction ends. What has only changed its name keeps its own privileges: they are those of its rows.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection

from plinth.apply.left_columns import ending
from plinth.apply.points import driver_session
from plinth.apply.privilege_words import Words, names_in, privilege_words, roles_said
from plinth.apply.privileges import (
    TYPE,
    Granted,
    Place,
    Privilege,
    Server,
    all_granted,
    as_note,
    from_note,
    kind_of,
    name_of,
    statements_of,
)
from plinth.apply.session import codec
from plinth.listening import listening
from plinth.server_errors import words as words_of
from plinth.sql_text import Lexed, lexed, plain

log = logging.getLogger(__name__)

_WORDS = ("drop", "rename", "grant", "revoke", "owner", "owned")  # one of which is in all that matters here
_PATH = "select unnest(current_schemas(false))"


class Grants:
    """The privileges on what the running revision makes anew."""

    def __init__(self) -> None:
        self._before: dict[Place, Granted] = {}
        self._said: list[tuple[Words, list[str]]] = []  # GRANTs, and their search paths
        self._is_known = False  # as it is before this transaction

    def follow(self, noted: Iterable[Any] = ()) -> None:
        """Forget what an earlier revision has dropped: what comes later under its name is another thing.

        Args:
            noted: of what the revision had dropped itself when it was interrupted.
        """
        self._before = dict(map(from_note, noted))
        self._said.clear()
        self._is_known = False

    def noted(self, session: "psycopg.Connection[Any]") -> list[Any]:
        """Put back what goes, and return what is noted of things that are gone: they may come yet."""
        self._is_known = False
        now = self._put_back(session) if self._before else {}
        standing = {each.identity for each in now.values()}
        return [
            as_note(place, was)
            for place, was in self._before.items()
            if place not in now and (place[1] or was.identity not in standing)
        ]

    @contextmanager
    def kept(self, connection: Connection) -> Iterator[None]:
        """Put back what goes, as long as the block runs.

        Args:
            connection: the migrations'.
        """

        def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
            lowered = statement.lower()
            if any(word in lowered for word in _WORDS):
                plain_text = statement.replace("%%", "%")  # as the driver makes of it
                self._see(driver_session(conn), lexed(plain_text))

        def put_back(conn: Connection) -> None:
            self._is_known = False
            if self._before:
                self._put_back(driver_session(conn))

        def forget(_: Connection) -> None:
            self._is_known = False

        with listening(
            (connection, "before_cursor_execute", before),
            (connection, "commit", put_back),
            (connection, "rollback", forget),
        ):
            yield

    def _see(self, session: "psycopg.Connection[Any]", text: Lexed) -> None:
        """Look at a statement that is about to be executed."""
        if not self._is_known and any(each.has("drop | rename") for each in text.executed):
            self._look(session)
        for each in text.statements:
            for words in privilege_words(each):
                if words.is_grant:
                    self._said.append((words, _path(session)))
                    self._is_known = False  # what goes later goes with it
                else:
                    self._revoke(session, words)
            self._see_owners(session, each)

    def _see_owners(self, session: "psycopg.Connection[Any]", statement: Lexed) -> None:
        if _does(statement, "alter ... owner to"):
            for place in self._named(names_in(statement), _path(session)):
                self._before[place].owner = None
        elif _does(statement, "reassign owned by"):
            for was in self._before.values():
                was.owner = None
        elif self._before:
            for part in statement.executed:
                if found := part.begins("drop owned by"):
                    gone = Server(session).numbers(roles_said(found.rest))
                    for was in self._before.values():
                        was.take_away([each for each in was.privileges if each[0] in gone])

    def _look(self, session: "psycopg.Connection[Any]") -> None:
        """See what is granted now; what isn't there any more, or is made anew just now, had what it had."""
        now = all_granted(session, {name for name, column in self._before if column})
        for place, was in self._before.items():
            if place not in now or now[place].identity != was.identity:
                now[place] = was
        self._before, self._is_known = now, True

    def _revoke(self, session: "psycopg.Connection[Any]", words: Words) -> None:
        """See that the revision itself says who may not use what it names."""
        places = [place for place in self._of(words, _path(session)) if self._before[place].privileges]
        if not places:
            return
        gone = Server(session).numbers(words.roles)
        bare = [name_of(place) for place in places if place[0].startswith("ROUTINE ")]
        for place in places:
            was, column = self._before[place], plain(place[1]) if place[1] else ""
            if not words.is_read or bare.count(name_of(place)) > 1:  # which of several routines isn't told
                was.unsure |= was.privileges
                was.privileges = set()
            else:
                taken = [it for it in was.privileges if it[0] in gone and words.says(it[1], column)]
                was.take_away(taken, only_option=words.is_option)

    def _of(self, words: Words, path: Sequence[str]) -> list[Place]:
        """Return what GRANT or REVOKE is about."""
        if words.in_schema:
            found = [place for place in self._before if name_of(place)[:1] in words.names]
        else:
            found = self._named(words.names, path)
        return [place for place in found if words.is_of_kind(kind_of(place[0]))]

    def _named(self, said: Collection[tuple[str, ...]], path: Sequence[str]) -> list[Place]:
        """Return what some names lead to: by its schema, or as the first of its name on the search path."""
        names = {place: name_of(place) for place in self._before}
        known = {*names.values()}
        led = {
            (next((each for each in path if (each, name) in known), ""), name) for *_, name in said if name
        }
        return [place for place, name in names.items() if name in said or (name in led and name[1:] in said)]

    def _put_back(self, session: "psycopg.Connection[Any]") -> dict[Place, Granted]:
        """Put back what goes, and return what is granted on what there is."""
        with_columns = {name for (name, column), each in self._before.items() if column and each.is_said}
        now = all_granted(session, with_columns)
        server = Server(session)
        standing = {each.identity: place for place, each in now.items()}
        anew: list[_Anew] = []
        for place, was in self._before.items():
            found = now.get(place)
            if found is None or found.identity == was.identity:
                continue
            is_anew = place[0].startswith(TYPE) or was.identity not in standing
            if is_anew or _has_made_way(place, standing[was.identity]):
                anew.append(_Anew(session, server, place, was, found))
                continue
            lost = was.privileges - found.privileges if was.is_said else set()
            if statements := [*statements_of("GRANT", place, lost, server.roles)]:
                log.warning(
                    "What was called %s has another name now, and its privileges go with it. If what has the "
                    "name now should have them too: %s",
                    ".".join(filter(None, place)),
                    "; ".join(statements),
                )
        called = {was.identity: place for place, was in self._before.items()}
        for each in anew:
            granted, is_unread = self._granted_by_the_revision(each, server)
            each.let_others_use_it(granted, is_unread, called.get(each.found.identity))
        for each in anew:
            each.give()
        for each in anew:
            each.let_its_maker_use_it()
        for place, was in self._before.items():
            was.identity = now[place].identity if place in now else was.identity
        return now

    def _granted_by_the_revision(self, it: "_Anew", server: Server) -> tuple[set[Privilege], bool]:
        """Return what is granted on an object by words that can be read, and whether there are others."""
        is_unread = False
        found: set[Privilege] = set()
        called = {
            it.place,
            *(place for place, was in self._before.items() if was.identity == it.found.identity),
        }
        for words, path in self._said if it.more else ():
            if called.isdisjoint(self._of(words, path)):
                continue
            whom = server.numbers(words.roles)
            found |= {each for each in it.more if each[0] in whom and words.says(each[1], "")}
            is_unread = is_unread or not words.is_read
        return found, is_unread


class _Anew:
    """An object that is made anew.

    Args:
        session: the migrations'.
        server: of it.
        place: which object.
        was: what was granted on the one before it.
        found: what is granted on it.
    """

    def __init__(
        self,
        session: "psycopg.Connection[Any]",
        server: Server,
        place: Place,
        was: Granted,
        found: Granted,
    ) -> None:
        self._session = session
        self._server = server
        self.place = place
        self.was = was
        self.found = found
        self._creator = found.owner or server.current
        self._owner: str | None = None  # if it is given one
        # What it didn't have, and has by default; if the revision hasn't granted just that, too.
        self.more = (found.privileges - was.privileges - was.unsure) & server.given(place, found.owner)

    def let_others_use_it(
        self, granted: Collection[Privilege], is_unread: bool, called: Place | None
    ) -> None:
        """Give it the privileges that it had, beside those that the revision grants.

        Args:
            granted: by the revision, of those that it also has by default.
            is_unread: it grants something on it by words that can't be read.
            called: what it was called before, if it was there.
        """
        roles = self._server.roles
        more = self.more.difference(granted)
        options = {each for each in more if (each[0], each[1], False) in self.was.privileges}
        for verb, privileges in (
            ("REVOKE GRANT OPTION FOR", {(who, what, False) for who, what, _ in options}),
            ("REVOKE", {(who, what, False) for who, what, _ in more - options}),
            ("GRANT", {each for each in self._missing if each[0] != self._creator}),
        ):
            for statement in statements_of(verb, self.place, privileges, roles):
                self._execute(statement, self._creator)
        if called and more and not kind_of(self.place[0]):  # a type or function is made under it
            log.warning(
                "%s takes the place of %s, which hadn't what it has by default: that is taken away. If it "
                "should have it: %s",
                *(called[0], self.place[0], "; ".join(statements_of("GRANT", self.place, more, roles))),
            )
        if is_unread and more:
            log.warning(
                "%s is made anew, and the revision grants something on it by words that can't be read with "
                "certainty. What it hadn't, and has by default, is taken away. If the revision says it: %s",
                ".".join(filter(None, self.place)),
                "; ".join(statements_of("GRANT", self.place, more, roles)),
            )
        unsure = self.was.unsure - self.found.privileges
        if statements := [*statements_of("GRANT", self.place, unsure, roles)]:
            log.warning(
                "%s is made anew, and the revision may have revoked what was granted on it, by words that "
                "can't be read with certainty. If not: %s",
                ".".join(filter(None, self.place)),
                "; ".join(statements),
            )

    @property
    def _missing(self) -> set[Privilege]:
        has = self.found.privileges
        return {each for each in self.was.privileges - has if (each[0], each[1], True) not in has}

    def give(self) -> None:
        """Let it have the owner that it had, with whose privileges a view or function works."""
        was, found = self.was, self.found
        owner = self._server.roles.get(was.owner or 0)
        if self.place[1] or found.owner is None or was.owner in {None, found.owner} or owner is None:
            return
        name, _ = self.place
        kind = kind_of(name)
        bare = name.removeprefix(f"{kind} ")
        statement = f"ALTER {kind if kind in {'ROUTINE', 'TYPE'} else 'TABLE'} {bare} OWNER TO {owner}"
        try:
            with self._session.transaction():  # a savepoint
                self._session.execute(statement.encode(codec(self._session)))
        except psycopg.errors.InsufficientPrivilege as error:
            log.warning(
                "%s is made anew, and belonged to %s, to which this role can't give it (%s): %s",
                *(name, owner, words_of(error), statement),
            )
        else:
            self._owner = owner
            log.info("%s is made anew, and belongs to whom it did: %s", name, statement)

    def let_its_maker_use_it(self) -> None:
        """Give the role that has made it what it had: what it may do as the owner goes with that.

        What was granted to it before would go with that.
        """
        if self._owner is None and self.found.owner is not None:
            return  # it is the owner
        mine = {each for each in self._missing if each[0] == self._creator}
        for statement in statements_of("GRANT", self.place, mine, self._server.roles):
            self._execute(statement, self.was.owner)

    def _execute(self, statement: str, owner: int | None) -> None:
        """Grant or revoke as the owner: not all who may give something to a role have its privileges."""
        as_owner = self._server.roles.get(owner or 0)
        if as_owner is None or owner == self._server.current:
            self._session.execute(statement.encode(codec(self._session)))
        else:
            try:
                self._execute_as(as_owner, statement)
            except psycopg.errors.InsufficientPrivilege:  # what its members may do they do as the owner, too
                self._session.execute(statement.encode(codec(self._session)))
        log.info("%s is made anew, and has just what was granted on it: %s", self.place[0], statement)

    def _execute_as(self, role: str, statement: str) -> None:
        with self._session.transaction():
            before = self._session.execute("select current_setting('role')").fetchone()
            self._session.execute(f"SET LOCAL ROLE {role}".encode(codec(self._session)))
            self._session.execute(statement.encode(codec(self._session)))
            self._session.execute("select set_config('role', %s, true)", before)


def _path(session: "psycopg.Connection[Any]") -> list[str]:
    return [schema for (schema,) in session.execute(_PATH)]


def _has_made_way(place: Place, now: Place) -> bool:
    """Whether a column has left its name to one that takes its place."""
    (table, column), (its_table, called) = place, now
    return bool(column) and table == its_table and ending(plain(column), plain(called)) == "old"


def _does(statement: Lexed, form: str) -> bool:
    return any(each.begins(form) for each in statement.executed)
