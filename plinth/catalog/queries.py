"""The queries behind a picture: each reads all objects of one kind.

`pg_*_is_visible` and the printing functions depend on the search path, which `plinth.catalog.read` sets.
Columns that only newer versions have are read through `to_jsonb`.
"""

FIRST_OID = 16384  # what has a lower one came with the server

# Not the system's, not Plinth's own, not an extension's.
_SCHEMAS = "n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth')"
_NAMESPACE = "join pg_namespace n on n.oid ="


def _not_of_extension(catalog: str, oid: str) -> str:
    return (
        f"not exists (select from pg_depend e where e.classid = '{catalog}'::regclass and e.objid = {oid} "
        "and e.deptype = 'e')"
    )


# Where objects stand that most databases have few kinds of: to plan a query takes longer than to read what is there,
# so only those are run that will find something.
_VIEWS = "pg_class where relkind in ('v', 'm')"
_VIEWS_AND_TYPES = "pg_class where relkind in ('v', 'm', 'c')"
_ROUTINES = "pg_proc where true"
_TRIGGERS = "pg_trigger where not tgisinternal"
_POLICIES = "pg_policy where true"
_RULES = "pg_rewrite where rulename <> '_RETURN'"
_STATISTICS = "pg_statistic_ext where true"
_COMPOSITE_TYPES = "pg_class where relkind = 'c'"
_RANGES = "pg_type where typtype = 'r'"
_EXTENSIONS = "pg_extension where true"
_COLLATIONS = "pg_collation where true"
_DICTIONARIES = "pg_ts_dict where true"
_CONFIGURATIONS = "pg_ts_config where true"
_RELATIONS = "pg_class where true"
_DOMAINS = "pg_type where typtype = 'd'"
_ENUMS = "pg_type where typtype = 'e'"
_TYPES = "pg_type where typtype in ('d', 'e')"
_PUBLICATIONS = "pg_publication where true"

SETTINGS = """
    select current_schema(), current_setting('server_version_num')::integer,
           (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relname = :table and c.relkind in ('r', 'p') and pg_table_is_visible(c.oid))
    """

SCHEMAS = f"""
    select n.nspname, obj_description(n.oid, 'pg_namespace')
    from pg_namespace n where {_SCHEMAS} and {_not_of_extension("pg_namespace", "n.oid")}
    """

TABLES = f"""
    select c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
           coalesce(c.reloptions, '{{}}') || array(
               select 'toast.' || unnest(t.reloptions) from pg_class t where t.oid = c.reltoastrelid),
           case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end, pg_get_expr(c.relpartbound, c.oid),
           array(select array[pn.nspname::text, p.relname::text] from pg_inherits i join pg_class p on p.oid = i.inhparent
                 join pg_namespace pn on pn.oid = p.relnamespace where i.inhrelid = c.oid order by i.inhseqno),
           nullif(am.amname, current_setting('default_table_access_method')), ts.spcname,
           obj_description(c.oid, 'pg_class'),
           concat_ws(' ', case when c.relrowsecurity then 'enabled' end,
                     case when c.relforcerowsecurity then 'forced' end),
           case c.relreplident when 'f' then 'FULL' when 'n' then 'NOTHING' when 'i' then 'USING INDEX ' || (
               select quote_ident(x.relname) from pg_index i join pg_class x on x.oid = i.indexrelid
               where i.indrelid = c.oid and i.indisreplident) else '' end,
           (select x.relname from pg_index i join pg_class x on x.oid = i.indexrelid
            where i.indrelid = c.oid and i.indisclustered), nullif(c.reloftype, 0)::regtype::text,
           pg_get_partition_constraintdef(c.oid)
    from pg_class c {_NAMESPACE} c.relnamespace
    left join pg_am am on am.oid = c.relam left join pg_tablespace ts on ts.oid = c.reltablespace
    where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and {_SCHEMAS}
      and {_not_of_extension("pg_class", "c.oid")}
    order by n.nspname, c.relname
    """

# The functions that an expression calls stand in its tree. A domain has the default of the one that it is made of.
_CALLS_VOLATILE = r"""
           exists (
               select from regexp_matches(coalesce(d.adbin, b.typdefaultbin)::text, ':(?:op)?funcid (\d+)', 'g') call
               join pg_proc p on p.oid = call[1]::oid where p.provolatile = 'v')"""

