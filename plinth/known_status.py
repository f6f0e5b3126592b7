"""A status in which all is applied and in order, read without Alembic: where that is certain.

Nothing is pending by the same signs as in `plinth.up_to_date`. And the ledger has all revisions whose files
are here, and no others, as they are; so none was edited, is missing or came in below. Whatever is otherwise
takes the long way (`plinth.status_reading`), which would say the same.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from plinth import revision_text, up_to_date
from plinth.revision_text import RevisionText, Unclear
from plinth.status import INVALID_INDEXES, NOT_VALID_CONSTRAINTS, UNCHECKED_KEYS, Line, Status
from plinth.up_to_date import be_certain

_LEDGER = """
    select distinct on (revision) revision, direction, batch, applied_at, application, database_user,
           checksum, extract(epoch from duration) as seconds
    from plinth.ledger where version_table = $1 order by revision, id desc
    """
_HERE = "select current_database() as database, current_setting('TimeZone') as zone"


def known() -> Status | None:
    """Return where the database stands if all is in order there; None where the long way has to be taken."""
    files = up_to_date.fingerprint()
    if files is None:
        return None
    try:
        with up_to_date.looking(files) as found:
            environment = up_to_date.marker(found.session)
            for wrong in (INVALID_INDEXES, NOT_VALID_CONSTRAINTS, UNCHECKED_KEYS):
                be_certain(not found.session.ask(wrong))
            (here,) = found.session.ask(_HERE)
            entries = {row["revision"]: row for row in found.session.ask(_LEDGER, found.history)}
        texts = revision_text.in_order(up_to_date.revisions())
        be_certain(found.heads == [texts[-1].revision])
        recorded = {name for name, row in entries.items() if row["direction"] in {"up", "stamp"}}
        be_certain(recorded == {each.revision for each in texts})
        zone = ZoneInfo(here["zone"])  # as psycopg has it
        lines = [_line(each, entries[each.revision], zone) for each in texts]
    except (*up_to_date.UNCERTAIN, Unclear, ValueError, KeyError):
        return None
    return Status(str(here["database"]), environment, found.heads, lines, [])


def _line(text: RevisionText, row: dict[str, Any], zone: ZoneInfo) -> Line:
    be_certain(row["checksum"] in {None, text.checksum})
    ran = row["direction"] == "up"
    return Line(
        text.revision,
        text.message,
        "applied",
        row["applied_at"] and datetime.fromisoformat(row["applied_at"]).astimezone(zone),
        row["application"],
        row["database_user"],
        (float(row["seconds"] or 0) or None) if ran else None,
        row["batch"],
        text.change,
        not ran,
    )
