"""What autogenerate refuses to do without a word of the author's."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from alembic.util import CommandError

# Behind what can't change together with something else.
ALONE = "let autogenerate write one of the two first, with the other left out of the models until then"


class Refusal(CommandError):  # noqa: N818 - that is what it is
    """A change that is refused; the message says what to write.

    Args:
        kind: which of the refusals that docs/reference.md lists.
        message: what it is about, and the remedies.
        x: the argument of `-x` with which it isn't refused, "drop=t.c" for instance; None when no such is.
    """

    def __init__(self, kind: str, message: str, x: str | None = None) -> None:
        super().__init__(message if x is None else f"{message} -x {shlex.quote(x)}")
        self.kind = kind
        self.message = message
        self.x = x


class Refusals(CommandError):  # noqa: N818 - that is what they are
    """Several refusals of one autogenerate, and the command that takes all words at once.

    Args:
        found: the refusals.
        given: arguments of `-x` that were given.
        command: what follows them on the command line.
    """

    def __init__(self, found: Sequence[Refusal], given: Sequence[str], command: str) -> None:
        self.found = list(found)
        words = [each.x for each in found if each.x is not None]
        lines = [f"{len(found)} questions. Nothing has been written.", *(f"  {each}" for each in found)]
        if words:
            arguments = " ".join(f"-x {shlex.quote(each)}" for each in (*given, *words))
            lines.append(f"If each -x is meant: alembic {arguments} {command}")
        super().__init__("\n".join(lines))


_asked: ContextVar[list[Refusal] | None] = ContextVar("asked", default=None)


def refuse(kind: str, message: str, x: str | None = None) -> None:
    """Refuse a change (`Refusal`): at once, or with the others where refusals are collected, and return.

    Raises:
        Refusal: they aren't.
    """
    _collect(Refusal(kind, message, x))


def _collect(refusal: Refusal) -> None:
    found = _asked.get()
    if found is None:
        raise refusal
    if str(refusal) not in map(str, found):
        found.append(refusal)


@contextmanager
def going_on() -> Iterator[None]:
    """Collect a refusal that ends what is inside, and go on behind it.

    Raises:
        Refusal: there is one, and refusals aren't collected.
    """
    try:
        yield
    except Refusal as refusal:
        _collect(refusal)


@contextmanager
def collected(given: Sequence[str], command: str) -> Iterator[None]:
    """Collect what is refused inside, and refuse it together at the end.

    Args:
        given: arguments of `-x` that were given.
        command: what follows them on the command line.

    Raises:
        Refusal: there is one.
        Refusals: there are several.
    """
    found: list[Refusal] = []
    token = _asked.set(found)
    try:
        with going_on():
            yield
    finally:
        _asked.reset(token)
    if len(found) == 1:
        raise found[0]
    if found:
        raise Refusals(found, given, command)
