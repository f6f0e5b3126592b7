"""What a database has that a picture of it doesn't show: all rows of all catalogs but those that it reads.

Nothing is listed here but what the picture does show: a kind of object that comes with a later PostgreSQL is
unseen until it is read. What such an object is like is told by its rows, with names in the place of the
numbers that each database has its own of: PostgreSQL says which columns have them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from plinth.catalog import queries
from plinth.catalog.differences import Difference

Catalogs = list[tuple[Any, ...]]  # oid, name, the columns for the owner and for privileges

ROWS = "rows of "

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

# Every catalog whose rows are a part of such objects, with the column that says of which, and where they are.
# Of those that are left out the picture shows all.
_PARTS = """
    select c.oid, c.oid::regclass::text, f.fkcols[1], f.pktable::oid::regclass::text
    from pg_get_catalog_foreign_keys() f join pg_class c on c.oid = f.fktable
    join pg_index i on i.indrelid = c.oid and i.indisprimary and i.indnatts = 1
    join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
    where array[a.attname::text] = f.fkcols and not c.relisshared and has_table_privilege(c.oid, 'select')
      and c.relname not in ('pg_aggregate', 'pg_index', 'pg_partitioned_table', 'pg_range', 'pg_sequence')
    """

_OTHERS = " union all ".join(queries.OTHERS.values())

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
        from ({_OTHERS}) q(kind, name, definition, schema, relation, comment, objid, classid)
    union all select 'pg_class'::regclass, ev_class from pg_rewrite where rulename = '_RETURN'
    union all select 'pg_class'::regclass, i.indexrelid from pg_index i
        join pg_class c on c.oid = i.indrelid where c.relkind = 'm'
    union all select 'pg_type'::regclass, reltype from pg_class where relkind = 'c'
    """  # noqa: S608 - texts of our own

# What one catalog's columns are, and what the numbers in them mean.
_COLUMNS = """
    select a.attrelid, a.attname, a.atttypid::regtype::text from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r' and a.attnum > 0
    """
_REFERENCES = """
    select fktable::oid, fkcols, pktable::oid::regclass::text from pg_get_catalog_foreign_keys()
    """
# A role's password is hidden; a relation's row has what is this database's own; pg_get_expr takes expressions
# of one table only. The picture shows all of these but user mappings.
_UNTOLD = ("pg_class", "pg_rewrite", "pg_trigger", "pg_user_mapping")
_OF_THE_SERVER = ("pg_authid", "pg_database", "pg_tablespace")
_CONTENT = """
    select {classid}::oid classid, o.oid objid, concat_ws(chr(10), {values}) content from {catalog} o
    where ({classid}::oid, o.oid) in (select classid, objid from unseen)
    """
_PART = """
    select '{of}'::regclass::oid classid, o.{key} objid, 0 objsubid, concat_ws(chr(10), {values}) content
    from {catalog} o
    """
# Columns of foreign tables.
_OPTIONS = """
    select 'pg_class'::regclass::oid, attrelid, attnum, array(select unnest(attfdwoptions) order by 1)::text
    from pg_attribute where attfdwoptions is not null
    """
_IDENTITY = "select i.type || ' ' || i.identity from pg_identify_object('{catalog}'::regclass, {oid}, 0) i"
_GRANTED = """(
    select string_agg(g, ', ' order by g) from aclexplode({acl}) a, concat(
        case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end, ' ', a.privilege_type,
        case when a.is_grantable then ' WITH GRANT OPTION' end) g
    where a.grantee <> a.grantor)"""

# Facts of one catalog's rows.
_OBJECTS = """
    select {classid}::oid classid, o.oid objid, {owner} as owner from {catalog} o where o.oid >= {first}
    """
_PRIVILEGES = """
    select {classid}::oid classid, o.{oid} objid, {number} objsubid, o.{acl} acl,
           acldefault({kind}, {owner}) by_default from {catalog} o
    where o.{acl} is not null
    """
