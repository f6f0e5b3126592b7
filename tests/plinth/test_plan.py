"""What revisions are measured to do, and the verdict on it."""

import json
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from plinth.plan.facts import Revision, Use
from plinth.plan.measuring import measure
from plinth.plan.planning import Pending, Plan, plans
from plinth.plan.table import show
from plinth.plan.verdict import reasons, worst
from plinth.scratch.revisions import History as Revisions
from tests.plinth.history import CONCURRENTLY, History, catalog, rows
from tests.plinth.project import HEAD, REVISIONS, Project
from tests.plinth.test_safety import elsewhere

BEFORE = """
op.execute("create table users (id int primary key, email varchar(20), old int, code int not null default 0)")
op.execute("create table posts (id int primary key, user_id int, body text, code int)")
op.execute("alter table posts add constraint posts_code check (code is not null) not valid")
op.execute("alter table users add constraint users_code check (code >= 0) not valid")
op.execute("alter table users add constraint users_email check (email <> 'x') not valid")
op.execute("alter table posts add constraint fk_posts foreign key (user_id) references users not valid")
op.execute("create index ix_old on users (old)")
op.execute("create materialized view summary as select count(*) from users")
op.execute("create view names as select id, code from users")
"""
AWAY = """
op.execute("drop table if exists users, articles, new cascade")
op.execute("drop table if exists posts cascade")
"""


@pytest.fixture
def target(empty_engine: Engine) -> Iterator[Connection]:
    with empty_engine.connect() as connection:
        yield connection


def execute(*statements: str) -> str:
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


def measured(history: History, target: Connection, upgrade: str, before: str = BEFORE) -> Revision:
    history.add("before", None, before)
    history.add("after", "before", upgrade)
    config = history.config(target)
    found = measure(Revisions(config, ScriptDirectory.from_config(config)), target, ["before"])
    assert found.failure is None
    assert [each.revision for each in found.revisions] == ["after"]
    return found.revisions[0]


def verdict(revision: Revision) -> str:
    return worst(reasons(revision, lambda _: True))


def use(revision: Revision, table: str, statement: int = 0) -> Use:
    return next(each for each in revision.statements[statement].uses if each.table.name == table)


CASES = [
    ('op.create_index("ix", "users", ["email"])', "blocks"),
    (CONCURRENTLY + 'op.create_index("ix", "users", ["email"], postgresql_concurrently=True)', "online"),
    (CONCURRENTLY + 'op.drop_index("ix_old", postgresql_concurrently=True)', "online"),
    (CONCURRENTLY + 'op.execute("reindex table concurrently users")', "online"),
    (CONCURRENTLY + 'op.execute("vacuum full users")', "rewrites"),
    ('op.drop_index("ix_old")', "instant"),
    ('op.create_foreign_key("fk", "posts", "users", ["user_id"], ["id"])', "blocks"),
    (
        'op.create_foreign_key("fk", "posts", "users", ["user_id"], ["id"], postgresql_not_valid=True)',
        "instant",
    ),
    (execute("alter table posts validate constraint fk_posts"), "scans"),
    (CONCURRENTLY + 'op.execute("alter table posts validate constraint fk_posts")', "online"),
    (execute("alter table users validate constraint users_code"), "scans"),
    ('op.create_check_constraint("ck", "users", "id > 0")', "blocks"),
    (
        execute(
            "alter table users add constraint ck check (id > 0) not valid",
            "alter table users validate constraint ck",
        ),
        "blocks",
    ),
    ('op.create_unique_constraint("uq", "users", ["email"])', "blocks"),
    (execute("alter table users add column token uuid default gen_random_uuid()"), "rewrites"),
    (execute("alter table users add column number serial"), "rewrites"),
    (
        'op.add_column("users", sa.Column("n", sa.Integer(), server_default="5", nullable=False))',
        "instant",
    ),
    ('op.add_column("users", sa.Column("at", sa.DateTime(), server_default=sa.func.now()))', "instant"),
    ('op.alter_column("users", "old", type_=sa.BigInteger())', "rewrites"),
    ('op.alter_column("users", "email", type_=sa.String(40))', "instant"),
    ('op.alter_column("users", "email", type_=sa.Text())', "instant"),
    ('op.alter_column("users", "old", type_=sa.Integer())', "instant"),
    ('op.alter_column("posts", "body", type_=sa.String(40))', "rewrites"),
    ('op.alter_column("users", "old", new_column_name="new")', "renames"),
    ('op.rename_table("posts", "articles")', "renames"),
    (execute("alter table posts rename to articles", "create view posts as table articles"), "instant"),
    ('op.drop_column("users", "old")', "destroys"),
    ('op.drop_table("posts")', "destroys"),
    (execute("truncate posts"), "destroys"),
    (execute("refresh materialized view summary"), "rewrites"),
    (execute("update users set old = 1"), "blocks"),
    (execute("update users set old = 1 where id = 1"), "instant"),
    (
        execute(
            "do $$ begin update posts set body = ''; alter table users add x int default random(); end $$"
        ),
        "rewrites",
    ),
    (
        execute("alter table posts add column x int", "alter table users validate constraint users_code"),
        "blocks",
    ),
    (execute("create table new (id int references users)", "create index on new (id)"), "instant"),
    (execute("comment on table users is 'people'"), "instant"),
]


