"""Domains: created, dropped, changed; a check is there for new values first, where busy tables have them.

A column of a domain with constraints can't be added without writing the table anew (ALTER TABLE, notes):
a new domain that standing tables use gets its checks when they have its columns.
"""

from collections.abc import Iterator
from dataclasses import replace

from plinth.autogenerate.change.expressions import as_said
from plinth.autogenerate.change.quoting import comment_sql, quoted, shown, sql_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import Change, Forced, SqlOp, Step, Waiting
from plinth.autogenerate.change.way import Outside, Way
from plinth.autogenerate.objects.enums import columns_of, rebuild
from plinth.catalog.picture import Catalog, Domain, DomainConstraint, Name, Node

_WAITING = (
    "{} lets those wait who write to tables that have it, while rows are looked at: PostgreSQL has no "
    "other way"
)


def create_sql(domain: Domain, catalog: Catalog) -> str:
    """Return the statement that makes a domain."""
    words = [f"CREATE DOMAIN {sql_name(domain.name, catalog)} AS {domain.type}"]
    if domain.collation:
        words.append(f"COLLATE {domain.collation}")
    if domain.default is not None:
        words.append(f"DEFAULT {as_said(domain.default, domain.words)}")
    if domain.not_null:
        words.append("NOT NULL")
    words += [
        f"CONSTRAINT {quoted(each.name)} {as_said(each.definition, each.words)}"
        for each in domain.constraints.values()
        if each.is_validated
    ]
    return " ".join(words)


def is_rebuilt(before: Domain, after: Domain) -> bool:
    """Whether a domain has to be made anew: it is made of something else."""
    return (before.type, before.collation) != (after.type, after.collation)


def steps(change: Change, forced: Forced) -> Iterator[Step]:
    """Yield what makes the domains as they should be.

    Args:
        change: the whole.
        forced: the types, and the checks, that are made anew.
    """
    before, after, rebuilt = change.before, change.after, forced.types
    for name, domain in sorted(after.domains.items()):
        old = before.domains.get(name)
        if old is None:
            create = SqlOp(create_sql(domain, after), f"create {name.name}")
            yield Step(create).making(*domain.nodes)
        elif name in rebuilt:
            yield from rebuild(change, name, create_sql(domain, after))
        else:
            yield from _alter(change, old, domain, forced.of(forced.parts("domain constraint"), name))
        if domain.comment != (old.comment if old else None):
            sql = comment_sql(f"DOMAIN {sql_name(name, after)}", domain.comment)
            yield Step(SqlOp(sql, f"comment {name.name}"), "comment")
        is_new = old is None or name in rebuilt
        for check in domain.constraints.values():
            was = None if is_new or old is None else old.constraints.get(check.name)
            if is_new and not check.is_validated:  # CREATE DOMAIN has no word for it
                sql = f"ALTER DOMAIN {sql_name(name, after)} {add_check(check)}"
                step = Step(SqlOp(sql, f"constrain {name.name}"), "type")
                yield step.making(Node.part("domain constraint", name, check.name))
            if check.comment != (was.comment if was and is_kept(was, check) else None):
                yield Step(comment_op(check, name, after), "comment")
    for name in sorted(before.domains.keys() - after.domains.keys()):
        drop = SqlOp(f"DROP DOMAIN {sql_name(name, before)}", f"drop {name.name}")
        yield Step(drop).dropping(*before.domains[name].nodes)


def refuse_in_arrays(before: Catalog, after: Catalog, name: Name) -> None:
    """Return if PostgreSQL can look at all values of a domain that gets a check, or becomes required.

    Raises:
        Refusal: an array holds some.
    """
    for each in _made_of(name, before):
        for table, column in columns_of(each, before):
            kept = after.column(table.name, column.name)
            if kept and column.type.endswith("[]") and kept.named_type == each:
                place = f"{shown(table.name, before)}.{column.name}"
                what = "it" if each == name else f"{shown(each, before)}, which is made of it"
                refuse(
                    "array of a domain",
                    f"Domain {shown(name, before)} changes, and column {place} is an array of {what}, in "
                    "which PostgreSQL can't look at the values. Give the column a domain of another name, "
                    f"with the new rule: ARRAY(DOMAIN('{each.name}_2', …)).",
                )


def _made_of(name: Name, catalog: Catalog) -> list[Name]:
    """Return a domain, and those that are made of it."""
    found = [name]
    for each in catalog.domains.values():
        if each.base == name:
            found += _made_of(each.name, catalog)
    return found


