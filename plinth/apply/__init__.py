"""Applying revisions: one applier at a time, a transaction for each, bounded waiting, a ledger.

`plinth.env` hands `context.configure()` and `context.run_migrations()` to `apply`, which calls them once, and
once more after each lock that didn't come. Rooms, in the order in which they are entered:

- `applier`, `callers`, `printed`: revisions in transactions of our own, in a caller's, and as SQL.
- `lock`: one applier at a time; poolers that would make the lock meaningless.
- `irreversible`, `losses`: what stops a downgrade before anything ran.
- `retry`, `watch`, `progress`: waiting for other sessions, naming them, showing how far things are.
- `online`, `points`: statements outside a transaction; how far a revision came, so that it is resumed.
- `answers`: what statements answered, to be given once more; `sources`: what a revision's source tells.
- `grants`: privileges on what a revision makes anew.
- `resuming`: which of those that stand half-way a command goes on with, and which it takes back.
- `half_done`: those of which nobody knows how far they came, and which nothing passes over.
- `half_way`, `renamed`, `said`, `scope`: taking back what one has done, and nothing that somebody else has.
- `ledger`: what is remembered of each application.
"""

from plinth.apply.applier import apply
from plinth.apply.printed import offline

__all__ = ["apply", "offline"]