# As acldefault() calls the kinds of objects.
_KINDS = {
    "pg_class": "case o.relkind when 'S' then 's' else 'r' end::\"char\"",
    "pg_proc": "'f'",
    "pg_language": "'l'",
    "pg_namespace": "'n'",
    "pg_type": "'T'",
    "pg_foreign_data_wrapper": "'F'",
    "pg_foreign_server": "'S'",
}

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
    contents as materialized ({contents}),
    roots as materialized (
        select classid, objid from unseen u
        where not exists (
            select from pg_depend d join unseen o on o.classid = d.refclassid and o.objid = d.refobjid
            where d.classid = u.classid and d.objid = u.objid and d.deptype in ('i', 'a')
              and (o.classid, o.objid) <> (u.classid, u.objid))
    ),
    parts(root_class, root, classid, objid) as (
        select classid, objid, classid, objid from roots
        union select p.root_class, p.root, d.classid, d.objid from pg_depend d
        join parts p on p.classid = d.refclassid and p.objid = d.refobjid and d.deptype in ('i', 'a')
    ),
    facts(word, classid, objid, objsubid, more, content) as (
        select '', p.root_class, p.root, 0, '', string_agg(c.content, chr(10) order by c.content)
        from parts p left join contents c using (classid, objid) group by p.root_class, p.root
        union all
        select 'comment on ', o.classid, o.objid, d.objsubid, '', d.description
        from ours o join pg_description d on d.classoid = o.classid and d.objoid = o.objid
        where o.is_covered and (o.classid, o.objid) not in (select classid, objid from shown)
        union all
        select 'security label on ', o.classid, o.objid, l.objsubid, '', concat(l.provider, ' ', l.label)
        from ours o join pg_seclabel l on l.classoid = o.classid and l.objoid = o.objid
        union all
        select 'owner of ', classid, objid, 0, ', ' || pg_get_userbyid(owner), null
        from ours where owner <> (select oid from pg_roles where rolname = current_user)
            and (classid, objid) in (select classid, objid from shown)
        union all
        select 'privileges on ', p.classid, p.objid, p.objsubid,
            ' for ' || case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end,
            -- Whom something was granted to may have lost what everybody had.
            concat_ws(' PUBLIC: ', a.granted, case when a.grantee <> 0 then max(a.granted)
                      filter (where a.grantee = 0) over (partition by p.classid, p.objid, p.objsubid) end)
        from ({privileges}) p
        left join pg_init_privs i on i.classoid = p.classid and i.objoid = p.objid and i.objsubid = p.objsubid
        left join lateral (
            select a.grantee, string_agg(distinct concat(
                a.privilege_type, case when a.is_grantable then ' WITH GRANT OPTION' end), ', ') granted
            from aclexplode(p.acl) a
            where a.grantee <> a.grantor and (a.grantee, a.privilege_type, a.is_grantable) not in (
                select b.grantee, b.privilege_type, b.is_grantable from aclexplode(i.initprivs) b)
            group by a.grantee
        ) a on true
        -- What was granted and taken back leaves in so many words what an object has by default.
        where (p.acl @> coalesce(i.initprivs, p.by_default) and p.acl <@ coalesce(i.initprivs, p.by_default))
            is not true and (p.objid < {first} or (p.classid, p.objid) in (
            select classid, objid from ours where classid <> 'pg_default_acl'::regclass))
        union all
        select 'definition of ', p.classid, p.objid, p.objsubid, '', p.content from ({parts}) p
        where (p.classid, p.objid) in (select classid, objid from ours)
        union all
        select '{rows}', 'pg_class'::regclass, oid, 0, '', null from pg_class
        where relkind = 'r' and oid >= {first} and pg_relation_size(oid) > 0
    )
    select concat(f.word, i.type, ' ', i.identity, f.more), string_agg(f.content, chr(10) order by f.content)
    from facts f cross join lateral pg_identify_object(f.classid, f.objid, f.objsubid) i
    where coalesce(i.schema, i.identity) !~ '^(pg_(toast|temp)|information_schema$|plinth$)'
    group by 1
    """


@dataclass(frozen=True)
class _References:
    """What the numbers in one catalog's columns mean.

    Args:
        types: of the columns.
        catalogs: of which columns have objects' numbers.
        columns: those that have numbers of a table's columns, and the ones that have the table.
    """

    types: dict[str, str] = field(default_factory=dict)
    catalogs: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


def unseen(connection: Connection) -> Mapping[str, str | None]:
    """Return what a database has that `read_catalog` doesn't show, each as PostgreSQL identifies it.

    Objects, comments, security labels, owners other than the session's role, privileges, and which tables
    have rows; with what is said of each, to be compared. What belongs to an extension is left out.

    Args:
        connection: in a transaction or not; its settings are left as they were.
    """
    was_in_transaction = connection.in_transaction()
    savepoint = connection.begin_nested()
    try:
        connection.exec_driver_sql("select set_config('search_path', '', true)")  # all names are whole
        catalogs: Catalogs = [(*row,) for row in connection.exec_driver_sql(_CATALOGS)]
        references = _references(connection)
        parts: Catalogs = [(*row,) for row in connection.exec_driver_sql(_PARTS)]
        statement = _UNSEEN.format(
            objects=" union all ".join(_objects(catalogs)),
            shown=_SHOWN,
            contents=" union all ".join(_contents(catalogs, references)),
            parts=" union all ".join([*_parts(parts, references), _OPTIONS]),
            privileges=" union all ".join(_privileges(catalogs)),
            first=queries.FIRST_OID,
            rows=ROWS,
        )
        return dict(map(tuple, connection.exec_driver_sql(statement.replace("%", "%%"))))
    finally:
        savepoint.rollback()  # the setting goes with it
        if not was_in_transaction:
            connection.rollback()


def unseen_differences(
    actual: Mapping[str, str | None],
    wanted: Mapping[str, str | None],
    version_table: str = "alembic_version",
) -> list[Difference]:
    """Return in what a schema isn't as it should be beside what a picture shows; rows are data.

    Args:
        actual: what is there.
        wanted: what should be there.
        version_table: Alembic's, which comes along where something is said of all tables.
    """
    found = []
    for name in sorted(actual.keys() | wanted.keys()):
        is_one = name in actual and name in wanted
        is_alembics = f".{version_table} " in name.replace('"', "") + " "
        if name.startswith(ROWS) or is_alembics or (is_one and actual[name] == wanted[name]):
            continue
        kind, _, rest = name.partition(" ")
        if is_one:
            found.append(Difference(kind, rest, "definition", actual[name], wanted[name]))
        else:
            there = name if name in actual else None
            found.append(Difference(kind, rest, actual=there, wanted=None if there else name))
    return found


def _references(connection: Connection) -> dict[int, _References]:
    found: dict[int, _References] = {}
    for catalog, column, type_ in connection.exec_driver_sql(_COLUMNS):
        found.setdefault(catalog, _References()).types[column] = type_
    for catalog, columns, other in connection.exec_driver_sql(_REFERENCES):
        if len(columns) == 1:
            found[catalog].catalogs[columns[0]] = other
        elif other == "pg_attribute":
            found[catalog].columns[columns[-1]] = columns[0]
    return found


def _contents(catalogs: Catalogs, references: Mapping[int, _References]) -> Iterator[str]:
    for oid, name, owner, _ in catalogs:
        if name not in _UNTOLD:
            values = _values(name, references[oid], {"oid", owner})
            yield _CONTENT.format(classid=oid, catalog=name, values=values)


def _parts(catalogs: Catalogs, references: Mapping[int, _References]) -> Iterator[str]:
    for oid, name, key, of in catalogs:
        yield _PART.format(of=of, key=key, catalog=name, values=_values(name, references[oid], {key}))


def _values(catalog: str, told: _References, but: Collection[str]) -> str:
    """Return SQL for what a catalog's columns say, each with its name."""
    columns = sorted(told.types.keys() - but)
    return ", ".join(
        f"'{column}: ' || {value}" for column in columns if (value := _value(column, told, catalog))
    )