@pytest.mark.slow
def test_verdicts(history: History, target: Connection) -> None:
    last = None
    for number, (upgrade, _) in enumerate(CASES):
        history.add(f"before_{number}", last, (AWAY if last else "") + BEFORE)
        last = f"case_{number}"
        history.add(last, f"before_{number}", upgrade)
    config = history.config(target)
    found = measure(Revisions(config, ScriptDirectory.from_config(config)), target, [])
    assert found.failure is None
    verdicts = [verdict(each) for each in found.revisions if each.revision.startswith("case")]
    assert list(zip((upgrade for upgrade, _ in CASES), verdicts, strict=True)) == CASES


MORE = BEFORE + execute(
    "create index ix_posts_user on posts (user_id)",
    'create table plans (id int primary key, "limit" int, n int)',
    "create function fill_all() returns void language sql as 'update users set old = code'",
    "create procedure fill_proc() language sql as 'update users set old = code'",
)
ALL = "do $$ begin update users set old = code; end $$"
CHANGES = [
    (execute(ALL), "blocks"),
    (execute("select fill_all()"), "blocks"),
    (execute("set local lock_timeout = '5s'; update users set old = code"), "blocks"),
    (execute("select id from users for update"), "blocks"),
    (
        execute(
            "insert into users (id, email) select id, email from users "
            "on conflict (id) do update set old = excluded.code"
        ),
        "blocks",
    ),
    (execute("update posts set code = users.code from users where users.id = posts.user_id"), "blocks"),
    (execute("delete from posts using users where users.id = posts.user_id"), "blocks"),
    (
        execute(
            "merge into users u using posts p on p.user_id = u.id when matched then update set old = p.code"
        ),
        "blocks",
    ),
    (
        execute("with x as (select id from users) update posts set code = 1 from x where user_id = x.id"),
        "blocks",
    ),
    (execute("update users set old = code where id > 0"), "blocks"),
    (execute("lock table posts", "select count(*) from users"), "blocks"),
    (execute("lock table posts", "create table n as select id from users order by id"), "blocks"),
    (CONCURRENTLY + execute(ALL), "blocks"),
    (CONCURRENTLY + execute("call fill_proc()"), "blocks"),
    (
        CONCURRENTLY
        + execute(
            "update users set old = (select code from posts where user_id = users.id order by id limit 1)"
        ),
        "blocks",
    ),
    (CONCURRENTLY + execute('update plans set "limit" = 5'), "blocks"),
    (CONCURRENTLY + execute("update users set old = code -- no limit"), "blocks"),
    *(
        (
            CONCURRENTLY
            + execute(statement.format("(select id from users where id > 0 order by id limit 1000)")),
            "online",
        )
        for statement in (
            "update users set old = code where id in {}",
            "update users set old = code where id = any(array{})",
            "with b as {} update users set old = 1 from b where b.id = users.id",
            "with b as {} update users set old = 1 from b where b.id = users.id returning users.id",
        )
    ),
    (CONCURRENTLY + execute("update users set old = code where id >= 0 and id < 1000"), "online"),
    (
        CONCURRENTLY
        + execute('update users as "The u." set old = code where "The u.".id >= 0 and "The u.".id < 1000'),
        "online",
    ),
    (CONCURRENTLY + execute("update users set old = code where id >= 0 or id <> 1000 and old > 1"), "blocks"),
    (
        execute("update users set old = v.n from (values (1, 2), (3, 4)) v (id, n) where users.id = v.id"),
        "instant",
    ),
    (execute("update posts set code = 1 where user_id = 1"), "instant"),
    (execute("insert into posts (id, user_id, code) select id + 10, 1, 1 from users"), "scans"),
    (execute("insert into users (id, code) values (7, 1), (8, 1), (9, 1)"), "instant"),
    (execute("delete from posts where id = 5", "select 1 from users where id = 1"), "instant"),
]


