"""What a database has that a picture of it doesn't show: all rows of all catalogs but those that it reads.

Nothing is listed here but what the picture does show: a kind of object that comes with a later PostgreSQL is
unseen until it is read.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from plinth.catalog import queries

Catalogs = list[tuple[Any, ...]]  # oid, name, the columns for the owner and for privileges

_FIRST_OID = 16384  # what has a lower one came with the server

# Every catalog whose rows are objects of this database, with its columns for the owner and for privileges.
# The values of an enum are part of it, and large objects are data.
_CATALOGS = """
    select c.oid, c.oid::regclass::text, max(a.attname) filter (where a.attname ~ 'owner$'),
           max(a.attname) filter (where a.atttypid = 'aclitem[]'::regtype)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r' and not c.relisshared
      and has_table_privilege(c.oid, 'select')
      and c.oid not in ('pg_enum'::regclass, 'pg_largeobject_metadata'::regclass)
    group by c.oid having bool_or(a.attname = 'oid')
    """

_SHOWN = f"""
    select 'pg_class'::regclass::oid classid, q.objid from ({queries.TABLES}) q(objid)
    union all select 'pg_constraint'::regclass, q.objid from ({queries.CONSTRAINTS}) q(relation, objid)
    union all select 'pg_class'::regclass, q.objid from ({queries.INDEXES}) q(relation, objid)
    union all select 'pg_class'::regclass, seqrelid from pg_sequence
    union all select 'pg_type'::regclass, oid from pg_type where typtype in ('d', 'e')
    union all select 'pg_constraint'::regclass, oid from pg_constraint where contypid <> 0
    union all select 'pg_attrdef'::regclass, oid from pg_attrdef
    union all select 'pg_namespace'::regclass, n.oid from pg_namespace n
        where n.nspname in (select q.name from ({queries.SCHEMAS}) q(name))
    union all select q.classid, q.objid
        from ({queries.OTHERS}) q(kind, name, definition, schema, relation, comment, objid, classid)
    union all select 'pg_class'::regclass, ev_class from pg_rewrite where rulename = '_RETURN'
    union all select 'pg_class'::regclass, i.indexrelid from pg_index i
        join pg_class c on c.oid = i.indrelid where c.relkind = 'm'
    union all select 'pg_type'::regclass, reltype from pg_class where relkind = 'c'
    """  # noqa: S608 - texts of our own

# Facts of one catalog's rows.
_OBJECTS = """
    select {classid}::oid classid, o.oid objid, {owner} as owner from {catalog} o where o.oid >= {first}
    """
_PRIVILEGES = """
    select {classid}::oid classid, o.{oid} objid, {number} objsubid, o.{acl} acl from {catalog} o
    where o.{acl} is not null
    """

_UNSEEN = """
    with recursive objects as materialized ({objects}),
    shown as materialized ({shown}),
    extension(classid, objid) as (
        select classid, objid from pg_depend where deptype = 'e'
        union select d.classid, d.objid from pg_depend d
        join extension e on e.classid = d.refclassid and e.objid = d.refobjid and d.deptype in ('i', 'a')
    ),
    covered(classid, objid) as (
        select classid, objid from shown
        union select d.classid, d.objid from pg_depend d
        join covered c on c.classid = d.refclassid and c.objid = d.refobjid and d.deptype in ('i', 'P', 'S')
    ),
    ours as materialized (
        select o.*, exists (
            select from covered c where c.classid = o.classid and c.objid = o.objid) is_covered
        from objects o
        where (o.classid, o.objid) not in (select classid, objid from extension)
    ),
    unseen as materialized (select * from ours where not is_covered),
    facts(word, classid, objid, objsubid, more) as (
        select '', classid, objid, 0, '' from unseen u
        where not exists (
            select from pg_depend d join unseen o on o.classid = d.refclassid and o.objid = d.refobjid
            where d.classid = u.classid and d.objid = u.objid and d.deptype in ('i', 'a')
              and (o.classid, o.objid) <> (u.classid, u.objid))
        union all
        select 'comment on ', o.classid, o.objid, d.objsubid, ''
        from ours o join pg_description d on d.classoid = o.classid and d.objoid = o.objid
        where o.is_covered and (o.classid, o.objid) not in (select classid, objid from shown)
        union all
        select 'security label on ', o.classid, o.objid, l.objsubid, ''
        from ours o join pg_seclabel l on l.classoid = o.classid and l.objoid = o.objid
        union all
        select 'owner of ', classid, objid, 0, ', ' || pg_get_userbyid(owner)
        from ours where owner <> (select oid from pg_roles where rolname = current_user)
            and (classid, objid) in (select classid, objid from shown)
        union all
        select 'privileges on ', p.classid, p.objid, p.objsubid, coalesce((
            select ' for ' || string_agg(distinct case a.grantee when 0 then 'PUBLIC'
                                                  else pg_get_userbyid(a.grantee) end, ', ')
            from aclexplode(p.acl) a where a.grantee <> a.grantor), '')
        from ({privileges}) p
        left join pg_init_privs i on i.classoid = p.classid and i.objoid = p.objid and i.objsubid = p.objsubid
        where p.acl is distinct from i.initprivs and (p.objid < {first} or (p.classid, p.objid) in (
            select classid, objid from ours where is_covered))
        union all
        select 'rows of ', 'pg_class'::regclass, oid, 0, '' from pg_class
        where relkind = 'r' and oid >= {first} and pg_relation_size(oid) > 0
    )
    select f.word || i.type || ' ' || i.identity || f.more
    from facts f cross join lateral pg_identify_object(f.classid, f.objid, f.objsubid) i
    where coalesce(i.schema, i.identity) !~ '^(pg_(toast|temp)|information_schema$|plinth$)'
    """


def unseen(connection: Connection) -> frozenset[str]:
    """Return what a database has that `read_catalog` doesn't show, each as PostgreSQL identifies it.

    Objects, comments, security labels, owners other than the session's role, privileges, and which tables
    have rows. What belongs to an extension is left out.

    Args:
        connection: in a transaction or not; its settings are left as they were.
    """
    catalogs: Catalogs = [(*row,) for row in connection.exec_driver_sql(_CATALOGS)]
    statement = _UNSEEN.format(
        objects=" union all ".join(_objects(catalogs)),
        shown=_SHOWN,
        privileges=" union all ".join(_privileges(catalogs)),
        first=_FIRST_OID,
    )
    return frozenset(connection.exec_driver_sql(statement.replace("%", "%%")).scalars())


def _objects(catalogs: Catalogs) -> Iterator[str]:
    for oid, name, owner, _ in catalogs:
        yield _OBJECTS.format(
            classid=oid, catalog=name, owner=f"o.{owner}" if owner else "null::oid", first=_FIRST_OID
        )


def _privileges(catalogs: Catalogs) -> Iterator[str]:
    for oid, name, _, acl in catalogs:
        if acl:
            yield _PRIVILEGES.format(classid=oid, catalog=name, acl=acl, oid="oid", number=0)
    column = {"classid": "'pg_class'::regclass", "oid": "attrelid", "number": "o.attnum", "acl": "attacl"}
    yield _PRIVILEGES.format(catalog="pg_attribute", **column)
