"""Applying revisions: one applier at a time, a transaction for each, bounded waiting, a ledger.

`plinth.env` hands `context.configure()` and `context.run_migrations()` to `apply`, which calls them once, and
once more after each lock that didn't come. Rooms, in the order in which they are entered:

- `applier`, `callers`, `printed`: revisions in transactions of our own, in a caller's, and as SQL.
- `steps`: what these have in common; `session`: its settings; `version_row`, `phases`: Alembic's row, and
  what waits until the new code runs.
- `lock`: one applier at a time; poolers that would make the lock meaningless.
- `standing`: where a database stands against the code.
- `irreversible`, `losses`, `sequences`: what stops a downgrade before anything ran; `drops`: says the others.
- `retry`, `watch`, `waits`, `elsewhere`, `progress`: waiting for other sessions, ending and naming that,
  what became of it, the same for a revision's other connections, showing how far things are.
- `online`, `points`: statements outside a transaction; how far a revision came, so that it is resumed.
- `answers`: what statements answered, to be given once more; `session_state`: what a session alone has,
  likewise; `sources`: what a revision's source tells.
- `grants`: privileges on what a revision makes anew; `privileges`: who has them, by whose word;
  `privilege_words`: what a revision says of them itself.
- `left_columns`: what is on columns that make way; `made_anew`: what a database alone has said of what is
  made anew.
- `resuming`: which of those that stand half-way a command goes on with, and which it takes back.
- `half_done`: those of which nobody knows how far they came, and which nothing passes over.
- `half_way`, `renamed`, `said`, `scope`: taking back what one has done, and nothing that somebody else has;
  `left_values`: with the values that its columns had.
- `ledger`: what is remembered of each application.
"""

from plinth.apply.applier import apply
from plinth.apply.printed import offline

__all__ = ["apply", "offline"]