COLUMNS = f"""
    select a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), tn.nspname, t.typname,
           case when a.attcollation <> b.typcollation then a.attcollation::regcollation::text end,
           pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text, a.attnotnull,
           case when a.attstorage <> b.typstorage then a.attstorage::text else '' end,
           coalesce(a.attcompression::text, ''), nullif(a.attstattarget, -1)::integer, a.attacl is not null,
           de.description, a.attislocal, d.oid, {_CALLS_VOLATILE}, coalesce(a.attoptions, '{{}}')
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid {_NAMESPACE} c.relnamespace
    join pg_type b on b.oid = a.atttypid
    left join pg_type t on t.oid = case when b.typcategory = 'A' and b.typelem <> 0 then b.typelem else b.oid end
        and t.typtype in ('e', 'd', 'c', 'r', 'm') and {_not_of_extension("pg_type", "t.oid")}
        and t.typnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    left join pg_namespace tn on tn.oid = t.typnamespace
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join pg_description de on de.objoid = a.attrelid and de.classoid = 'pg_class'::regclass
        and de.objsubid = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f') and {_SCHEMAS}
    order by a.attrelid, a.attnum
    """

# A column of pg_index since PostgreSQL 15.
_NULLS_NOT_DISTINCT = "coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)"

# Columns by their numbers: to look each name up here would take as long as all the rest. PostgreSQL 18 has a
# constraint for each column that is NOT NULL: of those that say no more, nothing need be printed.
CONSTRAINTS = f"""
    select k.conrelid, k.oid, k.conname, k.contype::text,
           case when k.contype <> 'n' or k.connoinherit or not k.convalidated then pg_get_constraintdef(k.oid) end,
           k.conkey, case when k.contype = 'c' then pg_get_expr(k.conbin, k.conrelid) end,
           k.confrelid, fn.nspname, f.relname, k.confkey,
           k.confupdtype::text, k.confdeltype::text, k.confmatchtype::text, k.condeferrable, k.condeferred,
           case when i.indnatts > i.indnkeyatts then i.indkey::smallint[] end, i.indnkeyatts,
           case when k.contype = 'u' then {_NULLS_NOT_DISTINCT} else false end, coalesce(ic.reloptions, '{{}}'),
           de.description, k.conislocal, k.convalidated, ts.spcname,
           k.oid in (select tgconstraint from pg_trigger where tgenabled in ('D', 'R'))
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid {_NAMESPACE} c.relnamespace
    left join pg_class f on f.oid = k.confrelid and k.contype = 'f'
    left join pg_namespace fn on fn.oid = f.relnamespace
    left join pg_index i on i.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')
    left join pg_class ic on ic.oid = i.indexrelid
    left join pg_tablespace ts on ts.oid = ic.reltablespace
    left join pg_description de on de.objoid = k.oid and de.classoid = 'pg_constraint'::regclass
    where k.contype in ('c', 'f', 'p', 'u', 'x', 'n') and c.relkind in ('r', 'p', 'f') and {_SCHEMAS}
      -- A foreign key to a partitioned table has another one to each partition.
      and not exists (select from pg_constraint p where p.oid = k.conparentid and p.conrelid = k.conrelid)
    order by k.conrelid, k.conname
    """

# pg_get_indexdef leaves out the tablespace, which stands before the predicate.
_INDEX = """case when ts.oid is null then pg_get_indexdef(i.indexrelid) else (
               select left(d, length(d) - length(w)) || ' TABLESPACE ' || quote_ident(ts.spcname) || w
               from pg_get_indexdef(i.indexrelid) d, coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), '') w) end"""

INDEXES = f"""
    select i.indrelid, i.indexrelid, c.relname, {_INDEX}, i.indkey::smallint[], i.indnkeyatts, i.indisunique, am.amname, pg_get_expr(i.indpred, i.indrelid),
           {_NULLS_NOT_DISTINCT}, coalesce(c.reloptions, '{{}}'),
           de.description, i.indisvalid, array(
               select array[a.attnum, a.attstattarget] from pg_attribute a
               where a.attrelid = i.indexrelid and a.attstattarget >= 0 order by a.attnum), ts.spcname
    from pg_index i
    left join pg_description de on de.objoid = i.indexrelid and de.classoid = 'pg_class'::regclass
        and de.objsubid = 0
    join pg_class c on c.oid = i.indexrelid {_NAMESPACE} c.relnamespace
    left join pg_tablespace ts on ts.oid = c.reltablespace
    join pg_class t on t.oid = i.indrelid join pg_am am on am.oid = c.relam
    where t.relkind in ('r', 'p', 'f') and t.relpersistence <> 't' and not c.relispartition and {_SCHEMAS}
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    order by i.indrelid, c.relname
    """

