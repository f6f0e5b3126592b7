"""What was compared, on its way from Alembic's comparison to the hook that writes revisions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alembic.operations import ops

from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.compare.hints import Hints
from plinth.autogenerate.compare.renames import Rename
from plinth.autogenerate.compare.scope import Scope
from plinth.catalog import Catalog


@dataclass(frozen=True)
class Subject:
    """What is compared.

    Args:
        database: what is there.
        models: what the models mean.
        hints: what they say of the change itself.
        read: reads the database.
        scope: what of it is compared.
    """

    database: Catalog
    models: Catalog
    hints: Hints
    read: Callable[[], Catalog]
    scope: Scope


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what is to be done.

    Args:
        change: from what is there, renames done, to what the models mean.
        renames: what comes first.
        subject: what was compared.
        stamped: whether the database at hand has it already, and is to be told so; it was compared with
            what the revisions make then.
    """

    change: Change
    renames: Sequence[Rename]
    subject: Subject
    stamped: bool = False


class ComparedOp(ops.OpContainer):
    """Carries a comparison to the hook that writes revisions; it is no operation of its own."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__([])
        self.comparison = comparison

    def is_empty(self) -> bool:
        """Whether there is nothing to do: never, or it would not be here."""
        return False

    def reverse(self) -> "ComparedOp":
        """Return itself: the way back is found by the hook as well."""
        return self
