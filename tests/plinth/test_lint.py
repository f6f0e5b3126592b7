"""What the lint refuses, names and lets pass; each finding with the safe form."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from plinth import safety, settings
from plinth.lint import rules, squawk
from plinth.lint.linting import Checked, Finding, Lint, lint
from tests.plinth.history import CONCURRENTLY, History
from tests.plinth.project import HEAD, Project
from tests.plinth.test_plan import BEFORE, execute

NOTHING: list[str] = []
# The revisions of a chain, each on what the ones before it left.
CASES: list[tuple[str, list[str]]] = [
    # an index
    ('op.create_index("ix_a", "users", ["email"])', ["require-concurrent-index-creation"]),
    (CONCURRENTLY + 'op.create_index("ix_b", "users", ["code"], postgresql_concurrently=True)', NOTHING),
    ('op.drop_index("ix_a")', NOTHING),
    (CONCURRENTLY + 'op.drop_index("ix_b", postgresql_concurrently=True)', NOTHING),
    # a foreign key
    (
        'op.create_foreign_key("fk_a", "posts", "users", ["user_id"], ["id"])',
        ["adding-foreign-key-constraint"],
    ),
    (
        'op.create_foreign_key("fk_b", "posts", "users", ["code"], ["id"], postgresql_not_valid=True)',
        NOTHING,
    ),
    (execute("alter table posts validate constraint fk_b"), NOTHING),
    # a check
    ('op.create_check_constraint("ck_a", "users", "id > 0")', ["constraint-missing-not-valid"]),
    (
        execute(
            "alter table users add constraint ck_b check (id > -1) not valid",
            "alter table users validate constraint ck_b",
        ),
        ["constraint-missing-not-valid"],
    ),
    # uniqueness
    ('op.create_unique_constraint("uq_a", "users", ["email"])', ["disallowed-unique-constraint"]),
    (
        CONCURRENTLY + 'op.create_index("uq_b", "users", ["old"], unique=True, postgresql_concurrently=True)',
        NOTHING,
    ),
    (execute("alter table users add constraint uq_b unique using index uq_b"), NOTHING),
    # columns
    (
        execute("alter table users add column token uuid not null default gen_random_uuid()"),
        ["adding-field-with-default"],
    ),
    (execute("alter table users add column number serial"), ["rewrites"]),
    ('op.add_column("users", sa.Column("five", sa.Integer(), server_default="5", nullable=False))', NOTHING),
    (
        'op.add_column("users", sa.Column("required", sa.Integer(), nullable=False))',
        ["adding-required-field"],
    ),
    ('op.alter_column("users", "five", type_=sa.BigInteger())', ["changing-column-type"]),
    ('op.alter_column("users", "email", type_=sa.String(40))', NOTHING),
    # NOT NULL
    ('op.alter_column("posts", "body", nullable=False)', ["adding-not-nullable-field"]),
    (execute("alter table users add constraint ck_c check (email is not null) not valid"), NOTHING),
    (execute("alter table users validate constraint ck_c"), NOTHING),
    ('op.alter_column("users", "email", nullable=False)\nop.drop_constraint("ck_c", "users")', NOTHING),
    # names
    ('op.alter_column("users", "old", new_column_name="older")', ["renames"]),
    (execute("alter table users add column next int"), NOTHING),
    (
        execute("alter table users rename five to before", "alter table users rename next to five"),
        NOTHING,
    ),
    # drops
    ('op.drop_column("users", "before")', ["drops"]),
    (
        'op.drop_column("users", "older")\nop.add_column("users", sa.Column("n", sa.Integer()))',
        ["drop-not-alone", "drops"],
    ),
    (
        'op.drop_index("ix_old", if_exists=True)\n'
        'op.drop_constraint("fk_a", "posts")\n'
        'op.drop_table("posts")',
        ["drops"],
    ),
    # rows
    (execute("update users set code = 1"), ["blocks"]),
    (execute("update users set code = 1 where id = 1"), NOTHING),
    (execute("truncate users"), ["empties"]),
    # new tables
    (
        'op.create_table("new", sa.Column("id", sa.Integer(), primary_key=True))\n'
        'op.add_column("new", sa.Column("u", sa.Integer()))\n'
        'op.create_index("ix_new", "new", ["u"])\n'
        'op.create_foreign_key("fk_new", "new", "users", ["u"], ["id"])\n'
        'op.alter_column("new", "u", nullable=False)',
        NOTHING,
    ),
    # transactions
    (
        'op.add_column("new", sa.Column("x", sa.Integer()))\n'
        + CONCURRENTLY
        + 'op.create_index("ix_x", "new", ["x"], postgresql_concurrently=True)',
        NOTHING,
    ),
    # what needs a database is looked at as it ran there
    (
        "for name, in op.get_bind().execute(sa.text(\"select 'users'\")):\n"
        '    op.create_index("ix_read", name, ["email"])',
        ["require-concurrent-index-creation"],
    ),
    (execute("do $$ begin alter table users add column r float default random(); end $$"), ["rewrites"]),
]


def checked(history: History, upgrade: str, extra: str = "", since: str = "before") -> Checked:
    history.add("before", None, BEFORE)
    history.add("after", "before", upgrade, extra=extra)
    (found,) = lint(history.config(), since).revisions
    return found


def rules_of(findings: Sequence[Finding], level: str = "refused") -> list[str]:
    return sorted(each.rule for each in findings if each.level == level)


@pytest.mark.slow
def test_plain_files_are_named_where_they_are_wanted(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.add("before", None, BEFORE)
    history.add("index", "before", 'op.create_index("ix_a", "users", ["email"])')
    history.add(
        "drop",
        "index",
        'op.drop_column("users", "old")\nop.add_column("users", sa.Column("n", sa.Integer()))',
    )
    history.add("rename", "drop", 'op.rename_table("posts", "articles")')
    monkeypatch.setenv("PLINTH_ONLINE", "no")
    found = {
        each.revision: {(finding.rule, finding.level) for finding in each.findings}
        for each in lint(history.config(), "before").revisions
    }
    assert found == {
        "index": {("require-concurrent-index-creation", "named")},
        "drop": {("drop-not-alone", "named"), ("drops", "named")},
        "rename": {("renames", "refused")},
    }


def test_good_and_bad_forms(history: History) -> None:
    history.add("before", None, BEFORE)
    last = "before"
    for number, (upgrade, _) in enumerate(CASES):
        history.add(f"case_{number}", last, upgrade)
        last = f"case_{number}"
    found = lint(history.config(), "before")
    assert found.not_measured is None
    told = [sorted(each.rule for each in revision.findings) for revision in found.revisions]
    assert list(zip((upgrade for upgrade, _ in CASES), told, strict=True)) == CASES
    assert all(revision.measured for revision in found.revisions)
    assert all(finding.instead for revision in found.revisions for finding in revision.findings)
    assert found.exit_code == 1


AFTER = 'deploy = "after"'


def test_drops_are_named_and_not_refused(history: History) -> None:
    found = checked(history, 'op.drop_column("users", "old")')
    assert [(each.rule, each.level) for each in found.findings] == [("drops", "named")]
    assert "users.old" in found.findings[0].message
    assert AFTER in found.findings[0].instead
    assert Lint([found]).exit_code == 0


def test_drops_are_known_however_they_are_written(history: History) -> None:
    statements = (
        '/* add */ ALTER TABLE IF EXISTS -- x\n ONLY public . "users" DROP old; drop view if exists v',
        "set local work_mem = '8MB'; drop /* x */ table posts",
    )
    found = checked(history, execute(*statements))
    assert {each.rule for each in found.findings} == {"drops"}


@pytest.mark.parametrize(
    "extra", ["", 'op.add_column("users", sa.Column("n", sa.Integer()))'], ids=["alone", "beside"]
)
def test_what_comes_after_the_code_may_drop(history: History, extra: str) -> None:
    found = checked(history, f'op.drop_column("users", "old")\n{extra}', AFTER)
    assert found.findings == []


def test_views_and_enum_values_that_go_are_named(history: History) -> None:
    history.add("before", None, execute("create view v as select 1 as a", "create type e as enum ('x', 'y')"))
    statements = (
        "drop view v",
        "alter type e rename to e_old",
        "create type e as enum ('x')",
        "drop type e_old",
    )
    history.add("hand", "before", execute(*statements))
    (found,) = lint(history.config(), "before").revisions
    assert [(each.rule, each.level, each.message.partition(" is gone")[0]) for each in found.findings] == [
        ("drops", "named", "v"),
        ("drops", "named", "value y of e"),
    ]
    history.add("hand", "before", execute(*statements), extra=AFTER)
    (found,) = lint(history.config(), "before").revisions
    assert found.findings == []


def test_a_value_of_an_enum_that_is_called_otherwise_is_a_rename(history: History) -> None:
    history.add("before", None, execute("create type e as enum ('x', 'y')"))
    history.add("hand", "before", execute("alter type e rename value 'x' to 'z'"))
    (found,) = lint(history.config(), "before").revisions
    assert [(each.rule, each.message.partition(":")[0]) for each in found.findings] == [
        ("renames", "value x of e is called z afterwards")
    ]
    history.add("hand", "before", execute("alter type e rename value 'x' to 'z'"), extra=AFTER)
    (found,) = lint(history.config(), "before").revisions
    assert [each.rule for each in found.findings] == ["renames"]  # the new code can't use it before that


def test_a_view_that_is_made_anew_is_no_drop(history: History) -> None:
    history.add("before", None, execute("create view v as select 1 as a"))
    history.add("hand", "before", execute("drop view v", "create view v as select 1 as a, 2 as b"))
    (found,) = lint(history.config(), "before").revisions
    assert found.findings == []


SEVERAL = """
from alembic import context