@pytest.mark.parametrize(("upgrade", "word"), CHANGES)
def test_what_changes_rows_is_judged_by_the_rows(
    history: History, target: Connection, upgrade: str, word: str
) -> None:
    assert verdict(measured(history, target, upgrade, MORE)) == word


def test_not_null_reads_all_rows_of_a_table_that_made_up_rows_would_break(
    history: History, target: Connection
) -> None:
    revision = measured(history, target, 'op.alter_column("posts", "user_id", nullable=False)')
    assert use(revision, "posts").scans
    assert verdict(revision) == "blocks"


def test_a_validated_check_spares_the_scan_of_not_null(history: History, target: Connection) -> None:
    revision = measured(
        history,
        target,
        'op.alter_column("posts", "code", nullable=False)',
        BEFORE + execute("alter table posts validate constraint posts_code"),
    )
    assert use(revision, "posts").lock == "ACCESS EXCLUSIVE"
    assert verdict(revision) == "instant"


def test_locks_are_those_that_the_documentation_names(history: History, target: Connection) -> None:
    revision = measured(history, target, 'op.create_foreign_key("fk", "posts", "users", ["user_id"], ["id"])')
    assert {each.table.name: each.lock for each in revision.statements[0].uses} == {
        "users": "SHARE ROW EXCLUSIVE",
        "posts": "SHARE ROW EXCLUSIVE",
    }
    assert use(revision, "posts").scans


def test_what_no_transaction_holds_is_sampled_while_it_runs(history: History, target: Connection) -> None:
    revision = measured(
        history,
        target,
        CONCURRENTLY + 'op.create_index("ix", "users", ["email"], postgresql_concurrently=True)',
    )
    assert [each.seen for each in revision.statements] == ["sampled"]
    assert use(revision, "users").lock == "SHARE UPDATE EXCLUSIVE"
    assert use(revision, "users").scans


def test_what_a_transaction_can_hold_is_measured_in_an_autocommit_block(
    history: History, target: Connection
) -> None:
    revision = measured(
        history, target, CONCURRENTLY + 'op.execute("alter table users validate constraint users_code")'
    )
    assert [each.seen for each in revision.statements] == ["measured"]
    assert use(revision, "users") == Use(use(revision, "users").table, "SHARE UPDATE EXCLUSIVE", scans=True)


def test_batches_of_a_backfill_are_seen_because_tables_have_a_row(
    history: History, target: Connection
) -> None:
    backfill = """
with op.get_context().autocommit_block():
    bind = op.get_bind()
    while bind.execute(sa.text(
        "update users set old = 0 where id in (select id from users where old is null limit 1000)"
    )).rowcount:
        pass
"""
    revision = measured(history, target, backfill)
    assert len(revision.statements) == 2
    assert verdict(revision) == "online"


