"""A kill at any moment inside of a file of many steps, up and down: the end is that of an undisturbed run."""
# ruff: noqa: S608 - SQL made of constants

import argparse
import itertools
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine
from sqlalchemy.pool import NullPool

from plinth.status import WRONG, Status, status
from tests.plinth.history import catalog, heads, leftovers, psql, rows, start
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.test_kills import Scene, patience, scene, strike

__all__ = ["scene"]  # the fixture: a server that may crash

UP, DOWN = ("alembic", "upgrade", "head"), ("alembic", "downgrade", "-2")
TYPED: dict[tuple[str, ...], str] = {UP: "alembic upgrade head", DOWN: "alembic downgrade -1"}
MOST = 0.1  # seconds behind a point: what comes after it has begun by then
Point = tuple[str, int]  # a revision, and how many of its steps are done
POINTS = """
    select revision, max(number) from plinth.points where number > 0 group by revision order by revision
    """
# What the history's own look at the catalog leaves out.
ALSO = """
    select 'enum', enumtypid::regtype::text, string_agg(enumlabel, ',' order by enumsortorder), ''
    from pg_enum group by enumtypid
    union all select 'trigger', tgrelid::regclass::text, tgname, '' from pg_trigger where not tgisinternal
    union all select 'function', proname, '', '' from pg_proc where pronamespace = 'public'::regnamespace
    union all select 'default', adrelid::regclass::text, attname, pg_get_expr(adbin, adrelid)
    from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
    where adrelid::regclass::text in ('users', 'posts')
    order by 1, 2, 3
    """


