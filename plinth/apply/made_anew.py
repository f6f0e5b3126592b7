"""What a database has on an object that is dropped, and made anew under its name in the same transaction.

A revision says again what revisions know of it. What somebody has said of it in this database alone (a
comment, a setting, a trigger's state) is read before it goes, as the statements that say so.
Those of which nothing is there when the transaction ends are executed, if there is such an object again.
"""

from dataclasses import dataclass

from psycopg.sql import SQL, Literal

from plinth.sql_text import Lexed, parts

_ALTER = "alter table [if exists] [only] <on>"
# How it is dropped, and which object it is, with its partitions' own. A constraint has an index, and a
# column's identity a sequence.
_RELATION = """
    select tableoid, oid from pg_class where relkind in ('i', 'I', 'v', 'm') and oid in (
        select to_regclass({name}) union select relid from pg_partition_tree(to_regclass({name})))
    """
_KINDS = {
    "drop index [concurrently] [if exists] <name> [cascade | restrict]": _RELATION,
    "drop [materialized] view [if exists] <name> [cascade | restrict]": _RELATION,
    f"{_ALTER} drop constraint [if exists] <name> [cascade | restrict]": """
        with recursive tables as (
            select to_regclass({on})::oid id
            union select relid from pg_partition_tree(to_regclass({on}))),
        found as (
            select k.tableoid, k.oid, conindid, contype from pg_constraint k
            where conrelid = to_regclass({on}) and conname = {bare}
            union select k.tableoid, k.oid, k.conindid, k.contype
            from found f join pg_constraint k on conrelid in (select id from tables)
            and conrelid <> to_regclass({on})
            and (conparentid = f.oid or conname = {bare} and k.contype = 'c' and coninhcount > 0))
        select tableoid, oid from found
        union select 'pg_class'::regclass, conindid from found where contype in ('p', 'u', 'x')
        """,
    "drop trigger [if exists] <name> on <on>": """
        with recursive found as (
            select tableoid, oid from pg_trigger where tgrelid = to_regclass({on}) and tgname = {bare}
            union select t.tableoid, t.oid from found f join pg_trigger t on tgparentid = f.oid)
        select tableoid, oid from found
        """,
    "drop policy [if exists] <name> on <on>": """
        select tableoid, oid from pg_policy where polrelid = to_regclass({on}) and polname = {bare}
        """,
    "drop statistics [if exists] <name>": """
        select s.tableoid, s.oid from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace
        where stxname = {bare} and case {schema} when '' then pg_statistics_obj_is_visible(s.oid)
              else nspname = {schema} end
        """,
}
_IDENTITY = """
    select d.classid, c.oid from pg_attribute join pg_depend d on refobjid = attrelid and refobjsubid = attnum
    join pg_class c on (classid, objid) = (c.tableoid, c.oid) and relkind = 'S'
    where refclassid = 'pg_class'::regclass and attrelid = to_regclass({on}) and attname = {bare}
    """
_TYPE = "select 'pg_type'::regclass::oid, to_regtype({name})::oid"
# Who may use a type, who may not although a new one gives it to them by itself, and at last whose it is.
_OF_TYPE = """
    with own as (
        select t.*, format('%I.%I', nspname, typname) shown,
               coalesce(typacl, acldefault('T', typowner)) acl
        from pg_type t join pg_namespace n on n.oid = typnamespace where t.oid = to_regtype({name})
    ),
    given as (
        select 0::oid id union select grantee from pg_default_acl, aclexplode(defaclacl)
        where defaclobjtype = 'T'
    )
    select about, about
    from (
        select 'GRANT', 'TO', grantee, case when is_grantable then ' WITH GRANT OPTION' end
        from own, aclexplode(acl) where grantee <> typowner
        union all select 'REVOKE', 'FROM', id, null from own, given
        where id <> typowner and not exists (select from aclexplode(acl) where grantee = id)
    ) it (verb, preposition, role, passed_on), own, concat(verb, ' USAGE ON TYPE ', shown, ' ', preposition,
        ' ', case role when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(role)) end, passed_on) about
    union all select format('the owner of %s, %s', shown, typowner),
        format('ALTER TYPE %s OWNER TO %I', shown, pg_get_userbyid(typowner))
    from own
    """
