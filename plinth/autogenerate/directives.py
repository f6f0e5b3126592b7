"""From a comparison to the revisions that are written (a hook for `process_revision_directives`)."""

import contextlib
import copy
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alembic.autogenerate.api import RevisionContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from plinth import revision_names, settings
from plinth.alembic_command import of_options
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.refusals import Refusal
from plinth.autogenerate.change.steps import AutocommitOp, Change, leaves
from plinth.autogenerate.change.taken_names import refuse_taken_names
from plinth.autogenerate.change.way import Part
from plinth.autogenerate.compare import questions, referring
from plinth.autogenerate.compare.conversions import changed_values
from plinth.autogenerate.compare.drift import drift, made_by_hand
from plinth.autogenerate.compare.hints import all_metadata, kept_tables
from plinth.autogenerate.compare.plugins import Others
from plinth.autogenerate.compare.renames import in_turns
from plinth.autogenerate.compare.scope import in_scope
from plinth.autogenerate.compare.unimported import unimported
from plinth.autogenerate.comparison import ComparedOp, Comparison
from plinth.autogenerate.objects.enums import add_values_used
from plinth.autogenerate.objects.said_anew import with_words
from plinth.autogenerate.online.kept_tables import with_views, without_views
from plinth.autogenerate.online.sequence import sequence, whole
from plinth.autogenerate.prove.proof import Claim, ProofError, asked_after, prove, shown_differences
from plinth.autogenerate.waiting import waits
from plinth.autogenerate.write.cautions import cautions, moves, stale
from plinth.autogenerate.write.files import File, files
from plinth.autogenerate.write.named_in_texts import fails_when_called
from plinth.autogenerate.write.rendering import as_ours
from plinth.catalog import Catalog, Difference, differences
from plinth.errors import as_command_errors
from plinth.revision_names import Hook

log = logging.getLogger("alembic.autogenerate")


def _name_unimported(context: MigrationContext) -> None:
    found = unimported(all_metadata(context.opts["target_metadata"]))
    if found:
        names = ", ".join(os.path.relpath(file, settings.root()) for file in found)
        log.warning("Not imported, so its models aren't seen: %s", names)


def write_revisions(
    context: MigrationContext,
    revision: object,
    directives: list[ops.MigrationScript],
    then: Hook,
    others: Others,
) -> None:
    """Put the operations of a comparison into as many revisions as they need, name them and prove them.

    Args:
        context: Alembic's.
        revision: the head, as Alembic has it.
        directives: the revisions, which are changed.
        then: the hook that was there; it sees them before they are proved.
        others: other plug-ins, which are asked what is left to do.

    Raises:
        alembic.util.CommandError: a word of the author's is missing, or a revision doesn't do what it should.
    """
    if of_options(context.opts).name != "revision" or not directives:
        return
    first = directives[0]
    comparison = _take_comparison(first)
    if comparison is None:
        # Alembic's own comparison has found something, or another plugin.
        if not first.upgrade_ops_list[-1].is_empty():
            then(context, revision, directives)
            return
        log.info("The database is as the models say: there is nothing to write.")
        _name_unimported(context)
        if not questions.is_one_of_several(context):  # then the others get the file
            directives[:] = []
        return
    written = revisions(comparison, online=questions.is_online(context))
    if not written:
        change = comparison.change
        found = "; ".join(map(str, differences(change.before, change.after)))
        raise Refusal(
            "unknown change", f"Autogenerate knows no operation for this; write it by hand: {found}."
        )
    _refuse_blocks_in_a_block(context, written)
    _refuse_made_by_hand(context, comparison, written)
    directives += [_following(first) for _ in written[1:]]
    for directive, each in zip(directives, written, strict=True):
        directive.upgrade_ops_list[-1].ops[:0] = as_ours(each.up)
        directive.downgrade_ops_list[-1].ops.extend(as_ours(each.down))
    longest = revision_names.longest(context.opts["revision_context"].script_directory)
    first.message = first.message or _message(comparison, written, longest)
    theirs = _add_what_others_find(context, directives, written, comparison, others)
    then(context, revision, directives)
    if not directives:
        return
    revision_names.name_following(context, directives)
    _describe_steps(context, directives, written, comparison.change)
    with as_command_errors():
        try:
            prove(context, directives, _claim(context, comparison))
        except ProofError as error:
            raise ProofError(f"{_of_drift(context, comparison)}{error}{theirs}") from error
    is_online = questions.is_online(context)
    mixes = not is_online and not written[-1].is_after and True in _phases(comparison)
    _tell(context, directives, comparison, is_online=is_online, mixes=mixes)
    if comparison.stamped:
        log.warning(
            "The database has this already: alembic stamp head says so to it, and to each one that has it. "
            "Where it is missing: alembic upgrade head."
        )