# The columns that expressions mention, of the table that they belong to. Before PostgreSQL 15 it is the generated
# column itself that stands on them, and not its expression.
EXPRESSIONS = f"""
    select coalesce(g.oid, d.objid), a.attname
    from pg_depend d
    left join pg_attrdef g on d.classid = 'pg_class'::regclass and g.adrelid = d.objid and g.adnum = d.objsubid
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    join pg_class c on c.oid = a.attrelid {_NAMESPACE} c.relnamespace
    where d.classid in ('pg_class'::regclass, 'pg_attrdef'::regclass) and d.refclassid = 'pg_class'::regclass
      and d.refobjsubid > 0 and {_SCHEMAS}
    """

SEQUENCES = f"""
    select n.nspname, c.relname, format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
           s.seqcache, s.seqcycle, c.relpersistence::text, d.refobjid, a.attname, d.deptype = 'i',
           obj_description(c.oid, 'pg_class')
    from pg_sequence s
    join pg_class c on c.oid = s.seqrelid {_NAMESPACE} c.relnamespace
    left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
        and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
    left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where c.relpersistence <> 't' and {_SCHEMAS} and {_not_of_extension("pg_class", "c.oid")}
    """

ENUMS = {
    _ENUMS: f"""
    select n.nspname, t.typname, array(
               select e.enumlabel from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder),
           obj_description(t.oid, 'pg_type')
    from pg_type t {_NAMESPACE} t.typnamespace
    where t.typtype = 'e' and {_SCHEMAS} and {_not_of_extension("pg_type", "t.oid")}
    """
}

DOMAINS = {
    _DOMAINS: f"""
    select n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod),
           case when t.typcollation <> b.typcollation then t.typcollation::regcollation::text end,
           t.typdefault, t.typnotnull,
           array(select array[k.conname::text, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')]
                 from pg_constraint k
                 where k.contypid = t.oid and k.contype = 'c' order by k.conname),
           obj_description(t.oid, 'pg_type'), en.nspname, e.typname
    from pg_type t {_NAMESPACE} t.typnamespace
    join pg_type b on b.oid = t.typbasetype
    left join pg_type e on e.oid = case when b.typcategory = 'A' and b.typelem <> 0 then b.typelem else b.oid end
        and e.typtype in ('e', 'd', 'c', 'r') and e.typnamespace <> 'pg_catalog'::regnamespace
    left join pg_namespace en on en.oid = e.typnamespace
    where t.typtype = 'd' and {_SCHEMAS} and {_not_of_extension("pg_type", "t.oid")}
    """
}

_RELATION = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"

# A column of a view or composite type, of the type b.
_ATTRIBUTE = """quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
           || coalesce(' COLLATE ' || nullif(a.attcollation, b.typcollation)::regcollation::text, '')"""


def _called(oid: str) -> str:
    return f"""(
               select case when pg_function_is_visible(f.oid) then '' else quote_ident(fn.nspname) || '.' end
                   || quote_ident(f.proname)
               from pg_proc f join pg_namespace fn on fn.oid = f.pronamespace where f.oid = {oid})"""


def _modifies(column: str) -> str:
    return f"""case when g.{column} <> case g.aggkind when 'n' then 'r' else 'w' end then
               case g.{column} when 'r' then 'READ_ONLY' when 's' then 'SHAREABLE' else 'READ_WRITE' end end"""


# No function of the server's prints it. What it has by default is left out, as pg_dump does it.
_AGGREGATE = f"""
           select 'CREATE AGGREGATE ' || {_called("p.oid")} || '('
               || case p.pronargs when 0 then '*' else pg_get_function_arguments(p.oid) end || ') (' || concat_ws(', ',
               'SFUNC = ' || {_called("g.aggtransfn")}, 'STYPE = ' || format_type(g.aggtranstype, null),
               'SSPACE = ' || nullif(g.aggtransspace, 0), 'FINALFUNC = ' || {_called("g.aggfinalfn")},
               case when g.aggfinalextra then 'FINALFUNC_EXTRA' end,
               'FINALFUNC_MODIFY = ' || {_modifies("aggfinalmodify")},
               'COMBINEFUNC = ' || {_called("g.aggcombinefn")}, 'SERIALFUNC = ' || {_called("g.aggserialfn")},
               'DESERIALFUNC = ' || {_called("g.aggdeserialfn")}, 'INITCOND = ' || quote_literal(g.agginitval),
               'MSFUNC = ' || {_called("g.aggmtransfn")}, 'MINVFUNC = ' || {_called("g.aggminvtransfn")},
               'MSTYPE = ' || format_type(nullif(g.aggmtranstype, 0), null), 'MSSPACE = ' || nullif(g.aggmtransspace, 0),
               'MFINALFUNC = ' || {_called("g.aggmfinalfn")}, case when g.aggmfinalextra then 'MFINALFUNC_EXTRA' end,
               'MFINALFUNC_MODIFY = ' || {_modifies("aggmfinalmodify")},
               'MINITCOND = ' || quote_literal(g.aggminitval),
               (select format('SORTOP = OPERATOR(%I.%s)', sn.nspname, o.oprname)
                from pg_operator o join pg_namespace sn on sn.oid = o.oprnamespace where o.oid = g.aggsortop),
               case p.proparallel when 's' then 'PARALLEL = SAFE' when 'r' then 'PARALLEL = RESTRICTED' end,
               case g.aggkind when 'h' then 'HYPOTHETICAL' end) || ')'
           from pg_aggregate g where g.aggfnoid = p.oid"""