MARK, IS_SAID = "<", "-"
# The subject, and the statement about it: empty, if it is only told; none, if nothing may be lost of it; a
# dash, if it only matters that it is said. What may have another name when it is there again stands in both
# by its kind and table (`<index of …>`), with its name as a row of its own.
_SAID = """
    with own (class, id) as ({which}),
    its as (
        select class, id, identity, quote_ident(name) name, format('<%s of %s>', kind, place) mark, kind
        from own left join pg_class c on class = 'pg_class'::regclass and c.oid = id
        left join pg_index x on class = 'pg_class'::regclass and indexrelid = id
        left join pg_constraint k on (class, id) = (k.tableoid, k.oid)
        left join pg_trigger t on (class, id) = (t.tableoid, t.oid), lateral (
            select case when indexrelid is not null then 'index' when k.oid is not null then 'constraint'
                   when t.oid is not null then 'trigger' end kind,
                   coalesce(relname, conname, tgname) name,
                   coalesce(indrelid, conrelid, tgrelid)::regclass place,
                   (pg_identify_object(class, id, 0)).identity
        ) it
    ),
    marked as (
        select class, id, mark, name, case when kind = 'index' then left(identity, -length(name)) || mark
               when kind <> '' then mark || substr(identity, length(name) + 1) end shown
        from its
    ),
    relations as (
        select c.*, case relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW'
               when 'S' then 'SEQUENCE' else 'INDEX' end kind,
               coalesce(shown, c.oid::regclass::text) shown, mark
        from marked join pg_class c on c.oid = id where class = 'pg_class'::regclass
    )
    select mark, name from marked where shown is not null
    union all select about, about || ' IS ' || quote_literal(content)
    from marked, lateral (
        select 'COMMENT', objsubid, description from pg_description where (classoid, objoid) = (class, id)
        union all select 'SECURITY LABEL FOR ' || quote_ident(provider), objsubid, label from pg_seclabel
        where (classoid, objoid) = (class, id)
    ) it (saying, part, content), pg_identify_object(class, id, part) i, concat(
        saying, ' ON ', regexp_replace(i.type, '^(table|view|materialized view) (?=co)| object$', ''), ' ',
        coalesce(shown, i.identity)
    ) about
    union all select format('option %s of %s', named, shown),
        format('ALTER %s %s SET (%s = %L)', kind, shown, named, substr(option, strpos(option, '=') + 1))
    from relations, unnest(reloptions) option, split_part(option, '=', 1) named
    union all select format('statistics of %s.%s', shown, attname),
        format('ALTER %s %s ALTER %s SET STATISTICS %s', kind, shown,
               case kind when 'INDEX' then attnum::text else quote_ident(attname) end, attstattarget)
    from relations r join pg_attribute a on attrelid = r.oid where coalesce(attstattarget, -1) >= 0
    union all select format('default of %s.%I', shown, attname),
        format('ALTER VIEW %s ALTER %I SET DEFAULT %s', shown, attname, pg_get_expr(adbin, adrelid))
    from relations r join pg_attribute on attrelid = r.oid
    join pg_attrdef on adrelid = attrelid and adnum = attnum
    union all select format('%s %s', t.oid::regclass, about),
        case when is_so then format('ALTER TABLE %s %s %s', t.oid::regclass, about, mark) else '-' end
    from relations r join pg_index i on indexrelid = r.oid join pg_class t on t.oid = indrelid, lateral (
        select 'REPLICA IDENTITY USING INDEX', indisreplident, t.relreplident <> 'i' or exists (
            select from pg_index o where o.indrelid = t.oid and o.indisreplident)
        union all select 'CLUSTER ON', indisclustered, exists (
            select from pg_index o where o.indrelid = t.oid and o.indisclustered)
    ) it (about, is_so, is_said) where is_said
    union all select format('the tablespace of %s, %s', shown, spcname), ''
    from relations r join pg_tablespace s on s.oid = reltablespace
    union all select format('index %s on %s', indexrelid::regclass, shown), ''
    from relations r join pg_index on indrelid = r.oid
    union all select format('trigger %I on view %s', tgname, shown), null
    from relations r join pg_trigger on tgrelid = r.oid
    union all select format('rule %I on view %s', rulename, shown), null
    from relations r join pg_rewrite on ev_class = r.oid where rulename <> '_RETURN'
    union all select format('statistics of %I', stxname),
        format('ALTER STATISTICS %I.%I SET STATISTICS %s', nspname, stxname, stxstattarget)
    from own join pg_statistic_ext s on (class, id) = (s.tableoid, s.oid)
    join pg_namespace n on n.oid = stxnamespace where coalesce(stxstattarget, -1) >= 0
    union all select format('state of %s', shown), format(
        'ALTER TABLE ONLY %s %s TRIGGER %s', tgrelid::regclass,
        case tgenabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, mark)
    from marked join pg_trigger t on (class, id) = (t.tableoid, t.oid) where tgenabled <> 'O'
    """