BLOCK = """
with op.get_context().autocommit_block():
    op.execute('''DO $$ DECLARE low int := 0; high int; BEGIN LOOP
        SELECT id INTO high FROM users WHERE id > low ORDER BY id OFFSET 499 LIMIT 1;
        UPDATE users SET old = 0 WHERE old IS NULL AND id > low AND id <= coalesce(high, 2147483647);
        COMMIT; EXIT WHEN high IS NULL; low := high;
    END LOOP; END $$''')
"""


def test_a_backfill_in_one_block_is_measured_without_its_commits(
    history: History, target: Connection
) -> None:
    revision = measured(history, target, BLOCK)
    (statement,) = revision.statements
    assert (statement.in_transaction, statement.seen) == (False, "measured")
    assert [(each.table.name, each.lock, each.scans) for each in statement.uses] == [
        ("users", "ROW EXCLUSIVE", False)
    ]
    assert [each.sentence for each in reasons(revision, lambda _: True)] == [
        "rows of users are changed in batches"
    ]


def test_a_plan_says_about_how_many_batches_a_backfill_has(
    history: History, target: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    history.add("before", None, BEFORE)
    command.upgrade(history.config(target), "head")
    target.exec_driver_sql("insert into users (id) select generate_series(1, 1201)")
    target.commit()
    history.add("after", "before", BLOCK)
    show(plans(history.config(target))[0])
    line = next(each for each in capsys.readouterr().out.splitlines() if "ROW EXCLUSIVE" in each)
    assert [each.strip() for each in line.split("│")[2:6]] == ["users", "ROW EXCLUSIVE", "3 batches", "1,201"]


def test_a_plan_names_the_triggers_that_only_the_database_at_hand_has(
    history: History, target: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    stamps = "create function stamp() returns trigger language plpgsql as 'begin return new; end'"
    fires = "create trigger {} before {} on users for each row execute function stamp()"
    history.add("before", None, BEFORE + execute(stamps, fires.format("ours", "update")))
    command.upgrade(history.config(target), "head")
    target.exec_driver_sql("create table heirs () inherits (users)")
    for name, events in (("theirs", "insert or update"), ("of_email", "update of email"), ("new", "insert")):
        target.exec_driver_sql(fires.format(name, events))
    target.exec_driver_sql(fires.format("of_old", "update of old").replace("users", "heirs"))
    target.exec_driver_sql(fires.format("off", "update"))
    target.exec_driver_sql("alter table users disable trigger off")
    target.commit()
    history.add("after", "before", execute("update users set old = 7 where old is null"))
    history.add("later", "after", execute("alter table posts add column n int"))
    put = "insert into users (id) values (1) on conflict (id) do update set email = 'x'"
    history.add("last", "later", execute(put))
    made = plans(history.config(target))[0]
    assert [each.notes for each in made.revisions] == [
        [
            "Trigger of_old on heirs, which no revision made, fires for each row that is changed.",
            "Trigger theirs on users, which no revision made, fires for each row that is changed.",
        ],
        [],
        [
            "Trigger new on users, which no revision made, fires for each row that is changed.",
            "Trigger of_email on users, which no revision made, fires for each row that is changed.",
            "Trigger theirs on users, which no revision made, fires for each row that is changed.",
        ],
    ]
    show(made)
    assert "  ! Trigger theirs on users, which no revision made, fires" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "fires"),
    [
        ("delete from users where id = 1", ["gone"]),
        ("insert into users (id) select 7", ["new"]),
        ("truncate users cascade", ["emptied"]),
        ("do 'begin delete from users; end'", ["gone"]),
        ("-- insert\ndo 'begin /* truncate */ execute $$delete from users$$; end'", ["gone"]),
        ("set local work_mem = '8MB'; delete from users where email <> 'insert'", ["gone", "new"]),
        ("select count(*) from users", []),
    ],
)
def test_a_plan_names_triggers_of_every_change(
    history: History, target: Connection, statement: str, fires: list[str]
) -> None:
    history.add("before", None, BEFORE)
    command.upgrade(history.config(target), "head")
    stamps = "create function stamp() returns trigger language plpgsql as 'begin return null; end'"
    target.exec_driver_sql(stamps)
    for name, event, each in (
        ("gone", "delete", "row"), ("new", "insert", "row"), ("emptied", "truncate", "statement"),
    ):  # fmt: skip
        trigger = f"create trigger {name} after {event} on users for each {each} execute function stamp()"
        target.exec_driver_sql(trigger)
    target.commit()
    history.add("after", "before", execute(statement))
    [revision] = plans(history.config(target))[0].revisions
    assert revision.notes == [
        f"Trigger {name} on users, which no revision made, fires for each row that is changed."
        for name in fires
    ]