# Kind, name, definition, schema, table, comment, oid and catalog of what holds its dependencies,
# its name alone.
OTHERS = {
    _VIEWS: f"""
    select case c.relkind when 'v' then 'view' else 'materialized view' end, {_RELATION},
           'CREATE ' || case c.relkind when 'v' then 'VIEW ' else 'MATERIALIZED VIEW ' end
           || c.oid::regclass::text
           || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
           || ' AS' || chr(10) || pg_get_viewdef(c.oid), n.nspname, null::oid,
           obj_description(c.oid, 'pg_class'), r.oid, 'pg_rewrite'::regclass::oid, c.relname
    from pg_class c {_NAMESPACE} c.relnamespace
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    where c.relkind in ('v', 'm') and c.relpersistence <> 't' and {_SCHEMAS}
      and {_not_of_extension("pg_class", "c.oid")}
    """,
    _ROUTINES: f"""
    select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
           quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || case
               when p.prokind = 'a' and p.pronargs = 0 then '*'
               when p.prokind = 'a' then pg_get_function_identity_arguments(p.oid)
               else array_to_string(array(select format_type(a.type, null) from unnest(p.proargtypes)
                                          with ordinality a(type, place) order by a.place), ', ') end || ')',
           case when p.prokind = 'a' then ({_AGGREGATE}) else pg_get_functiondef(p.oid) end, n.nspname,
           null, obj_description(p.oid, 'pg_proc'), p.oid, 'pg_proc'::regclass::oid, p.proname
    from pg_proc p {_NAMESPACE} p.pronamespace
    where {_SCHEMAS} and {_not_of_extension("pg_proc", "p.oid")}
      and not exists (select from pg_depend i where i.classid = 'pg_proc'::regclass and i.objid = p.oid
                      and i.deptype = 'i')
    """,
    _TRIGGERS: f"""
    select 'trigger', quote_ident(g.tgname) || ' on ' || {_RELATION}, pg_get_triggerdef(g.oid), n.nspname, c.oid,
           obj_description(g.oid, 'pg_trigger'), g.oid, 'pg_trigger'::regclass::oid, g.tgname
    from pg_trigger g join pg_class c on c.oid = g.tgrelid {_NAMESPACE} c.relnamespace
    where not g.tgisinternal and g.tgparentid = 0 and {_SCHEMAS} and {_not_of_extension("pg_class", "c.oid")}
    """,
    _POLICIES: f"""
    select 'policy', quote_ident(p.polname) || ' on ' || {_RELATION},
           format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, c.oid::regclass,
               case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
               case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE'
                             when 'd' then 'DELETE' else 'ALL' end,
               (select string_agg(case o when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(o)) end, ', ')
                from unnest(p.polroles) o))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
           n.nspname, c.oid, obj_description(p.oid, 'pg_policy'), p.oid, 'pg_policy'::regclass::oid, p.polname
    from pg_policy p join pg_class c on c.oid = p.polrelid {_NAMESPACE} c.relnamespace where {_SCHEMAS}
    """,
    _RULES: f"""
    select 'rule', quote_ident(r.rulename) || ' on ' || {_RELATION}, pg_get_ruledef(r.oid), n.nspname, c.oid,
           obj_description(r.oid, 'pg_rewrite'), r.oid, 'pg_rewrite'::regclass::oid, r.rulename
    from pg_rewrite r join pg_class c on c.oid = r.ev_class {_NAMESPACE} c.relnamespace
    where r.rulename <> '_RETURN' and {_SCHEMAS} and {_not_of_extension("pg_class", "c.oid")}
    """,
    _STATISTICS: f"""
    select 'statistics', quote_ident(n.nspname) || '.' || quote_ident(s.stxname),
           -- Columns by name: PostgreSQL has them as they stand in the table, whatever was said.
           coalesce(replace(pg_get_statisticsobjdef(s.oid), ' ON ' || k.as_they_stand, ' ON ' || k.by_name),
                    pg_get_statisticsobjdef(s.oid)),
           n.nspname, s.stxrelid, obj_description(s.oid, 'pg_statistic_ext'), s.oid, 'pg_statistic_ext'::regclass::oid, s.stxname
    from pg_statistic_ext s {_NAMESPACE} s.stxnamespace
    cross join lateral (
        select string_agg(quote_ident(attname), ', ' order by attnum) as_they_stand,
               string_agg(quote_ident(attname), ', ' order by attname) by_name
        from pg_attribute where attrelid = s.stxrelid and attnum = any(s.stxkeys)
    ) k
    where {_SCHEMAS}
    """,
    _COMPOSITE_TYPES: f"""
    select 'composite type', {_RELATION}, 'CREATE TYPE ' || c.reltype::regtype::text || ' AS (' || coalesce((
               select string_agg({_ATTRIBUTE}, ', ' order by a.attnum)
               from pg_attribute a join pg_type b on b.oid = a.atttypid where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '') || ')',
           n.nspname, null, obj_description(c.reltype, 'pg_type'), c.oid, 'pg_class'::regclass::oid, c.relname
    from pg_class c {_NAMESPACE} c.relnamespace
    where c.relkind = 'c' and {_SCHEMAS} and {_not_of_extension("pg_type", "c.reltype")}
    """,
    _RANGES: f"""
    select 'range type', quote_ident(n.nspname) || '.' || quote_ident(t.typname),
           'CREATE TYPE ' || t.oid::regtype::text || ' AS RANGE (SUBTYPE = ' || format_type(r.rngsubtype, null)
           || case when not k.opcdefault then ', SUBTYPE_OPCLASS = ' || quote_ident(kn.nspname) || '.'
                                              || quote_ident(k.opcname) else '' end
           || case when r.rngcollation <> st.typcollation
                   then ', COLLATION = ' || r.rngcollation::regcollation::text else '' end
           || case when r.rngcanonical <> 0 then ', CANONICAL = ' || r.rngcanonical::text else '' end
           || case when r.rngsubdiff <> 0 then ', SUBTYPE_DIFF = ' || r.rngsubdiff::text else '' end
           || ', MULTIRANGE_TYPE_NAME = ' || r.rngmultitypid::regtype::text || ')',
           n.nspname, null, obj_description(t.oid, 'pg_type'), t.oid, 'pg_type'::regclass::oid, t.typname
    from pg_range r join pg_type t on t.oid = r.rngtypid {_NAMESPACE} t.typnamespace
    join pg_type st on st.oid = r.rngsubtype join pg_opclass k on k.oid = r.rngsubopc
    join pg_namespace kn on kn.oid = k.opcnamespace
    where {_SCHEMAS} and {_not_of_extension("pg_type", "t.oid")}
    """,
    _EXTENSIONS: """
    select 'extension', quote_ident(x.extname),
           'CREATE EXTENSION ' || quote_ident(x.extname) || ' SCHEMA ' || quote_ident(xn.nspname),
           case when xn.nspname !~ '^pg_' then xn.nspname end, null, null, x.oid, 'pg_extension'::regclass::oid, x.extname
    from pg_extension x join pg_namespace xn on xn.oid = x.extnamespace
    where x.extname <> 'plpgsql'
    """,
    _COLLATIONS: f"""
    select 'collation', quote_ident(n.nspname) || '.' || quote_ident(c.collname),
           'CREATE COLLATION ' || c.oid::regcollation::text || ' (PROVIDER = '
           || case c.collprovider when 'c' then 'libc' when 'i' then 'icu' when 'b' then 'builtin' else 'default' end
           || coalesce(', LOCALE = ' || quote_literal(coalesce(
                  to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale',
                  case when c.collcollate = c.collctype then c.collcollate::text end)),
                  ', LC_COLLATE = ' || quote_literal(c.collcollate) || ', LC_CTYPE = ' || quote_literal(c.collctype), '')
           || coalesce(', RULES = ' || quote_literal(to_jsonb(c) ->> 'collicurules'), '')
           || case when c.collisdeterministic then '' else ', DETERMINISTIC = false' end || ')',
           n.nspname, null, obj_description(c.oid, 'pg_collation'), c.oid, 'pg_collation'::regclass::oid, c.collname
    from pg_collation c {_NAMESPACE} c.collnamespace
    where {_SCHEMAS} and {_not_of_extension("pg_collation", "c.oid")}
    """,
    _DICTIONARIES: f"""
    select 'text search dictionary', quote_ident(n.nspname) || '.' || quote_ident(d.dictname),
           format('CREATE TEXT SEARCH DICTIONARY %s (TEMPLATE = %I.%I%s)', d.oid::regdictionary, tn.nspname, t.tmplname,
                  ', ' || d.dictinitoption),
           n.nspname, null, obj_description(d.oid, 'pg_ts_dict'), d.oid, 'pg_ts_dict'::regclass::oid, d.dictname
    from pg_ts_dict d {_NAMESPACE} d.dictnamespace
    join pg_ts_template t on t.oid = d.dicttemplate join pg_namespace tn on tn.oid = t.tmplnamespace
    where {_SCHEMAS} and {_not_of_extension("pg_ts_dict", "d.oid")}
    """,
    _CONFIGURATIONS: f"""
    select 'text search configuration', quote_ident(n.nspname) || '.' || quote_ident(c.cfgname),
           format('CREATE TEXT SEARCH CONFIGURATION %s (PARSER = %I.%I)', c.oid::regconfig, pn.nspname, p.prsname),
           n.nspname, null, obj_description(c.oid, 'pg_ts_config'), c.oid, 'pg_ts_config'::regclass::oid, c.cfgname
    from pg_ts_config c {_NAMESPACE} c.cfgnamespace
    join pg_ts_parser p on p.oid = c.cfgparser join pg_namespace pn on pn.oid = p.prsnamespace
    where {_SCHEMAS} and {_not_of_extension("pg_ts_config", "c.oid")}
    """,
}

