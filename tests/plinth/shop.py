"""A made-up shop and the fifty changes that its team makes: what is in the models, and the rows that come."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

from app.naming import NAMING_CONVENTION
from tests.plinth.kinds.kind import also, first

BEGIN = """
customers = sa.Table(
    "customers", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(120), nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.UniqueConstraint("email"),
)
"""
PRODUCTS = """
products = sa.Table(
    "products", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(100), nullable=False),
    sa.Column("price", sa.Numeric(8, 2), nullable=False),
    sa.Column("stock", sa.Integer, server_default=sa.text("0"), nullable=False),
)
"""
ORDERS = """
orders = sa.Table(
    "orders", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer_id", sa.ForeignKey("customers.id", ondelete="CASCADE"), nullable=False),
    sa.Column("placed_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("status", sa.Enum("new", "paid", name="order_status"), nullable=False),
)
"""
ITEMS = """
items = sa.Table(
    "order_items", metadata,
    sa.Column("order_id", sa.ForeignKey("orders.id"), primary_key=True),
    sa.Column("product_id", sa.ForeignKey("products.id"), primary_key=True),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.CheckConstraint("quantity > 0", name="positive"),
)
"""
TAGS = """
tags = sa.Table(
    "tags", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("word", sa.String(30), nullable=False, unique=True),
)
product_tags = sa.Table(
    "product_tags", metadata,
    sa.Column("product_id", sa.ForeignKey("products.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)
"""
REVIEWS = """
reviews = sa.Table(
    "reviews", metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("product_id", sa.ForeignKey("products.id"), nullable=False),
    sa.Column("stars", sa.SmallInteger, nullable=False),
    sa.Column("said", sa.Text),
    sa.CheckConstraint("stars between 1 and 5", name="stars"),
)
"""
SUPPLIERS = """
suppliers = sa.Table(
    "suppliers", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    schema="warehouse",
)
"""
RESERVATIONS = """
reservations = sa.Table(
    "reservations", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("during", postgresql.TSTZRANGE, nullable=False),
    postgresql.ExcludeConstraint(("during", "&&"), name="reservations_no_overlap"),
)
"""
CATEGORIES = """
categories = sa.Table(
    "categories", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("parent_id", sa.ForeignKey("categories.id")),
)
"""
INVOICES = """
numbers = sa.Sequence("invoice_number", start=1000, metadata=metadata)
invoices = sa.Table(
    "invoices", metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("number", sa.Integer, numbers, server_default=numbers.next_value(), nullable=False),
    sa.Column("order_id", sa.ForeignKey("orders.id"), nullable=False, index=True),
)
"""
VIEW = """
cheap = sa.CreateView(
    sa.select(products.c.id, products.c.price).where(products.c.price < 10), "cheap", metadata=metadata
)
"""
TIDY = """
also(labels, '''CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN new.word := lower(new.word); RETURN new; END $$''')
also(labels, "CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON labels FOR EACH ROW EXECUTE FUNCTION tidy()")
"""
GUARD = """
also(reviews, "ALTER TABLE reviews ENABLE ROW LEVEL SECURITY")
also(reviews, "CREATE POLICY good ON reviews USING (stars > 2)")
"""
VISITS = """
visits = sa.Table(
    "visits", metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("customer_id", sa.ForeignKey("customers.id"), primary_key=True),
    postgresql_partition_by="RANGE (day)",
)
also(visits, "CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
also(visits, "CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
"""
VISITS_2025 = (
    "also(visits, "
    "\"CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')\")\n"
)
OFFERS = """
offers = sa.Table(
    "offers", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("percent", sa.Integer, nullable=False),
)
vouchers = sa.Table("vouchers", metadata, sa.Column("code", sa.Text), postgresql_inherits="offers")
"""
STARS = """
product_stars = sa.CreateView(
    sa.select(reviews.c.product_id, sa.func.avg(reviews.c.stars).label("stars")).group_by(
        reviews.c.product_id
    ),
    "product_stars", metadata=metadata, materialized=True,
)
also(metadata, "CREATE UNIQUE INDEX product_stars_once ON product_stars (product_id)")
"""
TAXED = """
first(metadata, '''CREATE FUNCTION taxed(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE
    AS 'SELECT n * 1.19' ''')
also(metadata, "CREATE VIEW taxed_products AS SELECT id, taxed(price) AS price FROM products")
"""
STORED = """
also(orders, "CREATE STATISTICS orders_together ON customer_id, placed_at FROM orders")
also(orders, "ALTER TABLE orders ALTER COLUMN customer_id SET STATISTICS 500")
"""
CITEXT = """
first(metadata, "CREATE EXTENSION IF NOT EXISTS citext")
"""
# What another application has in the same database.
THEIRS = """
create type their_mood as enum ('sad', 'glad');
create table theirs (id int primary key, mood their_mood);
create view their_sad as select id from theirs where mood = 'sad';
create function their_count() returns bigint language sql as 'select count(*) from theirs';
insert into theirs values (1, 'sad');
"""

# What only an administrator may make, where it isn't made by the revisions.
SCHEMAS = ("plinth", "warehouse")
EXTENSIONS = ("citext",)

# Takes away the rows that an earlier schema can't hold, on which a downgrade stops.
NEVER_BEFORE = """
update orders set status = 'new' where status = 'shipped';
update customers set zip = '10115', interests = '{tea}';
delete from order_items where line > 1;
"""


@dataclass(frozen=True)
class Step:
    """A change.

    Args:
        message: the revision's.
        edits: what is replaced in the models by what; "" stands for their end.
        rows: statements that put rows into what is new.
        x: the arguments of -x that it needs.
    """

    message: str
    edits: Sequence[tuple[str, str]]
    rows: str = ""
    x: Sequence[str] = ()


def new(message: str, source: str, rows: str = "") -> Step:
    return Step(message, [("", source)], rows)


def before(beginning: str, *lines: str) -> tuple[str, str]:
    """Return the edit that writes lines before the one that begins so."""
    return f"    {beginning}", "".join(f"    {line}\n" for line in lines) + f"    {beginning}"


def column(message: str, beginning: str, line: str, rows: str = "") -> Step:
    """Return a step that writes a line before the one that begins so."""
    return Step(message, [before(beginning, line)], rows)


def edit(message: str, old: str, wanted: str, *x: str, rows: str = "") -> Step:
    return Step(message, [(old, wanted)], rows, x)


QUANTITY = 'sa.Column("quantity"'
STOCK = 'sa.Column("stock"'
CREATED = 'sa.Column("created_at"'
STATUS = 'sa.Column("status"'

STEPS = [
    new(
        "create customers",
        BEGIN,
        "insert into customers (email, name) values ('ada@x.org', 'Ada'), ('bob@x.org', null)",
    ),
    new("create products", PRODUCTS, "insert into products (title, price) values ('Tea', 4.5), ('Pot', 30)"),
    new(
        "create orders and their items",
        ORDERS + ITEMS,
        "insert into orders (customer_id, status) values (1, 'new'), (2, 'paid');"
        "insert into order_items values (1, 1, 3), (2, 2, 1)",
    ),
    Step(
        "add customers phone, and index their name",
        [
            before(CREATED, 'sa.Column("phone", sa.String(20)),'),
            before('sa.UniqueConstraint("email")', 'sa.Index("ix_customers_name", "name"),'),
        ],
        "update customers set phone = '0' || id",
    ),
    Step(
        "add products description and weight, and unique title",
        [
            (
                'sa.Column("title", sa.String(100), nullable=False)',
                'sa.Column("title", sa.String(100), nullable=False, unique=True)',
            ),
            before(
                STOCK,
                'sa.Column("description", sa.Text),',
                'sa.Column("weight", sa.Numeric(6, 3), server_default=sa.text("0.5"), nullable=False),',
            ),
        ],
    ),
    edit(
        "ship orders",
        '"new", "paid"',
        '"new", "paid", "shipped", "lost"',
        rows="update orders set status = 'shipped' where id = 2",
    ),
    edit(
        "rename products title to name",
        'sa.Column("title", sa.String(100), nullable=False, unique=True)',
        'sa.Column("name", sa.String(100), nullable=False, unique=True, info={"renamed_from": "title"})',
    ),
    edit("widen products name", 'sa.Column("name", sa.String(100)', 'sa.Column("name", sa.String(200)'),
    edit(
        "require customers name",
        'sa.Column("name", sa.Text),\n    sa.Column("phone"',
        'sa.Column("name", sa.Text, nullable=False, info={"backfill": "email"}),\n    sa.Column("phone"',
    ),
    new(
        "create tags", TAGS, "insert into tags (word) values ('hot'); insert into product_tags values (1, 1)"
    ),
    Step(
        "add products keywords and attributes, and check their price",
        [
            before(STOCK, 'sa.CheckConstraint("price >= 0", name="price"),'),
            before(
                STOCK,
                'sa.Column("keywords", sa.ARRAY(sa.Text)),',
                'sa.Column("attributes", postgresql.JSONB, server_default=sa.text("\'{}\'")),',
                'sa.Column("released", sa.Text),',
                'sa.Index("ix_products_keywords", "keywords", postgresql_using="gin"),',
            ),
        ],
        "update products set keywords = array['a', 'b'], released = '2026-01-01'",
    ),
    Step(
        "index new orders and lower emails",
        [
            before(
                STATUS,
                'sa.Index("ix_orders_new", "placed_at", postgresql_where=sa.text("status = \'new\'")),',
            ),
            before(
                'sa.UniqueConstraint("email")',
                'sa.Index("ix_customers_lower", sa.text("lower(email)"), unique=True),',
            ),
        ],
    ),
    Step(
        "comment on customers",
        [
            ('sa.UniqueConstraint("email"),', 'sa.UniqueConstraint("email"),\n    comment="who buys",'),
            ('"phone", sa.String(20)', '"phone", sa.String(20), comment="it\'s 100 % private"'),
        ],
    ),
    edit(
        "default products stock one",
        '"stock", sa.Integer, server_default=sa.text("0")',
        '"stock", sa.Integer, server_default=sa.text("1")',
    ),
    edit("widen products stock", '"stock", sa.Integer', '"stock", sa.BigInteger'),
    Step(
        "let products released be a date",
        [
            (
                '"released", sa.Text',
                '"released", sa.Date, info={"using": "released::date", "using_back": "released::text"}',
            )
        ],
    ),
    Step(
        "rename tags to labels",
        [
            ('tags = sa.Table(\n    "tags", metadata,', 'labels = sa.Table(\n    "labels", metadata,'),
            (
                "nullable=False, unique=True),\n)\nproduct_tags",
                'nullable=False, unique=True),\n    info={"renamed_from": "tags"},\n)\nproduct_tags',
            ),
            ('"tags.id"', '"labels.id"'),
        ],
    ),
    new(
        "tidy labels",
        TIDY,
        "insert into labels (word) values ('COLD'); insert into product_tags select 2, max(id) from labels",
    ),
    edit(
        "tidy labels otherwise",
        "lower(new.word)",
        "trim(lower(new.word))",
        rows="update labels set word = word",
    ),
    edit(
        "drop customers phone",
        '    sa.Column("phone", sa.String(20), comment="it\'s 100 % private"),\n',
        "",
    ),
    Step(
        "create reviews, and add products shout",
        [
            ("", REVIEWS),
            before(STOCK, 'sa.Column("shout", sa.Text, sa.Computed("upper(description)", persisted=True)),'),
        ],
        "insert into reviews (product_id, stars) values (1, 5), (2, 3)",
    ),
    edit("shout louder", '"upper(description)"', "\"upper(description) || '!'\""),
    new("create invoices", INVOICES, "insert into invoices (order_id) values (1), (2)"),
    Step(
        "number invoices otherwise",
        [
            ('"invoice_number", start=1000', '"invoice_number", start=1000, increment=2'),
            ("sa.Identity(always=True)", "sa.Identity(cache=5)"),
        ],
        "insert into invoices (order_id) values (1)",
    ),
    Step(
        "let reviews go with products, and order items wait",
        [
            (
                'sa.Column("product_id", sa.ForeignKey("products.id"), nullable=False)',
                'sa.Column("product_id", sa.ForeignKey("products.id", ondelete="CASCADE"), nullable=False)',
            ),
            (
                'sa.ForeignKey("orders.id"), primary_key=True',
                'sa.ForeignKey("orders.id", deferrable=True, initially="DEFERRED"), primary_key=True',
            ),
            ('    sa.Index("ix_customers_name", "name"),\n', ""),
        ],
    ),
    new("guard reviews", GUARD, "insert into reviews (product_id, stars) values (1, 1)"),
    new("create suppliers", SUPPLIERS, "insert into warehouse.suppliers (name) values ('Tea & Co')"),
    column(
        "add products supplier",
        STOCK,
        'sa.Column("supplier_id", sa.ForeignKey("warehouse.suppliers.id")),',
        "update products set supplier_id = 1",
    ),
    Step(
        "move suppliers out of the warehouse",
        [
            ('    schema="warehouse",\n', '    info={"renamed_from": "warehouse.suppliers"},\n'),
            ('"warehouse.suppliers.id"', '"suppliers.id"'),
        ],
    ),
    column(
        "add customers postcode",
        CREATED,
        'sa.Column("zip", postgresql.DOMAIN("postcode", sa.Text, check="value ~ \'^[0-9]{5}$\'")),',
        "update customers set zip = '10115'",
    ),
    Step(
        "add customers interests and nick",
        [
            before(
                CREATED,
                'sa.Column("interests", sa.ARRAY(sa.Enum("tea", "pots", name="interest"))),',
                'sa.Column("nick", postgresql.CITEXT),',
            ),
            ("", CITEXT),
        ],
        "update customers set interests = '{tea,pots}', nick = 'Ada' || id",
    ),
    Step(
        "let postcodes be shorter, and cups be of interest",
        [("[0-9]{5}", "[0-9]{4,5}"), ('"tea", "pots"', '"tea", "pots", "cups"')],
        "update customers set zip = '1011', interests = '{cups}' where id = 1",
    ),
    new(
        "create reservations",
        RESERVATIONS,
        "insert into reservations (during) values ('[2026-01-01, 2026-01-02)')",
    ),
    Step(
        "unique invoices number, and order items note",
        [
            before(
                'sa.Column("order_id", sa.ForeignKey("orders.id"), nullable=False, index=True)',
                'sa.UniqueConstraint("number", deferrable=True, initially="DEFERRED"),',
            ),
            before(QUANTITY, 'sa.Column("note", sa.String(40)),'),
        ],
    ),
    Step(
        "widen products price, and let the name be text",
        [
            ("sa.Numeric(8, 2)", "sa.Numeric(10, 2)"),
            ('sa.Column("name", sa.String(200)', 'sa.Column("name", sa.Text'),
        ],
    ),
    edit(
        "rename order status paid to settled",
        'sa.Enum("new", "paid", "shipped", "lost", name="order_status"), nullable=False',
        'sa.Enum("new", "settled", "shipped", "lost", name="order_status"), nullable=False, '
        'info={"enum_renames": {"paid": "settled"}}',
    ),
    edit("remove order status lost", '"shipped", "lost"', '"shipped"'),
    Step(
        "let customers be many",
        [
            (
                '"customers", metadata,\n    sa.Column("id", sa.Integer',
                '"customers", metadata,\n    sa.Column("id", sa.BigInteger',
            )
        ],
        x=("rewrite=customers.id", "rewrite=orders.customer_id"),
    ),
    Step(
        "index orders of customers, and reviews",
        [
            before(STATUS, 'sa.Index("ix_orders_customer", "customer_id", sa.text("placed_at DESC")),'),
            before(
                'sa.CheckConstraint("stars between',
                'sa.Index("ix_reviews_product", "product_id", postgresql_include=["stars"]),',
            ),
        ],
    ),
    new("show cheap products", VIEW),
    edit("show cheaper products", "products.c.price < 10", "products.c.price < 5"),
    new(
        "create visits and offers",
        VISITS + OFFERS,
        "insert into visits values ('2025-12-31', 1), ('2026-01-01', 1);"
        "insert into offers (percent) values (5); insert into vouchers (percent, code) values (10, 'X')",
    ),
    Step(
        "add visits page and offers note",
        [
            before(
                'postgresql_partition_by="RANGE (day)"',
                'sa.Column("page", sa.Text, index=True),',
            ),
            before('sa.Column("percent"', 'sa.Column("note", sa.Text),'),
        ],
        "update visits set page = '/'; update offers set note = 'now'",
    ),
    edit("forget visits of 2025", VISITS_2025, "", "drop=visits_2025"),
    Step(
        "create categories, and rename reviews said to words",
        [
            ("", CATEGORIES),
            ('sa.Column("said", sa.Text)', 'sa.Column("words", sa.Text, info={"renamed_from": "said"})'),
        ],
        "insert into categories (name, parent_id) values ('Food', null), ('Tea', 1)",
    ),
    new("sum up stars", STARS),
    new("show taxed products", TAXED),
    Step(
        "tax by the piece",
        [
            ("taxed(n numeric) RETURNS", "taxed(n numeric, pieces bigint) RETURNS"),
            ("'SELECT n * 1.19'", "'SELECT n * pieces * 1.19'"),
            ("taxed(price) AS price", "taxed(price, stock) AS price"),
        ],
    ),
    Step(
        "key order items by line",
        [before(QUANTITY, 'sa.Column("line", sa.Integer, primary_key=True, server_default="1"),')],
        "insert into order_items (order_id, product_id, line, quantity) values (1, 1, 2, 9)",
    ),
    Step(
        "store orders otherwise",
        [
            (
                'name="order_status"), nullable=False, info={"enum_renames": {"paid": "settled"}}),\n',
                'name="order_status"), nullable=False),\n'
                '    postgresql_with={"fillfactor": "80"},\n    comment="of all times",\n',
            ),
            ("", STORED),
        ],
    ),
    Step(
        "require orders placed at, and no check of products price",
        [
            (
                '"placed_at", sa.DateTime(timezone=True), server_default=sa.func.now())',
                '"placed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)',
            ),
            ('    sa.CheckConstraint("price >= 0", name="price"),\n', ""),
        ],
    ),
    Step(
        "drop reservations, order items note and cheap products",
        [(RESERVATIONS, ""), ('    sa.Column("note", sa.String(40)),\n', ""), (VIEW.replace("10", "5"), "")],
        x=("drop=cheap", "drop=reservations"),
    ),
    Step(
        "drop tags",
        [
            (
                TAGS.replace(
                    'tags = sa.Table(\n    "tags", metadata,',
                    'labels = sa.Table(\n    "labels", metadata,',
                    1,
                )
                .replace("unique=True),\n)", 'unique=True),\n    info={"renamed_from": "tags"},\n)')
                .replace('"tags.id"', '"labels.id"'),
                "",
            ),
            (TIDY.replace("lower(new.word)", "trim(lower(new.word))"), ""),
        ],
        x=("drop=labels", "drop=product_tags", "drop=tidy"),
    ),
]

# What code that runs would notice: lint wants the author's reason in the file.
NOTICED = {
    *("rename products title to name", "rename tags to labels", "move suppliers out of the warehouse"),
    *("create categories, and rename reviews said to words", "rename order status paid to settled"),
    *("add customers postcode", "let postcodes be shorter, and cups be of interest"),  # a domain's check
}


def models(source: str) -> MetaData:
    """Return what a source of models means."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    names = {"sa": sa, "postgresql": postgresql, "metadata": metadata, "also": also, "first": first}
    exec(source, names)  # noqa: S102 - it's ours
    return metadata


def after(source: str, step: Step) -> str:
    """Return the models' source after a step."""
    for old, wanted in step.edits:
        if not old:
            source += wanted
        else:
            assert source.count(old) == 1, (step.message, source.count(old), old)
            source = source.replace(old, wanted)
    return source