def test_the_ends_of_transactions_are_seen_in_their_order(
    history: History, target: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        execute("alter table users add x int", "alter table users alter x set default 1")
        + "\nwith op.get_context().autocommit_block():\n    pass\n"
        + execute("alter table posts add x int", "COMMIT", "comment on table posts is 'texts'")
        + f"\n{CONCURRENTLY}op.execute('alter table posts validate constraint posts_code')"
        + "\n    op.execute('alter table users validate constraint users_code')"
    )
    revision = measured(history, target, body)
    assert [each.transaction for each in revision.statements] == [1, 1, 2, 2, 3, 4, 5]
    of_it = Pending(revision, reasons(revision, lambda _: True), ())
    show(Plan("any", [of_it], {}))
    lines = [each[2:] for each in capsys.readouterr().out.splitlines() if each[:1] in {"│", "├"}]
    firsts = ["├" if each.startswith("─") else each.split()[0] for each in lines]
    outside = ["├", "alter", "(outside"]
    assert firsts == ["alter", "alter", "├", "alter", "COMMIT", "├", "comment", *outside, *outside]


def test_no_lock_is_held_beyond_a_commit(history: History, target: Connection) -> None:
    strong, reads = "alter table users add x int", "alter table posts validate constraint posts_code"
    together = execute(strong) + "\n" + execute(reads)
    apart = execute(strong) + "\nwith op.get_context().autocommit_block():\n    pass\n" + execute(reads)
    assert verdict(measured(history, target, together)) == "blocks"
    assert verdict(measured(history, target, apart)) == "scans"


def test_rows_that_a_revision_refuses_are_no_obstacle(history: History, target: Connection) -> None:
    revision = measured(
        history, target, 'op.add_column("users", sa.Column("n", sa.Integer(), nullable=False))'
    )
    assert use(revision, "users").scans
    assert verdict(revision) == "blocks"


def test_columns_that_change_their_names_with_each_other_rename_nothing(
    history: History, target: Connection
) -> None:
    swap = execute(
        "alter table users rename old to old_int",
        "alter table users rename old_bigint to old",
        "alter table users drop column old_int",
    )
    revision = measured(
        history, target, swap, BEFORE + execute("alter table users add column old_bigint bigint")
    )
    assert (revision.dropped, revision.renamed) == ((), {})
    assert verdict(revision) == "instant"


def test_a_column_that_comes_back_empty_is_gone(history: History, target: Connection) -> None:
    again = execute("alter table users drop column old", "alter table users add column old bigint")
    revision = measured(history, target, again)
    assert revision.dropped == ("users.old",)
    said = "users.old is another column afterwards, with what the revision gave it"
    assert [each.sentence for each in reasons(revision, lambda _: False) if each.word == "destroys"] == [said]


def test_questions_to_the_catalog_are_left_out(history: History, target: Connection) -> None:
    revision = measured(history, target, 'sa.inspect(op.get_bind()).get_columns("users")')
    assert revision.statements == ()