def _of_drift(context: MigrationContext, comparison: Comparison) -> str:
    """Return what to say of new revisions that fail where the database isn't as its revisions make it."""
    found = drift(context, comparison.subject, with_what_stays=True)
    if not found:
        return ""
    what = "The database isn't as its revisions make it, so what is written for it fails where they are run:"
    ways = (
        "plinth adopt shows how to undo that. To write what leads from the revisions to the models, whatever "
        "the database is: alembic -x compare=revisions revision …"
    )
    return f"{shown_differences(what, found)}\n{ways}\n"


def _refuse_made_by_hand(context: MigrationContext, comparison: Comparison, written: Iterable[File]) -> None:
    """Return if all that is made is made by revisions or known to models; what may be older is told.

    Raises:
        Refusal: somebody has made some of it in this database: what stands in another one, nobody knows.
    """
    found, older = made_by_hand(comparison, [op for each in written for op in (*each.up, *each.down)])
    what = (
        "the new one would drop it and make it anew with the text that it has in the database at hand, and "
        "fail where another one has none of that name, or replace what has it there"
    )
    if found:
        raise Refusal(
            "drift",
            f"{_of_drift(context, comparison)}No revision makes this, and no model knows it: "
            f"{', '.join(found)}. Yet {what}. Put it into a revision first (alembic revision -m …, with its "
            "CREATE in op.execute(), and alembic stamp head here, where it stands), or drop it. Nothing has "
            "been written.",
        )
    if older:
        log.warning("No revision is known to make this: %s. Yet %s.", ", ".join(older), what)


def _refuse_blocks_in_a_block(context: MigrationContext, written: Iterable[File]) -> None:
    """Return if Alembic can run the operations where the template of revisions puts them.

    Raises:
        Refusal: it can't: no `autocommit_block()` may stand in another one (advanced-alchemy's template).
    """
    template = _template(context)
    has_own = any(isinstance(op, AutocommitOp) for each in written for op in (*each.up, *each.down))
    if has_own and re.search(r"^[^#\n]*autocommit_block\(", template.read_text(), re.MULTILINE):
        plain = ", or write a plain file: alembic -x online=no revision …"
        raise Refusal(
            "template",
            f"{template} runs all of a revision in an autocommit_block(), and this one needs such blocks of "
            "its own: Alembic can't run one in another. Take it out of the template; then a revision is "
            f"one transaction where it says nothing else{plain if questions.is_online(context) else ''}.",
        )


def _template(context: MigrationContext) -> Path:
    revision_context: RevisionContext = context.opts["revision_context"]
    return Path(revision_context.script_directory.dir) / "script.py.mako"


def _add_what_others_find(
    context: MigrationContext,
    directives: Sequence[ops.MigrationScript],
    written: Sequence[File],
    comparison: Comparison,
    others: Others,
) -> str:
    """Add what other plug-ins find: at the end of the way up, and at the beginning of the way back.

    What they miss already when the first of two revisions is done is the code's that comes then.

    Returns:
        What to say where the proof refuses the whole; nothing, if they found nothing.
    """
    if not others.names:
        return ""
    trial = [copy.copy(each) for each in directives]  # without the names that they will have
    revision_names.name_following(context, trial)
    _describe_steps(context, trial, written, comparison.change)
    with as_command_errors():
        stages = asked_after(context, trial, _claim(context, comparison), others.ask_on)
    if not stages:
        log.warning("Not asked what it finds: %s. There is no place to do so.", ", ".join(others.names))
        return ""
    first, last = stages[0], stages[-1]
    early = [each for each in first if any(each.source == other.source for other in last)]
    late = [each for each in last if all(each.source != other.source for other in early)]
    for directive, found in ((directives[0], early), (directives[-1], late)):
        found_ops = [each.operation for each in found]
        directive.upgrade_ops_list[-1].ops.extend(found_ops)
        directive.downgrade_ops_list[-1].ops[:0] = [each.reverse() for each in reversed(found_ops)]
    if not last:
        return ""
    return (
        f" A part of it is what {', '.join(others.names)} found. To write it unproved: alembic -x prove=no …"
    )


