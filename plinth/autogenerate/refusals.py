"""What autogenerate refuses to do without a word of the author's."""

from alembic.util import CommandError


class Refusal(CommandError):  # noqa: N818 - that is what it is
    """A change that is refused; the message says what to write.

    Args:
        kind: which of the refusals that docs/reference.md lists.
        message: what it is about, and the remedies.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
