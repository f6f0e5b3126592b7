"""The condition by which triggers don't fire while rows are filled, in what PostgreSQL prints of them."""

import re

from plinth.autogenerate.change.backfills import FILLS
from plinth.autogenerate.change.quoting import literal

NOT_FILLING = f"current_setting('{FILLS}', true) IS DISTINCT FROM 'on'"
_PRINTED = f"(current_setting('{FILLS}'::text, true) IS DISTINCT FROM 'on'::text)"
_CALL = " EXECUTE FUNCTION "


def with_guard(definition: str) -> str:
    """Return the expression that gives a trigger's definition, an expression too, the condition."""
    own, both = literal(rf" WHEN \((.*)\){_CALL}"), literal(rf" WHEN (\1 AND {NOT_FILLING}){_CALL}")
    alone = literal(f" WHEN ({NOT_FILLING}){_CALL}")
    return (
        f"CASE WHEN {definition} ~ ' FOR EACH (ROW|STATEMENT) WHEN '\n"
        f"                THEN regexp_replace({definition}, {own}, {both})\n"
        f"                ELSE replace({definition}, {literal(_CALL)}, {alone}) END"
    )


def without_guard(definition: str) -> str:
    """Return the expression that takes it off again."""
    both, own = (
        literal(rf" WHEN \(\((.*) AND {re.escape(_PRINTED)}\)\){_CALL}"),
        literal(rf" WHEN (\1){_CALL}"),
    )
    return (
        f"replace(regexp_replace({definition}, {both}, {own}),\n"
        f"                {literal(f' WHEN ({_PRINTED}){_CALL}')}, {literal(_CALL)})"
    )