def models(*, new: bool) -> MetaData:
    """Return users and posts, before and after all the changes of one file."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    of_users: list[sa.Column[Any]] = []
    of_posts: list[Any] = [sa.Column("author_id", sa.Integer), sa.Column("title", sa.String(50))]
    if new:
        required = {"backfill": "case when id % 2 = 0 then 'CH' else 'FR' end"}
        of_users = [sa.Column("country", sa.String(2), nullable=False, info=required)]
        of_posts = [
            sa.Column("author_id", sa.ForeignKey("users.id"), index=True),
            sa.Column("title", sa.String(50), unique=True),
            sa.CheckConstraint("likes >= 0", name="likes_not_negative"),
        ]
    values = ["draft", "sent"] if new else ["draft", "queued", "sent"]
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *of_users)
    sa.Table(
        "posts",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("state", sa.Enum(*values, name="post_state"), nullable=False),
        sa.Column("likes", sa.BigInteger if new else sa.Integer, server_default="0", nullable=False),
        *of_posts,
    )
    return metadata


@dataclass
class OneFile:
    """A change that autogenerate wrote into one file, and one for what comes after the code.

    Args:
        scene: a server that may crash, with the database before the change, full of rows.
        first: the revision before the change.
        files: those of the change.
        totals: of how many steps status has spoken, by revision.
    """

    scene: Scene
    first: str
    files: tuple[str, str]
    totals: dict[str, set[int]] = field(default_factory=dict)

    def run(self, words: tuple[str, ...]) -> None:
        """Run a command to its end, in this process."""
        config = self.scene.history.config(create_engine(self.scene.url, poolclass=NullPool))
        with patience():
            if words == UP:
                command.upgrade(config, "head")
            else:
                command.downgrade(config, self.first)

    def state(self) -> tuple[object, ...]:
        """Return what must be as after an undisturbed run; fail when anything is left over."""
        url = self.scene.url
        assert leftovers(url) == []
        for name in ("points", "unfinished"):
            assert rows(url, f"select * from plinth.{name}") == []
        assert not self.status().problems
        content = [
            rows(url, f"select count(*), md5(string_agg(to_jsonb(t)::text, ',' order by id)) from {name} t")
            for name in ("users", "posts")
        ]
        return catalog(url), rows(url, ALSO), content, heads(url)

    def status(self) -> Status:
        """Return what status says."""
        return status(self.scene.history.config(create_engine(self.scene.url, poolclass=NullPool)))

    def points(self, words: tuple[str, ...]) -> list[Point]:
        """Run a command undisturbed, in a process of its own; return the points that were seen meanwhile."""
        process = start(self.scene.project, *words)
        seen: dict[Point, None] = {}
        with psql(self.scene.url) as connection:
            while process.poll() is None:
                seen |= dict.fromkeys(connection.execute(POINTS).fetchall())
        printed = process.communicate()[0]
        assert process.returncode == 0, printed
        return list(seen)

    def look(self, words: tuple[str, ...]) -> list[Point]:
        """See that status says of a killed command what the database says; return the point it stands at."""
        assert leftovers(self.scene.url) == []
        points = rows(self.scene.url, POINTS)
        found = self.status()
        said = {each.name: each.message for each in found.problems if each.kind == "interrupted"}
        unfinished = {name for (name,) in rows(self.scene.url, "select revision from plinth.unfinished")}
        assert set(said) == {revision for revision, _ in points} | unfinished
        (head,) = heads(self.scene.url)
        order = (self.first, *self.files)
        assert tuple(found.pending) == order[order.index(head) + 1 :]
        for revision, last in points:
            assert found.exit_code == WRONG
            onward, back = TYPED[words], TYPED[DOWN if words == UP else UP]
            step = re.fullmatch(
                rf"Revision {revision} stands half-way, behind step {last}( of (?P<all>\d+))? of its "
                rf"{words[1]}. To go on: {onward}. To take back what is done: {back}",
                said[revision],
            )
            assert step, said[revision]
            if step["all"]:
                assert last <= int(step["all"])
                self.totals.setdefault(revision, set()).add(int(step["all"]))
        return points


def write(scene: Scene, size: int) -> OneFile:
    """Make the tables and their rows, and let autogenerate write the change."""
    engine = create_engine(scene.url, poolclass=NullPool)
    for new, message in ((False, "create users and posts"), (True, "add users country and links of posts")):
        config = scene.history.config(engine)
        config.attributes["target_metadata"] = models(new=new)
        config.cmd_opts = argparse.Namespace(x=[])
        command.revision(config, message, autogenerate=True)
        if not new:
            command.upgrade(scene.history.config(engine), "head")
    with psql(scene.url) as connection:
        connection.execute(f"insert into users select n from generate_series(1, {size}) n")
        connection.execute(
            "insert into posts (id, state, likes, author_id, title) select n, "
            "(array['draft', 'sent'])[1 + n % 2]::post_state, n % 97, n, md5(n::text) "
            f"from generate_series(1, {size}) n"
        )
    script = ScriptDirectory.from_config(scene.history.config())
    after, file, first = [each.revision for each in script.walk_revisions()]
    return OneFile(scene, first, (file, after))


def kill(one: OneFile, words: tuple[str, ...], point: Point, chance: random.Random) -> None:
    """Run a command, and kill a part of it at a random moment behind a point."""
    process = start(one.scene.project, *words)
    revision, number = point
    sql = "select 1 from plinth.points where revision = %s and number >= %s"
    with psql(one.scene.url) as connection:
        while process.poll() is None and not connection.execute(sql, [revision, number]).fetchone():
            time.sleep(0.001)
    time.sleep(chance.uniform(0, MOST))
    strike(one.scene, process, words, chance)


def trials(one: OneFile, number: int, seed: int) -> Iterator[Point]:
    """Kill upgrades and downgrades, and run each again; yield the points at which they stood.

    Every fifth time the opposite command is run instead: it takes back what was done. Every other time nobody
    waits before for what the server still does.
    """
    before = one.state()
    points: dict[tuple[str, ...], list[Point]] = {}
    wanted: dict[tuple[str, ...], object] = {}
    for words in (UP, DOWN):
        points[words] = [(one.files[0], 0), *one.points(words)]
        wanted[words] = one.state()
    assert wanted[DOWN] == before
    chance = random.Random(seed)  # noqa: S311 - the same moments in every run
    turns = {words: itertools.cycle(each) for words, each in points.items()}
    is_up = False
    for trial in range(number):
        words, other = (DOWN, UP) if is_up else (UP, DOWN)
        kill(one, words, next(turns[words]), chance)
        goes_back = trial % 5 == 4
        if goes_back or trial % 2:
            yield from one.look(words)
        one.run(other if goes_back else words)
        assert one.state() == wanted[other if goes_back else words]
        is_up = (other if goes_back else words) == UP


@pytest.mark.slow
def test_fifty_kills(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    one = write(scene, 5_000)
    stood = list(trials(one, 50, seed=1))
    record_property("points at which killed commands stood", f"{len(set(stood))}: {sorted(set(stood))}")
    assert len(set(stood)) >= 5  # how many there are is a matter of the machine's speed
    assert all(len(each) == 1 for each in one.totals.values())
