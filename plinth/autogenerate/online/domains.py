"""Checks of domains that columns of busy tables have: for new values first, and for all rows afterwards.

A column of a domain with constraints can't be added without writing the table anew (ALTER TABLE, notes):
a new domain that standing tables use gets its checks when they have its columns.
"""

from dataclasses import replace

from plinth.autogenerate.objects.domains import (
    add_check,
    comment_op,
    drop_check,
    is_kept,
    is_rebuilt,
    refuse_in_arrays,
)
from plinth.autogenerate.objects.enums import columns_of
from plinth.autogenerate.objects.quoting import quoted, sql_name
from plinth.autogenerate.objects.steps import AutocommitOp, SqlOp, Waiting
from plinth.autogenerate.online.stages import Stage
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Catalog, Domain, DomainConstraint, Name


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


def rewrites(way: Way, type_: Name | None) -> bool:
    """Whether a new column of a type writes its table anew: it is a domain that has constraints by then."""
    before, after = way.change.before.domains, way.change.after.domains
    if type_ is None or type_ not in after:
        return False
    domain = after[type_]
    has_checks = type_ in before and bool(before[type_].constraints)
    return has_checks or domain.not_null or rewrites(way, domain.base)


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
            waiting=Waiting(
                f"The check {check.name} of the domain {place} lets those wait who write to tables that have "
                "it, while rows are looked at: PostgreSQL has no other way",
                "blocks",
            ),
        )
    ]
    if check.comment is not None:
        up.append(comment_op(check, name, way.at))
    actions = (drop_check(check), add_check(domain.constraints[check.name]))
    down = [SqlOp(f"ALTER DOMAIN {place} {action}") for action in actions]
    to = _with_checks(way, domain, {**domain.constraints, check.name: check})
    way.step(to, Part([AutocommitOp(up)], down))


# Those who write wait for these: they come when nothing else is left to wait for.
STAGES = (Stage("checks of domains", add_checks, ["values", "late foreign keys of new tables"]),)