for name in ("first", "second"):
    context.configure(url="postgresql://", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations(name=name)
"""


def test_of_several_databases_each_is_looked_at(history: History) -> None:
    (history.folder / "env.py").write_text(SEVERAL)
    for name, down, upgrade in (
        ("before", None, BEFORE),
        ("update", "before", 'if name == "second":\n    op.execute("update posts set code = 1")'),
    ):
        file = history.add(name, down, upgrade)
        file.write_text(file.read_text().replace("upgrade()", "upgrade(name)"))
    found = lint(history.config(), "before")
    assert [(each.database, rules_of(each.findings)) for each in found.revisions] == [
        ("first", NOTHING),
        ("second", ["blocks"]),
    ]


INDEX = 'op.create_index("ix", "users", ["email"])'


def test_an_exception_with_a_reason_counts(history: History) -> None:
    allow = "# lint: allow require-concurrent-index-creation: users has ten rows"
    found = checked(history, INDEX, allow)
    assert rules_of(found.findings, "allowed") == ["require-concurrent-index-creation"]
    assert found.findings[0].reason == "users has ten rows"
    assert Lint([found]).exit_code == 0


@pytest.mark.parametrize("end", ["", ":", ":  "])
def test_an_exception_without_a_reason_does_not(history: History, end: str) -> None:
    found = checked(history, INDEX, f"# lint: allow require-concurrent-index-creation{end}")
    assert rules_of(found.findings) == ["exception-without-reason", "require-concurrent-index-creation"]


def test_an_exception_for_another_rule_does_not_count_and_is_named(history: History) -> None:
    found = checked(history, INDEX, "# lint: allow renames: a reason\n# lint: allow nonsense: another")
    assert rules_of(found.findings) == ["require-concurrent-index-creation"]
    named = [each.message for each in found.findings if each.rule == "unused-exception"]
    assert ["renames" in named[0], "no such rule" in named[1]] == [True, True]


def test_an_exception_in_a_string_is_none(history: History) -> None:
    found = checked(history, INDEX, 'note = "# lint: allow require-concurrent-index-creation: no"')
    assert rules_of(found.findings) == ["require-concurrent-index-creation"]


def test_what_was_deployed_long_ago_is_left_out(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.add("before", None, BEFORE)
    history.add("index", "before", INDEX)
    history.add("last", "index", "pass")
    config = history.config()
    assert [each.revision for each in lint(config).revisions] == ["before", "index", "last"]
    assert [each.revision for each in lint(config, "index").revisions] == ["last"]
    monkeypatch.setenv("PLINTH_LINT_SINCE", "index")
    assert [each.revision for each in lint(config).revisions] == ["last"]
    assert lint(config, "last").revisions == []


@pytest.mark.slow
def test_what_the_driver_is_told_is_not_checked(history: History) -> None:
    told = 'op.get_bind().connection.driver_connection.execute("create index ix_raw on users (email)")'
    found = checked(history, told).findings
    assert rules_of(found) == ["not-checked"]
    assert "driver_connection in line" in found[0].message


def test_a_revision_that_cannot_be_measured_is_judged_by_its_text(history: History) -> None:
    history.add("before", None, BEFORE)
    history.add("index", "before", INDEX)
    history.add("drop", "index", 'op.drop_column("users", "old")\nop.drop_index("of_nobody")')
    history.add("rename", "drop", 'op.rename_table("users", "people")')
    history.add("reads", "rename", 'op.get_bind().execute(sa.text("select 1")).all()')
    history.add("empties", "reads", 'op.execute("truncate users")')
    history.add("writes", "empties", 'op.execute("update users set email = email")')
    history.add("unlogged", "writes", 'op.execute("alter table users set unlogged")')
    history.add("inserts", "unlogged", """op.execute("insert into users (email) values ('a')")""")
    made = ("create table new (a int, exclude using gist (a with =))", "update new set a = 1", "truncate new")
    history.add("new", "inserts", execute(*made))
    history.add("analyzes", "new", execute("analyze users"))
    found = lint(history.config(), "before")
    assert "of_nobody" in str(found.not_measured)
    told = {each.revision: [(one.rule, one.level) for one in each.findings] for each in found.revisions}
    assert told == {
        "index": [("require-concurrent-index-creation", "refused")],
        "drop": [("drops", "named")],
        "rename": [("renames", "refused")],
        **{each: [("not-checked", "refused")] for each in ("reads", "empties", "writes", "unlogged")},
        **{each: [] for each in ("inserts", "new", "analyzes")},
    }


def test_the_database_of_the_tests_is_one_to_measure_on_unmarked_too(
    history: History, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", empty_url.render_as_string(hide_password=False))
    monkeypatch.delenv("APP_ENV", raising=False)
    monkeypatch.setattr(safety, "is_on_local_server", lambda _: False)
    history.add("before", None, BEFORE)
    history.add("empties", "before", 'op.execute("truncate posts")')
    found = lint(history.config(), "before")
    assert found.not_measured is None
    assert rules_of(found.revisions[0].findings) == ["empties"]


def test_without_squawk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda _: None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(squawk.SquawkError, match=re.escape("pip install 'alembic-plinth[lint]'")):
        squawk.program()


def test_every_rule_of_squawk_s_is_chosen_or_left_out_with_a_reason() -> None:
    sets = [set(rules.SQUAWK), set(rules.ALIASES), set(rules.LEFT_OUT), set(rules.OURS)]
    assert sum(map(len, sets)) == len(set.union(*sets))
    assert all(rules.LEFT_OUT.values())
    assert set(rules.VAGUE) <= set(rules.SQUAWK)
    assert set(rules.ALIASES.values()) <= set(rules.OURS)


def test_every_rule_stands_in_the_guide() -> None:
    guide = (settings.root() / "docs" / "planning.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", guide, re.MULTILINE)) >= set(rules.ALL)


def test_the_scaffold_s_own_revisions_pass(project: Project) -> None:
    assert "nothing refused" in project.ok("plinth", "lint")


@pytest.mark.slow
def test_the_program_says_what_to_write_and_fails(project: Project) -> None:
    project.write_revision("x", HEAD, INDEX)
    done = project.run("plinth", "lint")
    assert done.returncode == 1
    assert "refused require-concurrent-index-creation" in done.stdout
    assert "CREATE INDEX ix ON users (email)" in done.stdout
    assert "postgresql_concurrently=True" in done.stdout
    answer = project.run("plinth", "lint", "--json", "--since", HEAD)
    assert answer.returncode == 1
    found = json.loads(answer.stdout)
    assert [each["revision"] for each in found["revisions"]] == ["x"]
    assert found["exit_code"] == 1


def test_an_unknown_revision_is_refused_in_a_line(project: Project) -> None:
    assert "nonsense" in project.refused("plinth", "lint", "--since", "nonsense")
    said = project.refused("plinth", "lint", PLINTH_LINT_SINCE="nonsense")
    assert "PLINTH_LINT_SINCE names a revision that there is no file of, 'nonsense': write" in said


def test_a_database_is_not_needed(project: Project, empty_url: URL) -> None:
    nowhere = empty_url.set(database="not_there").render_as_string(hide_password=False)
    assert "nothing refused" in project.ok("plinth", "lint", DATABASE_URL=nowhere)