_GRANTED = """
    union all select format('owner of %s, %s', r.oid::regclass, relowner),
        format('ALTER %s %s OWNER TO %I', kind, r.oid::regclass, pg_get_userbyid(relowner))
    from relations r where kind like '%VIEW'
    union all select about, about || passed_on
    from (
        select relowner, relacl, '', concat(case kind when 'SEQUENCE' then 'SEQUENCE ' end, oid::regclass)
        from relations where kind <> 'INDEX'
        union all select relowner, attacl, format(' (%I)', attname), r.oid::regclass::text
        from relations r join pg_attribute on attrelid = r.oid
    ) it (owner, acl, part, place), aclexplode(acl), format('GRANT %s%s ON %s TO %s', privilege_type, part,
        place, case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end) about,
        concat(case when is_grantable then ' WITH GRANT OPTION' end) passed_on
    where grantee <> owner
    """


@dataclass(frozen=True)
class Gone:
    """What is dropped.

    Args:
        which: the query for it, by its place in the catalog: the class and the number.
        name: as SQL has it.
        on: the table, if it has its name there.
        again: the name under which it may be made anew; the same, if none.
    """

    which: str
    name: str
    on: str = ""
    again: str = ""

    @classmethod
    def found(cls, statement: Lexed) -> "Gone | None":
        """Return what a statement drops that another one may make anew."""
        for form, which in _KINDS.items():
            if found := statement.matches(form):
                return cls(which, found["name"], found["on"] if "<on>" in form else "")
        return None

    @classmethod
    def identity(cls, table: str, column: str) -> "Gone":
        """Return the sequence of a column that leaves its name to another one."""
        return cls(_IDENTITY, column, table)

    @classmethod
    def type_in(cls, statement: Lexed) -> "Gone | None":
        """Return the type that a statement drops, or lets go by another name."""
        found = statement.matches("alter {type | domain} <name> rename to <new>") or statement.matches(
            "drop {type | domain} [if exists] <name> [cascade | restrict]"
        )
        return cls(_TYPE, found["name"]) if found else None

    @property
    def is_type(self) -> bool:
        """Whether it is a type: what is said is who may use it."""
        return self.which == _TYPE

    @property
    def is_identity(self) -> bool:
        """Whether it is a column's sequence, which goes as another column takes that one's place."""
        return self.which == _IDENTITY

    def here(self) -> str:
        """Return the query that tells by a row whether there is such an object again."""
        return self._filled(f"select from ({self.which}) it (class, id) where id is not null", is_again=True)

    def said(self, *, is_again: bool = False, with_privileges: bool = False) -> str:
        """Return the query for what is said of it: the subject, and the statement that says so.

        Args:
            is_again: of what is there in its place.
            with_privileges: and who may use it, and whose it is; else `grants` sees to that.
        """
        found = _OF_TYPE if self.is_type else _SAID + _GRANTED * with_privileges
        query = found.replace("{which}", self.which)
        return self._filled(query, is_again=is_again)

    def is_named_in(self, statement: Lexed) -> bool:
        """Whether a statement names it."""
        return any(statement.names(parts(each)[-1]) for each in (self.name, self.again) if each)

    def _filled(self, query: str, *, is_again: bool) -> str:
        name = (is_again and self.again) or self.name
        *schema, bare = parts(name)
        given = {
            "name": name,
            "on": self.on,
            "bare": bare,
            "schema": schema[-1] if schema else "",
        }
        literals = {name: Literal(value) for name, value in given.items()}
        return SQL(query).format(**literals).as_string()
