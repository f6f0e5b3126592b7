"""What a column has, whoever made it, is there when another column has taken its place."""
# ruff: noqa: S608 - SQL made of constants

import secrets
import subprocess
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, MetaData
from sqlalchemy.engine import URL

from tests.plinth.history import do, rows
from tests.plinth.judge import difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write
from tests.plinth.test_what_a_table_has import go, head, with_roles

READER = f"plinth_{secrets.token_hex(4)}"
FILL = """
    insert into shops select n from generate_series(1, 50) n;
    insert into goods (code, price, weight, shop_id)
    select 'code ' || n, n, n, 1 + n % 50 from generate_series(1, 2000) n;
    insert into orders (good_id) select id from goods;
    """
OF_MODELS = (
    "create function stamp() returns trigger language plpgsql as $$ begin return new; end $$",
    "create trigger stamp before update of price on goods for each row execute function stamp()",
    "create trigger every before insert or update on goods "
    "for each row when (new.price > 3) execute function stamp()",
    "create statistics of_goods on price, weight from goods",
    "create policy all_of_them on goods using (price > -1)",
    "create view dear as select id, price from goods where price > 1",
    "create materialized view sums as select sum(price) from goods",
)
BY_HAND = (
    "comment on column goods.price is 'in cents'",
    "comment on column goods.id is 'a number'",
    "comment on constraint pk_goods on goods is 'the key'",
    "comment on constraint goods_shop_id_id on goods is 'unique in a shop'",
    "comment on constraint ck_goods_price on goods is 'no debts'",
    "comment on constraint fk_orders_good_id_goods on orders is 'its good'",
    "comment on index ix_goods_price is 'by price'",
    "comment on index pk_goods is 'index of the key'",
    "comment on sequence goods_id_seq is 'numbers'",
    "comment on policy all_of_them on goods is 'all'",
    "comment on trigger stamp on goods is 'stamps'",
    "comment on statistics of_goods is 'both'",
    "comment on view dear is 'not cheap'",
    "comment on column dear.price is 'high'",
    "comment on materialized view sums is 'it''s all'",
    "comment on column sums.sum is 'of all'",
    "alter index ix_goods_price set (fillfactor = 72)",
    "alter index pk_goods set (fillfactor = 73)",
    "alter index goods_abs alter column 1 set statistics 75",
    "alter table goods alter price set statistics 200, alter price set (n_distinct = 5)",
    "alter table goods alter id set statistics 201, alter id set (n_distinct = 6)",
    "alter table goods alter weight set storage external",
    "alter table goods alter weight set compression pglz",
    "alter statistics of_goods set statistics 300",
    "alter table goods replica identity using index goods_shop_id_id",
    "alter table goods cluster on ix_goods_price",
    "alter table goods enable always trigger stamp, enable replica trigger every",
    "alter sequence goods_id_seq increment 3 cache 2",
    "create sequence goods_extra owned by goods.price",
    f"create role {READER}",
    f"grant select on goods, dear, sums to {READER}",
    f"grant update (price), select (id) on goods to {READER}",
    f"grant usage on sequence goods_id_seq to {READER}",
    "alter view dear set (security_barrier = true)",
    "alter view dear alter price set default 7",
    "alter materialized view sums set (fillfactor = 74)",
)


def models(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return shops, goods and orders with keys and prices of a type."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", kind, sa.Identity(always=True), primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("price", kind, nullable=False, index=True, server_default="0"),
        sa.Column("weight", sa.Numeric(10, 2 if kind is sa.Integer else 3)),
        sa.Column("shop_id", sa.ForeignKey("shops.id", ondelete="CASCADE"), nullable=False),
        sa.Index("goods_abs", sa.text("abs(price)")),
        sa.UniqueConstraint("shop_id", "id", name="goods_shop_id_id"),
        sa.CheckConstraint("price > -100", name="price"),
    )
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("good_id", kind, sa.ForeignKey("goods.id", ondelete="CASCADE"), index=True),
    )
    for statement in OF_MODELS:
        also(metadata, statement)
    return metadata


@pytest.fixture
def url(empty_engine: Engine) -> Iterator[URL]:
    """A database to which a role belongs that goes with it."""
    yield from with_roles(empty_engine.url, READER)


@pytest.mark.parametrize("printed", [False, True])
def test_it_is_there_when_another_column_takes_the_place(
    project: Project, empty_engine: Engine, url: URL, *, printed: bool
) -> None:
    history = begun(project, empty_engine, models(sa.Integer), FILL)
    first = head(url)
    write(history, empty_engine, models(sa.BigInteger))
    for statement in BY_HAND:
        do(url, statement)
    before = dump(url, owners=True)
    go(history, empty_engine, "head", printed=printed)
    after = dump(url, owners=True)
    assert [name.partition(";")[0] for name in sorted(before) if before[name] != after.get(name)] == [
        "Name: goods",
        "Name: orders",
    ]
    go(history, empty_engine, first, printed=printed)
    assert difference(before, dump(url, owners=True)) == ""


LOOSE, N = '"loose % :x"', '"100% : n"'
ONE = f"insert into {LOOSE} ({N}) values (1)"