def _message(comparison: Comparison, written: Sequence[File], longest: int) -> str:
    """Return what the first of the new revisions changes, as its author would say it: not each step."""
    renamed = [rename.up for rename in comparison.renames]
    plain = [op for part in ordinary(comparison.change) for op in part.up]
    later = {text for each in written[1:] for text in revision_names.changes(each.up)}
    told = [text for text in revision_names.changes([*renamed, *plain]) if text not in later]
    return revision_names.in_short(told, longest) or revision_names.describe(written[0].up, longest)


def _describe_steps(
    context: MigrationContext,
    directives: list[ops.MigrationScript],
    written: Sequence[File],
    whole: Change,
) -> None:
    """Say in each file which step of which change it is, and whether it comes after the code."""
    notes: dict[str, Note] = {}
    for number, (directive, each) in enumerate(zip(directives, written, strict=True), 1):
        change = f"{directives[0].rev_id}, step {number} of {len(written)}" if len(written) > 1 else None
        accepted = [
            place
            for op in leaves(each.up)
            for place in sorted(whole.rewrites)
            if isinstance(op, ops.AlterColumnOp) and op.modify_type is not None and _is_at(op, place, whole)
        ]
        notes[str(directive.rev_id)] = Note(change, each.is_after, accepted)
    revision_context: RevisionContext = context.opts["revision_context"]
    revision_context.template_args["notes"] = notes  # type: ignore[assignment]
    if "notes" not in _template(context).read_text():  # the project's own: it has a place for imports
        for directive in directives:
            directive.imports |= notes[str(directive.rev_id)].lines()


def _is_at(op: ops.AlterColumnOp, place: str, whole: Change) -> bool:
    """Whether a column is the one that `-x rewrite=[schema.]table.column` names."""
    schema = op.schema or whole.after.default_schema
    return place in {f"{op.table_name}.{op.column_name}", f"{schema}.{op.table_name}.{op.column_name}"}


@dataclass(frozen=True)
class Note:
    """What a file says of itself.

    Args:
        change: the change that it is a step of, and which one; None when it is all of it.
        is_after: it is to be deployed after the code that doesn't need any more what it takes away.
        accepted: columns whose change may write their table anew: lint needs no further word.
    """

    change: str | None
    is_after: bool
    accepted: Sequence[str] = ()

    def lines(self) -> set[str]:
        """Return what has a meaning to Plinth, as Python."""
        found = {
            f"# lint: allow changing-column-type: -x rewrite={place} accepts it" for place in self.accepted
        }
        return found | ({'deploy = "after"'} if self.is_after else set())


def _tell(
    context: MigrationContext,
    directives: Sequence[ops.MigrationScript],
    comparison: Comparison,
    *,
    is_online: bool,
    mixes: bool,
) -> None:
    """Say why there are two files, or what it means that there is one, and what the lint will ask about.

    Said of the change as well is what running code can't go on with (`cautions`).

    Args:
        context: Alembic's.
        directives: the new revisions.
        comparison: what they do.
        is_online: a busy database may not feel them.
        mixes: one of them takes away, with all else, what running code may still use.
    """
    change, subject = comparison.change, comparison.subject
    views = [
        shown(old.name, subject.database)
        for old, _ in kept_tables(subject.hints, subject.database, change.before)
    ]
    for sentence in (
        *moves(change),
        *stale(change),
        *fails_when_called(change, [each.up for each in comparison.renames]),
        *referring.cautions(change),
        *(cautions(change, views) if is_online else ()),
    ):
        log.warning(sentence)
    written = [each.upgrade_ops_list[-1].ops for each in directives] if is_online else []
    found = [each for operations in written for each in waits(operations, change.before)]
    for each in dict.fromkeys(found):
        log.warning("%s. If that is short, say so in the file: # lint: allow %s: <why>", each.why, each.rule)
    written = [each.downgrade_ops_list[-1].ops for each in directives] if is_online else []
    found = [each for operations in written for each in waits(operations, change.after)]
    for each in dict.fromkeys(found):
        log.warning("A downgrade lets queries wait. %s.", each.why)
    config = context.config
    if config is not None:
        if mixes:
            config.print_stdout(
                "Running code may still use what this revision takes away, and what else it does may be "
                "needed by the new code: apply it while no code runs. For two revisions: "
                "alembic -x online=yes revision …"
            )
        elif len(directives) > 1:
            config.print_stdout(
                "Two revisions: running code may still use what the second one takes away, so that comes "
                'after the code (deploy = "after"). For a single one: alembic -x online=no revision …'
            )