EXTENSIONS_THAT_STAY = {_EXTENSIONS: "select oid from pg_extension where not extrelocatable"}

# The columns of views, in their order: CREATE OR REPLACE keeps them, and may add more.
VIEW_COLUMNS = {
    _VIEWS: f"""
    select r.oid, array_agg({_ATTRIBUTE} order by a.attnum)
    from pg_class c {_NAMESPACE} c.relnamespace
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type b on b.oid = a.atttypid
    where c.relkind = 'v' and {_SCHEMAS} group by r.oid
    """
}

_STATE = """case {state} when 'D' then array['DISABLE', 'ENABLE'] when 'R' then array['ENABLE REPLICA', 'ENABLE']
                         when 'A' then array['ENABLE ALWAYS', 'ENABLE'] end"""

# What else is said of such objects: the catalog and oid of what holds their dependencies, the statements that
# say it, and the one that takes it back.
DETAILS = {
    _VIEWS: f"""
    select 'pg_rewrite'::regclass::oid, r.oid,
           array[pg_get_indexdef(i.indexrelid)] || array_remove(array[
               'COMMENT ON INDEX ' || i.indexrelid::regclass || ' IS '
                   || quote_literal(obj_description(i.indexrelid, 'pg_class')),
               case when i.indisclustered then format(
                   'ALTER MATERIALIZED VIEW %s CLUSTER ON %I', c.oid::regclass, x.relname) end], null),
           'DROP INDEX ' || i.indexrelid::regclass
    from pg_index i
    join pg_class c on c.oid = i.indrelid {_NAMESPACE} c.relnamespace
    join pg_class x on x.oid = i.indexrelid
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    where c.relkind = 'm' and {_SCHEMAS}
    union all
    select 'pg_rewrite'::regclass::oid, r.oid,
           array[format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', c.oid::regclass, a.attname,
                        pg_get_expr(d.adbin, d.adrelid))],
           format('ALTER VIEW %s ALTER COLUMN %I DROP DEFAULT', c.oid::regclass, a.attname)
    from pg_attrdef d
    join pg_class c on c.oid = d.adrelid {_NAMESPACE} c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum = d.adnum
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    where c.relkind = 'v' and {_SCHEMAS}
    union all
    select 'pg_rewrite'::regclass::oid, r.oid, array[format(l.words, c.oid::regclass, a.attname, l.value)],
           format(l.back, c.oid::regclass, a.attname)
    from pg_class c {_NAMESPACE} c.relnamespace
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    cross join lateral (values
        (case when a.attstattarget >= 0 then a.attstattarget::text end,
         'ALTER MATERIALIZED VIEW %s ALTER COLUMN %I SET STATISTICS %s',
         'ALTER MATERIALIZED VIEW %s ALTER COLUMN %I SET STATISTICS -1'),
        (array_to_string(a.attoptions, ', '), 'ALTER MATERIALIZED VIEW %s ALTER COLUMN %I SET (%s)',
         'ALTER MATERIALIZED VIEW %s ALTER COLUMN %I RESET (n_distinct, n_distinct_inherited)')
    ) l (value, words, back)
    where c.relkind = 'm' and l.value is not null and {_SCHEMAS}
    """,
    _VIEWS_AND_TYPES: f"""
    select (case when c.relkind = 'c' then 'pg_class'::regclass else 'pg_rewrite'::regclass end)::oid, coalesce(r.oid, c.oid),
           array[format('COMMENT ON COLUMN %s.%I IS %L', c.oid::regclass, a.attname, d.description)],
           format('COMMENT ON COLUMN %s.%I IS NULL', c.oid::regclass, a.attname)
    from pg_description d
    join pg_class c on d.classoid = 'pg_class'::regclass and c.oid = d.objoid and d.objsubid > 0 {_NAMESPACE} c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
    left join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    where c.relkind in ('v', 'm', 'c') and {_SCHEMAS}
    """,
    _TRIGGERS: f"""
    select 'pg_trigger'::regclass::oid, g.oid,
           array[format('ALTER TABLE %s %s TRIGGER %I', c.oid::regclass, w[1], g.tgname)],
           format('ALTER TABLE %s %s TRIGGER %I', c.oid::regclass, w[2], g.tgname)
    from pg_trigger g join pg_class c on c.oid = g.tgrelid {_NAMESPACE} c.relnamespace
    cross join lateral (select {_STATE.format(state="g.tgenabled")} w) state
    where not g.tgisinternal and w is not null and {_SCHEMAS}
    """,
    _RULES: f"""
    select 'pg_rewrite'::regclass::oid, r.oid,
           array[format('ALTER TABLE %s %s RULE %I', c.oid::regclass, w[1], r.rulename)],
           format('ALTER TABLE %s %s RULE %I', c.oid::regclass, w[2], r.rulename)
    from pg_rewrite r join pg_class c on c.oid = r.ev_class {_NAMESPACE} c.relnamespace
    cross join lateral (select {_STATE.format(state="r.ev_enabled")} w) state
    where w is not null and {_SCHEMAS}
    """,
    _STATISTICS: f"""
    select 'pg_statistic_ext'::regclass::oid, s.oid,
           array[format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget)],
           format('ALTER STATISTICS %I.%I SET STATISTICS -1', n.nspname, s.stxname)
    from pg_statistic_ext s {_NAMESPACE} s.stxnamespace where s.stxstattarget >= 0 and {_SCHEMAS}
    """,
    _CONFIGURATIONS: f"""
    select 'pg_ts_config'::regclass::oid, c.oid,
           array[format('ALTER TEXT SEARCH CONFIGURATION %s ADD MAPPING FOR %I WITH %s', c.oid::regconfig, k.alias,
                        string_agg(m.mapdict::regdictionary::text, ', ' order by m.mapseqno))],
           format('ALTER TEXT SEARCH CONFIGURATION %s DROP MAPPING FOR %I', c.oid::regconfig, k.alias)
    from pg_ts_config c {_NAMESPACE} c.cfgnamespace
    cross join lateral ts_token_type(c.cfgparser) k
    join pg_ts_config_map m on m.mapcfg = c.oid and m.maptokentype = k.tokid
    where {_SCHEMAS} and {_not_of_extension("pg_ts_config", "c.oid")}
    group by c.oid, k.alias
    """,
}