def loose(kind: type[sa.types.TypeEngine[int]], *, said: bool = False) -> MetaData:
    """Return a table with odd names, a view and indexes; something is said of all of them, if `said`."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    few = "id < 99 and " + N.replace(":", "\\:") + " < 99"
    sa.Table(
        "loose % :x",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("100% : n", kind, comment="it's what" if said else None),
        sa.CheckConstraint(few, name="few", comment="few" if said else None),
        sa.Index("of 100%", "100% : n", postgresql_with={"fillfactor": 70} if said else {}),
    )
    also(metadata, f"create view seen as select {N} from {LOOSE}")
    also(metadata, f"create policy p on {LOOSE} using ({N} > 0)")
    for comment in ("view seen is 'seen'", f"policy p on {LOOSE} is 'positive'") if said else ():
        also(metadata, f"comment on {comment}")
    return metadata


@pytest.mark.parametrize("printed", [False, True])
def test_what_the_models_say_anew_together_with_a_type_holds(
    project: Project, empty_engine: Engine, *, printed: bool
) -> None:
    url = empty_engine.url
    history = begun(
        project, empty_engine, loose(sa.Integer, said=True), f"insert into {LOOSE} ({N}) values (1)"
    )
    first, before = head(url), dump(url)
    write(history, empty_engine, loose(sa.BigInteger))
    go(history, empty_engine, "head", printed=printed)
    assert not [each for each in dump(url).values() if "COMMENT ON" in each or "fillfactor" in each]
    go(history, empty_engine, first, printed=printed)
    assert difference(before, dump(url)) == ""


def test_what_a_revision_takes_away_is_gone(project: Project, empty_engine: Engine, url: URL) -> None:
    """By words of its own, behind all that makes the view anew."""
    history = begun(project, empty_engine, loose(sa.Integer), ONE)
    first, *_ = write(history, empty_engine, loose(sa.BigInteger))
    [file] = history.folder.glob(f"versions/{first}_*.py")
    start, made, rest = file.read_text().partition("CREATE VIEW seen")
    view, following, rest = rest.partition("\n    op.")
    says = f"ALTER VIEW seen OWNER TO CURRENT_USER; REVOKE ALL ON seen FROM {READER}"
    file.write_text(f'{start}{made}{view}\n    op.execute("{says}"){following}{rest}')
    do(url, f"create role {READER}; grant select on seen to {READER}; alter view seen owner to {READER}")
    do(url, "comment on view seen is 'by hand'")
    go(history, empty_engine, "head", printed=False)
    has = f"has_table_privilege('{READER}', oid, 'select'), relowner::regrole::text = current_user"
    asked = f"select {has}, obj_description(oid) from pg_class where relname = 'seen'"
    assert rows(url, asked) == [(False, True, "by hand")]


def optioned(kind: type[sa.types.TypeEngine[int]], *columns: str) -> MetaData:
    """Return a table with an index and a view, each with an option, the view with further columns."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    index = sa.Index("ix", "n", postgresql_with={"fillfactor": 70})
    sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", kind), index)
    selected = ", ".join(["id", "n", *columns])
    also(metadata, f"create view v with (security_barrier = true) as select {selected} from t")
    return metadata


@pytest.mark.parametrize("printed", [False, True])
def test_an_option_beside_known_ones_stays_and_a_comment_on_what_goes_is_named(
    project: Project,
    empty_engine: Engine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    *,
    printed: bool,
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, optioned(sa.Integer, "1 as gone"), "insert into t (n) values (1)")
    write(history, empty_engine, optioned(sa.BigInteger))
    do(url, "alter view v set (check_option = local); alter index ix set (deduplicate_items = off)")
    do(url, "comment on column v.n is 'by hand'; comment on column v.gone is 'by hand'")
    go(history, empty_engine, "head", printed=printed)
    asked = "select relname, reloptions from pg_class where relname in ('ix', 'v') order by 1"
    assert rows(url, asked) == [
        ("ix", ["fillfactor=70", "deduplicate_items=off"]),
        ("v", ["security_barrier=true", "check_option=local"]),
    ]
    assert rows(url, "select col_description('v'::regclass, 2)") == [("by hand",)]
    assert "column public.v.gone IS 'by hand'" in (capfd.readouterr().err if printed else caplog.text)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (f"create unique index ours on {LOOSE} ({N})", f"index ours stands on {LOOSE}.{N}"),
        (f"alter table {LOOSE} alter {N} set not null", f"NOT NULL of table {LOOSE} stands on {LOOSE}.{N}"),
        (f"create view ours as select {N} from {LOOSE}", "rule _RETURN on view ours stands on"),
        (
            "create rule ours as on insert to seen do instead nothing",
            "rule ours on view seen: no revision knows",
        ),
    ],
)
def test_what_no_revision_knows_stops_what_is_printed(
    project: Project, empty_engine: Engine, capfd: pytest.CaptureFixture[str], made: str, named: str
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, loose(sa.Integer), ONE)
    write(history, empty_engine, loose(sa.BigInteger))
    do(url, made)
    with pytest.raises(subprocess.CalledProcessError):
        go(history, empty_engine, "head", printed=True)
    assert named in capfd.readouterr().err
    assert rows(url, f"select {N}, pg_typeof({N})::text from {LOOSE}") == [(1, "integer")]