def _claim(context: MigrationContext, comparison: Comparison) -> Claim:
    subject = comparison.subject

    def unexplained(actual: Catalog, wanted: Catalog) -> list[Difference]:
        return differences(*in_scope(actual, wanted, replace(subject.scope, old_tables=())))

    def takes_up_drift() -> bool:
        changed = {each.key for each in differences(comparison.change.before, comparison.change.after)}
        return any(each.key in changed for each in drift(context, subject))

    return Claim(
        subject.models,
        subject.database,
        unexplained,
        changed=set(comparison.change.before.tables),
        takes_up_drift=takes_up_drift,
        conversions=tuple(changed_values(comparison.change)),
        renames=comparison.renames,
    )


def _take_comparison(script: ops.MigrationScript) -> Comparison | None:
    # The last ones: there are those of other databases before them, where a file is for several.
    upgrade_ops, downgrade_ops = script.upgrade_ops_list[-1], script.downgrade_ops_list[-1]
    found = [each for each in upgrade_ops.ops if isinstance(each, ComparedOp)]
    for container in (upgrade_ops, downgrade_ops):
        container.ops[:] = [each for each in container.ops if not isinstance(each, ComparedOp)]
    return found[0].comparison if found else None


def _following(first: ops.MigrationScript) -> ops.MigrationScript:
    """Return a further revision; it is named with the others."""
    return ops.MigrationScript(
        rev_id=None,
        upgrade_ops=ops.UpgradeOps([]),
        downgrade_ops=ops.DowngradeOps([]),
        message=None,
        imports=set(first.imports),
        version_path=first.version_path,
    )


def revisions(comparison: Comparison, *, online: bool) -> list[File]:
    """Return the revisions that a change needs, oldest first.

    Args:
        comparison: what is to be done.
        online: whether a busy database may not feel them.

    Raises:
        Refusal: a word of the author's is missing.
    """
    change = comparison.change
    parts = with_words(sequence(change) if online else ordinary(change), change.before, change.after)
    subject = comparison.subject
    kept = kept_tables(subject.hints, subject.database, change.before) if online else []
    renamed = [
        with_views(
            Part([rename.up for rename in turn], [rename.down for rename in reversed(turn)]),
            [(old, new) for old, new in kept if any(old.name in rename.names for rename in turn)],
            change.before,
        )
        for turn in in_turns(comparison.renames)
    ]
    early = [each for each in parts if not each.is_after]
    late = [*without_views(kept, change.before), *(each for each in parts if each.is_after)]
    found = files(
        [*renamed, *early, *late],
        change.before,
        in_one=not online,
        oldest_server=settings.configured().oldest_server,
    )
    if not online and _phases(comparison) == {True}:
        return [replace(each, is_after=True) for each in found]
    return found


def _phases(comparison: Comparison) -> set[bool]:
    """Return whether parts of a change come before the code (False), and after it (True): online or not."""
    with contextlib.suppress(Refusal):  # what has no online form comes before the code
        return {part.is_after for part in sequence(comparison.change)} | {False for _ in comparison.renames}
    return {False}


def ordinary(change: Change) -> list[Part]:
    """Return one transaction, or the two that PostgreSQL forces: an enum's new value takes a commit."""
    refuse_taken_names(change, is_online=False)
    way = whole(change)
    add_values_used(way)
    way.go(change.after)
    return way.parts