def _value(column: str, told: _References, catalog: str) -> str | None:
    """Return SQL for what stands in a column, the same in each database; None where that can't be told."""
    place, type_, other = f"o.{column}", told.types[column], told.catalogs.get(column)
    if column in told.columns:
        numbers = f"{place}::smallint[]" if type_ != "smallint" else f"array[{place}]"
        names = f"select attname from pg_attribute where attrelid = o.{told.columns[column]}"  # noqa: S608
        return f"array({names} and attnum = any({numbers}) order by attname)::text"
    if other is not None:
        if other in _OF_THE_SERVER:
            return None
        if type_ in {"oidvector", "oid[]"}:
            each = _IDENTITY.format(catalog=other, oid="r.oid")
            listed = f"unnest({place}::oid[]) with ordinality r(oid, place)"
            return f"array(select ({each}) from {listed} order by r.place)::text"  # noqa: S608
        return f"({_IDENTITY.format(catalog=other, oid=f'nullif({place}::oid, 0::oid)')})"
    if type_ == "aclitem[]":
        return _GRANTED.format(acl=place) if catalog == "pg_default_acl" else None
    if type_ == "pg_node_tree":
        relation = next((each for each, of in told.catalogs.items() if of == "pg_class"), None)
        return relation and f"pg_get_expr({place}, o.{relation})"
    if type_ == "text[]":
        return f"array(select unnest({place}) order by 1)::text"
    return f"{place}::text"


def _objects(catalogs: Catalogs) -> Iterator[str]:
    for oid, name, owner, _ in catalogs:
        yield _OBJECTS.format(
            classid=oid, catalog=name, owner=f"o.{owner}" if owner else "null::oid", first=queries.FIRST_OID
        )


def _privileges(catalogs: Catalogs) -> Iterator[str]:
    for oid, name, owner, acl in catalogs:
        if acl:
            default = {"kind": _KINDS.get(name, "null"), "owner": f"o.{owner}" if owner else "null::oid"}
            yield _PRIVILEGES.format(classid=oid, catalog=name, acl=acl, oid="oid", number=0, **default)
    column = {"classid": "'pg_class'::regclass", "oid": "attrelid", "number": "o.attnum", "acl": "attacl"}
    yield _PRIVILEGES.format(catalog="pg_attribute", kind="'c'", owner="0::oid", **column)
