"""The schema `plinth`: made where it is missing, and what a role must be allowed there.

PostgreSQL asks for privileges before it looks whether a thing is there, so the catalog is asked first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Executable, text
from sqlalchemy.schema import CreateSchema

from plinth.advisory import number_of
from plinth.errors import PlinthError

SCHEMA = "plinth"

# All that is asked of it, at once. What a role may not is asked of the tables that are there.
_SEEN = text(
    """
    select quote_ident(current_user) as role, quote_ident(current_database()) as database,
           has_database_privilege(current_database(), 'CREATE') as may_create_schemas,
           has_schema_privilege(n.oid, 'CREATE') as may_create,
           has_schema_privilege(n.oid, 'USAGE') as may_use,
           (select coalesce(jsonb_object_agg(relname, array(
                select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
                where not has_table_privilege(c.oid, p))), '{}')
            from pg_class c where relnamespace = n.oid and relname = any(:names)) as lacking
    from (select 1) one left join pg_namespace n on nspname = 'plinth'
    """
)
_VERSION_TABLE = text(
    """
    select quote_ident(current_user) as role, c.oid::regclass::text as name, n.nspname,
           current_schema() as default_schema, current_setting('search_path') as search_path,
           quote_ident(current_database()) as database, quote_ident(s.nspname) as schema,
           has_schema_privilege(s.oid, 'CREATE') as may_create,
           has_schema_privilege(n.oid, 'USAGE') as may_use,
           (select array_agg(p) from unnest(cast(:privileges as text[])) p
            where not has_table_privilege(c.oid, p)) as lacking
    from (select 1) one
    left join pg_namespace s on s.nspname = coalesce(cast(:schema as name), current_schema())
    left join (pg_class c join pg_namespace n on n.oid = c.relnamespace) on c.relname = :name
        and c.relkind in ('r', 'p')
        and case when cast(:schema as name) is null then pg_table_is_visible(c.oid)
            else n.nspname = :schema end
    """
)
_VERSION_SCHEMA = text(
    """
    select quote_ident(:schema) as schema, quote_ident(current_database()) as database,
           exists (select from pg_namespace where nspname = cast(:schema as name)) as is_there
    """
)
_TAKE_TURNS = text(f"select pg_advisory_xact_lock({number_of('plinth own schema')})")


class PrivilegeError(PlinthError):
    """The role lacks a privilege; the message has the GRANT for it."""


@dataclass(frozen=True)
class OwnTable:
    """A table of ours.

    Args:
        name: without the schema.
        privileges: what a role that changes the database needs on it.
        creation: makes it where it isn't there.
    """

    name: str
    privileges: Sequence[str]
    creation: Executable


def exists(connection: Connection, table: str) -> bool:
    """Whether there is a table of that name in our schema, which this role may read.

    Raises:
        PrivilegeError: it is there, and the role may not.
    """
    here = connection.execute(_SEEN, {"names": [table]}).one()
    if table not in here.lacking:
        return False
    lacks = "SELECT" in here.lacking[table]
    grants = [] if here.may_use else [f"GRANT USAGE ON SCHEMA {SCHEMA} TO {here.role}"]
    grants += [f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {here.role}"] if lacks else []
    if grants:
        raise PrivilegeError(
            f"Role {here.role} may not read {SCHEMA}.{table}. Let the owner run: {'; '.join(grants)}"
        )
    return True


def make(connection: Connection, tables: Sequence[OwnTable]) -> None:
    """Make schema and tables where they are missing; the caller commits.

    Raises:
        PrivilegeError: the role may not make them, or not write to them.
    """
    names = {"names": [table.name for table in tables]}
    here = connection.execute(_SEEN, names).one()
    if len(here.lacking) < len(tables):  # two first commands, each with a version table of its own
        connection.execute(_TAKE_TURNS)
        here = connection.execute(_SEEN, names).one()
    if here.may_create is None:
        if not here.may_create_schemas:
            raise PrivilegeError(
                f"Role {here.role} may not make the schema {SCHEMA}, which holds what was applied. Let the "
                f"owner of database {here.database} run: CREATE SCHEMA {SCHEMA} AUTHORIZATION {here.role}"
            )
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
    missing, grants = [], []
    for table in tables:
        lacking = here.lacking.get(table.name)
        if lacking is None:
            missing.append(table)
        elif not set(table.privileges).isdisjoint(lacking):
            grants.append(f"GRANT {', '.join(table.privileges)} ON {SCHEMA}.{table.name} TO {here.role}")
    if missing and here.may_create is False:
        grants.insert(0, f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {here.role}")
    elif here.may_use is False:
        grants.insert(0, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {here.role}")
    if grants:
        raise PrivilegeError(
            f"Role {here.role} may not write what was applied into the schema {SCHEMA}. Let its owner run: "
            f"{'; '.join(grants)}"
        )
    for table in missing:
        connection.execute(table.creation)


def objection_to_version_schema(connection: Connection, schema: str | None) -> str | None:
    """Return why no revision can be applied where the version table's schema isn't there; None if it is.

    Args:
        connection: the database's.
        schema: what `env.py` says; None where it says nothing.
    """
    wanted = schema and connection.execute(_VERSION_SCHEMA, {"schema": schema}).one()
    if not wanted or wanted.is_there:
        return None
    return (
        f"The version table is to be in schema {wanted.schema} (version_table_schema in env.py), which isn't "
        f"in database {wanted.database}. Alembic looks into it before the first revision runs. Make it: "
        f"CREATE SCHEMA {wanted.schema}"
    )


def refuse_without_version_table(
    connection: Connection, schema: str | None, name: str, *, to_change: bool
) -> tuple[str | None, bool]:
    """Return if the role may do with Alembic's version table what a command does, or nothing hinders it.

    Args:
        connection: the database's.
        schema: where the table is; None for the search_path's.
        name: the table's.
        to_change: whether revisions are applied or undone.

    Returns:
        The schema where it is, or would be made, or None where that isn't known yet; and whether it is there.

    Raises:
        PrivilegeError: it may not; or the table's schema isn't there; or the search_path names none that is
            there and that it may use.
    """
    privileges = ["SELECT", "INSERT", "UPDATE", "DELETE"] if to_change else ["SELECT"]
    found = connection.execute(
        _VERSION_TABLE, {"schema": schema, "name": name, "privileges": privileges}
    ).one()
    is_scratch = connection.get_execution_options().get("default_schema")  # in which it may not be made yet
    if not schema and not is_scratch and found.default_schema is None:
        raise PrivilegeError(
            f"The search_path ({found.search_path or 'empty'}) names no schema that is there and that this "
            "role may use: tables have no place. Make it, or: "
            f"ALTER DATABASE {found.database} SET search_path = public"
        )
    objection = objection_to_version_schema(connection, schema) if schema and found.schema is None else None
    if objection and to_change and not is_scratch:
        raise PrivilegeError(objection)
    if found.name and (found.lacking or not found.may_use):
        grants = [] if found.may_use else [f"GRANT USAGE ON SCHEMA {found.nspname} TO {found.role}"]
        grants += [f"GRANT {', '.join(privileges)} ON {found.name} TO {found.role}"] if found.lacking else []
    elif not found.name and to_change and found.may_create is False:
        grants = [f"GRANT USAGE, CREATE ON SCHEMA {found.schema} TO {found.role}"]
    else:
        place: str | None = found.nspname or found.default_schema
        return schema or place, found.name is not None
    verb = "write" if to_change else "read"
    raise PrivilegeError(
        f"Role {found.role} may not {verb} {found.name or name}. Let the owner run: {'; '.join(grants)}"
    )