# What was granted on them, not compared: no model says it. The owner has all privileges, whoever that is.
_GRANTED = """
    select o.classid, o.objid, format('GRANT %s ON %s TO %s%s',
               string_agg(g.privilege_type || coalesce(' (' || quote_ident(o.attname) || ')', ''), ', '
                          order by g.privilege_type), o.shown,
               case g.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(g.grantee)) end,
               case when g.is_grantable then ' WITH GRANT OPTION' else '' end)
    from (
    """
_BY_GRANTEE = """
    ) o cross join lateral aclexplode(o.acl) g
    where g.grantee <> o.owner
    group by o.classid, o.objid, o.shown, o.attname, g.grantee, g.is_grantable
    """

PRIVILEGES = {
    _VIEWS: f"""
    {_GRANTED}
        select 'pg_rewrite'::regclass::oid classid, r.oid objid, c.oid::regclass::text shown, null::name attname,
               c.relowner owner, c.relacl acl
        from pg_class c {_NAMESPACE} c.relnamespace join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
        where {_SCHEMAS}
        union all
        select 'pg_rewrite'::regclass, r.oid, c.oid::regclass::text, a.attname, c.relowner, a.attacl
        from pg_class c {_NAMESPACE} c.relnamespace join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
        join pg_attribute a on a.attrelid = c.oid where a.attacl is not null and {_SCHEMAS}
    {_BY_GRANTEE}
    order by 1, 2, 3
    """,
    _ROUTINES: f"""
    {_GRANTED}
        select 'pg_proc'::regclass::oid classid, p.oid objid, 'ROUTINE ' || p.oid::regprocedure shown,
               null::name attname, p.proowner owner, p.proacl acl
        from pg_proc p {_NAMESPACE} p.pronamespace where {_SCHEMAS}
    {_BY_GRANTEE}
    union all
    select 'pg_proc'::regclass, p.oid, format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure)
    from pg_proc p {_NAMESPACE} p.pronamespace
    where p.proacl is not null and {_SCHEMAS} and not exists (select from aclexplode(p.proacl) g where g.grantee = 0)
    order by 1, 2, 3
    """,
}