def test_a_revision_that_fails_is_named_and_those_before_it_are_measured(
    history: History, target: Connection
) -> None:
    history.add("one", None, execute("create table one (id int)"))
    history.add("two", "one", execute("alter table nothing add x int"))
    config = history.config(target)
    found = measure(Revisions(config, ScriptDirectory.from_config(config)), target, [])
    assert [each.revision for each in found.revisions] == ["one"]
    assert "Revision two" in str(found.failure)


def test_parameters_are_shown_in_their_places(history: History, target: Connection) -> None:
    update = """op.get_bind().execute(sa.text("update users set email = '%' where id = :id"), {"id": 7})"""
    assert measured(history, target, update).statements[0].sql == "update users set email = '%' where id = 7"


def test_nothing_pending_is_said(migrated: Project) -> None:
    assert "No revision is pending." in migrated.ok("plinth", "plan")
    assert json.loads(migrated.ok("plinth", "plan", "--json"))["revisions"] == []


def test_a_plan_leaves_the_database_alone(project: Project, empty_url: URL) -> None:
    before = catalog(empty_url)
    plan = json.loads(project.ok("plinth", "plan", "--json"))
    assert [each["revision"] for each in plan["revisions"]] == REVISIONS
    assert {each["verdict"] for each in plan["revisions"]} == {"instant", "online"}
    assert catalog(empty_url) == before
    assert rows(empty_url, "select nspname from pg_namespace where nspname = 'plinth'") == []


@pytest.mark.slow
def test_rows_are_those_of_the_database_at_hand(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("x", HEAD, 'op.create_index("ix", "users", ["email"])')
    insert = "insert into users (created_at) select now() from generate_series(1, %s) returning 1"
    rows(clone_url, insert, 3)
    (small,) = json.loads(migrated.ok("plinth", "plan", "--json"))["revisions"]
    assert (small["verdict"], small["verdict_if_large"]) == ("instant", "blocks")
    rows(clone_url, insert, 12_000)
    (large,) = json.loads(migrated.ok("plinth", "plan", "--json"))["revisions"]
    assert large["verdict"] == "blocks"
    (table,) = large["statements"][0]["tables"]
    assert table == {
        "name": "users",
        "lock": "SHARE",
        "scans": True,
        "rewrites": False,
        "empties": False,
        "rows": 12_003,
        "rows_exact": True,
    }
    text = migrated.ok("plinth", "plan")
    assert "CREATE INDEX ix ON users (email)" in text
    assert "12,003" in text


def test_rows_of_a_renamed_table_are_found_by_its_name_of_now(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("x", HEAD, 'op.rename_table("users", "people")')
    migrated.write_revision("y", "x", 'op.create_index("ix", "people", ["email"])')
    rows(clone_url, "insert into users (created_at) values (now()) returning 1")
    plan = json.loads(migrated.ok("plinth", "plan", "--json"))
    (table,) = plan["revisions"][1]["statements"][0]["tables"]
    assert (table["name"], table["rows"]) == ("people", 1)


@pytest.mark.slow
def test_a_failing_revision_makes_the_plan_fail(migrated: Project) -> None:
    migrated.write_revision("x", HEAD, 'op.drop_table("nothing")')
    done = migrated.run("plinth", "plan")
    assert done.returncode == 1
    assert "nothing" in done.stdout


def test_without_a_scratch_database_there_is_no_plan(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("x", HEAD, 'op.create_index("ix", "users", ["email"])')
    nowhere = elsewhere(clone_url).render_as_string(hide_password=False)
    line = migrated.refused("plinth", "plan", DATABASE_URL=nowhere, PLINTH_HOME="/dev/null/nowhere")
    assert "scratch database" in line


def test_what_the_driver_is_told_is_not_instant(history: History, target: Connection) -> None:
    told = "op.get_bind().connection.cursor().execute('update users set old = old')"
    history.add("before", None, BEFORE)
    history.add("told", "before", told)
    found = plans(history.config(target))[0].revisions[-1]
    assert found.verdict == "unseen"
    assert "cursor() in line" in found.reasons[0].sentence
