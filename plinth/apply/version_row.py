"""The version table's row, changed by one statement with the ledger's.

Alembic builds and compiles an UPDATE for each revision, with both ids in it as literals. In a revision that
does little, nothing costs more.
"""

from collections.abc import Callable

from alembic.runtime.migration import HeadMaintainer, MigrationContext

from plinth import alembic_command


def written_at_once(context: MigrationContext, write: Callable[[str, str], bool]) -> None:
    """Let Alembic's UPDATE of its table be replaced in the run that is going on.

    Args:
        context: Alembic's, whose steps are asked for.
        write: is given the old id and the new one, and returns whether it has changed the one row. If it
            hasn't, Alembic's own UPDATE comes, which says so if there is no such row.
    """
    maintainer = alembic_command.of_run(context).get("head_maintainer")
    if not isinstance(maintainer, HeadMaintainer):  # another Alembic's: it goes its own way
        return
    of_alembic = maintainer._update_version

    def update(old: str, new: str) -> None:
        if old in maintainer.heads and new not in maintainer.heads and write(old, new):
            maintainer.heads.remove(old)
            maintainer.heads.add(new)
        else:
            of_alembic(old, new)

    maintainer._update_version = update  # type: ignore[assignment, method-assign] # no hook