# Where an object's dependencies are kept (system catalog and oid), its kind, schema, name and part. What
# stands on an extension's members stands on the extension.
NODES = {
    _RELATIONS: f"""
    select 'pg_class'::regclass::oid, c.oid, case c.relkind when 'S' then 'sequence' else 'table' end,
           n.nspname, c.relname, null
    from pg_class c {_NAMESPACE} c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'S') and c.relpersistence <> 't' and {_SCHEMAS}
    union all
    select 'pg_class'::regclass::oid, i.indexrelid, case when k.oid is null then 'index' else 'constraint' end,
           n.nspname, t.relname, coalesce(k.conname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid {_NAMESPACE} c.relnamespace
    join pg_class t on t.oid = i.indrelid
    left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
    where {_SCHEMAS}
    union all
    select 'pg_constraint'::regclass::oid, k.oid, 'constraint', n.nspname, c.relname, k.conname
    from pg_constraint k join pg_class c on c.oid = k.conrelid {_NAMESPACE} c.relnamespace where {_SCHEMAS}
    union all
    select 'pg_attrdef'::regclass::oid, d.oid, case a.attgenerated when '' then 'default' else 'column' end,
           n.nspname, c.relname, a.attname
    from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    join pg_class c on c.oid = d.adrelid {_NAMESPACE} c.relnamespace where {_SCHEMAS}
    """,
    _DOMAINS: f"""
    select 'pg_constraint'::regclass::oid, k.oid, 'domain constraint', n.nspname, t.typname, k.conname
    from pg_constraint k join pg_type t on t.oid = k.contypid {_NAMESPACE} t.typnamespace where {_SCHEMAS}
    """,
    _TYPES: f"""
    select 'pg_type'::regclass::oid, t.oid, 'type', n.nspname, t.typname, null
    from pg_type t {_NAMESPACE} t.typnamespace where t.typtype in ('e', 'd') and {_SCHEMAS}
    """,
    _EXTENSIONS: """
    select d.classid, d.objid, 'extension', null, quote_ident(x.extname), null
    from pg_depend d join pg_extension x on x.oid = d.refobjid
    where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and x.extname <> 'plpgsql'
    """,
    _PUBLICATIONS: """
    select 'pg_publication_rel'::regclass::oid, r.oid, 'publication', null, quote_ident(p.pubname), null
    from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    """,
}