def _alter(change: Change, before: Domain, after: Domain, forced: set[str]) -> Iterator[Step]:
    name = after.name

    def step(action: str) -> Step:
        if action == "SET NOT NULL" or (" CHECK " in action and not action.endswith(" NOT VALID")):
            refuse_in_arrays(change.before, change.after, name)
        sql = f"ALTER DOMAIN {sql_name(name, change.after)} {action}"
        is_read = action == "SET NOT NULL" and columns_of(name, change.before)
        waiting = Waiting(_WAITING.format(f"SET NOT NULL of the domain {name.name}"), "blocks")
        return Step(SqlOp(sql, f"change {name.name}", waiting=waiting if is_read else None), "type")

    for check in before.constraints.values():
        if not is_kept(check, after.constraints.get(check.name)) or check.name in forced:
            yield step(drop_check(check)).dropping(Node.part("domain constraint", name, check.name))
    if before.default != after.default:
        default = (
            "DROP DEFAULT" if after.default is None else f"SET DEFAULT {as_said(after.default, after.words)}"
        )
        yield step(default).making(Node("type", name))
    if before.not_null != after.not_null:
        yield step("SET NOT NULL" if after.not_null else "DROP NOT NULL")
    for check in after.constraints.values():
        if not is_kept(check, before.constraints.get(check.name)) or check.name in forced:
            yield step(add_check(check)).making(Node.part("domain constraint", name, check.name))


def is_kept(before: DomainConstraint, after: DomainConstraint | None) -> bool:
    """Whether a check is as it should be, its comment aside."""
    return after is not None and before.definition == after.definition


def comment_op(check: DomainConstraint, domain: Name, catalog: Catalog) -> SqlOp:
    """Return what puts a comment on a check, or takes it off."""
    on = f"CONSTRAINT {quoted(check.name)} ON DOMAIN {sql_name(domain, catalog)}"
    return SqlOp(comment_sql(on, check.comment), f"comment {check.name}")


def add_check(check: DomainConstraint) -> str:
    """Return what ALTER DOMAIN does to get a check."""
    return f"ADD CONSTRAINT {quoted(check.name)} {as_said(check.definition, check.words)}"


def drop_check(check: DomainConstraint) -> str:
    """Return what ALTER DOMAIN does to lose a check."""
    return f"DROP CONSTRAINT {quoted(check.name)}"


# On a busy database


def new_domains(way: Way) -> dict[Name, Domain]:
    """Return the domains that are new, without their checks where standing tables will use them.

    In an array no check can come later, and none writes the table anew.
    """
    after = way.change.after
    return {
        name: replace(domain, constraints={})
        if _is_used(way, name, after) and not _is_in_array(name, after)
        else domain
        for name, domain in after.domains.items()
        if name not in way.before.domains
    }


def _is_in_array(name: Name, catalog: Catalog) -> bool:
    return any(column.type.endswith("[]") for _, column in columns_of(name, catalog))


def add_checks(way: Way) -> None:
    """Go on by the transactions that give domains their new checks."""
    wanted = way.change.after
    for name in sorted(wanted.domains):
        domain = way.at.domains.get(name)
        if domain is None or is_rebuilt(domain, wanted.domains[name]) or not _is_used(way, name, way.at):
            continue
        checks = wanted.domains[name].constraints
        new = [each for each in checks.values() if not is_kept(each, domain.constraints.get(each.name))]
        if not new:
            continue
        kept = {
            each.name: each for each in domain.constraints.values() if is_kept(each, checks.get(each.name))
        }
        unchecked = {each.name: replace(each, definition=_not_valid(each), comment=None) for each in new}
        way.go(_with_checks(way, domain, kept | unchecked))
        for check in new:
            if _not_valid(check) != check.definition:
                _validate(way, name, check)


def _is_used(way: Way, name: Name, catalog: Catalog) -> bool:
    """Whether a column of a standing table has a domain, or one that is made of it."""
    standing = way.before.tables.keys() & way.change.after.tables.keys()
    if any(table.name in standing for table, _ in columns_of(name, catalog)):
        return True
    return any(_is_used(way, each.name, catalog) for each in catalog.domains.values() if each.base == name)


def _not_valid(check: DomainConstraint) -> str:
    return f"{check.definition.removesuffix(' NOT VALID')} NOT VALID"


def _with_checks(way: Way, domain: Domain, checks: dict[str, DomainConstraint]) -> Catalog:
    changed = replace(domain, constraints=checks)
    return replace(way.at, domains={**way.at.domains, domain.name: changed})


def _validate(way: Way, name: Name, check: DomainConstraint) -> None:
    refuse_in_arrays(way.at, way.change.after, name)
    domain = way.at.domains[name]
    place = sql_name(name, way.at)
    up = [
        SqlOp(
            f"ALTER DOMAIN {place} VALIDATE CONSTRAINT {quoted(check.name)}",
            f"validate {check.name}",
            note="those who write to tables that have it wait meanwhile: PostgreSQL has no other way",
            waiting=Waiting(_WAITING.format(f"The check {check.name} of the domain {place}"), "blocks"),
        )
    ]
    if check.comment is not None:
        up.append(comment_op(check, name, way.at))
    actions = (drop_check(check), add_check(domain.constraints[check.name]))
    down = [SqlOp(f"ALTER DOMAIN {place} {action}") for action in actions]
    to = _with_checks(way, domain, {**domain.constraints, check.name: check})
    way.step(to, Outside(up), down)


# Those who write wait for these: they come when nothing else is left to wait for.
STAGES = (Stage("checks of domains", add_checks, ["NOT NULL", "late foreign keys of new tables"]),)
