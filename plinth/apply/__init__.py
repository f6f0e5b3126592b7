"""Applying revisions: one applier at a time, a transaction for each, bounded waiting, a ledger.

`plinth.env` hands `context.configure()` and `context.run_migrations()` to `apply`, which calls them once, and
once more after each lock that didn't come. Rooms, in the order in which they are entered:

- `lock`: one applier at a time; poolers that would make the lock meaningless.
- `irreversible`, `losses`: what stops a downgrade before anything ran.
- `retry`, `watch`, `progress`: waiting for other sessions, naming them, showing how far things are.
- `online`, `points`: statements outside a transaction; how far a revision came, so that it is resumed.
- `grants`: privileges on what a revision makes anew.
- `half_way`, `renamed`: taking back what an interrupted revision has done.
- `ledger`, `checksum`: what is remembered of each application.
"""

from plinth.apply.applier import apply, offline

__all__ = ["apply", "offline"]