# What else stands for an object: a view's relation for its rule, the types of rows, arrays and multiranges.
ALIASES = f"""
    select catalog, oid, other_catalog, other from (
        select 'pg_class'::regclass::oid, r.ev_class, 'pg_rewrite'::regclass::oid, r.oid, 1
        from pg_rewrite r where r.rulename = '_RETURN' and r.oid >= {FIRST_OID}
        union all
        select 'pg_type'::regclass, t.oid, 'pg_class'::regclass, t.typrelid, 2
        from pg_type t where t.typrelid <> 0 and t.oid >= {FIRST_OID}
        union all
        select 'pg_type'::regclass, g.rngmultitypid, 'pg_type'::regclass, g.rngtypid, 2
        from pg_range g where g.rngtypid >= {FIRST_OID}
        union all
        select 'pg_type'::regclass, t.typarray, 'pg_type'::regclass, t.oid, 3
        from pg_type t where t.typarray <> 0 and t.oid >= {FIRST_OID}
    ) alias (catalog, oid, other_catalog, other, place)
    order by place
    """

DEPENDENCIES = f"""
    select d.classid, d.objid, a.attname, d.refclassid, d.refobjid, ra.attname
    from pg_depend d
    left join pg_attribute a on a.attrelid = d.objid and a.attnum = d.objsubid
        and d.classid = 'pg_class'::regclass and d.objsubid > 0
    left join pg_attribute ra on ra.attrelid = d.refobjid and ra.attnum = d.refobjsubid
        and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
    where d.objid >= {FIRST_OID} and d.refobjid >= {FIRST_OID} and d.deptype <> 'e'
      and d.refclassid <> 'pg_namespace'::regclass
    """

PRESENT = " union all ".join(
    f"""select '{place.replace("'", "''")}' where exists (select from {place} and oid >= {FIRST_OID})"""
    for place in sorted({*OTHERS, *DETAILS, *PRIVILEGES, *NODES, *ENUMS, *DOMAINS})
)
