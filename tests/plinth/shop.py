"""A made-up shop and the fifty changes that its team makes: what is in the models, and the rows that come."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

from app.naming import NAMING_CONVENTION

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


def new(message: str, source: str, rows: str) -> Step:
    return Step(message, [("", source)], rows)


def column(message: str, before: str, line: str, rows: str = "") -> Step:
    """Return a step that writes a line before the one that begins so."""
    return Step(message, [(f"    {before}", f"    {line}\n    {before}")], rows)


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
    new("create orders", ORDERS, "insert into orders (customer_id, status) values (1, 'new'), (2, 'paid')"),
    new("create order items", ITEMS, "insert into order_items values (1, 1, 3), (2, 2, 1)"),
    column(
        "add customers phone",
        CREATED,
        'sa.Column("phone", sa.String(20)),',
        "update customers set phone = '0' || id",
    ),
    column("index customers name", 'sa.UniqueConstraint("email")', 'sa.Index("ix_customers_name", "name"),'),
    edit(
        "unique products title",
        'sa.Column("title", sa.String(100), nullable=False)',
        'sa.Column("title", sa.String(100), nullable=False, unique=True)',
    ),
    column("add products description", STOCK, 'sa.Column("description", sa.Text),'),
    column(
        "add products weight",
        STOCK,
        'sa.Column("weight", sa.Numeric(6, 3), server_default=sa.text("0.5"), nullable=False),',
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
    column("check products price", STOCK, 'sa.CheckConstraint("price >= 0", name="price"),'),
    new(
        "create tags", TAGS, "insert into tags (word) values ('hot'); insert into product_tags values (1, 1)"
    ),
    column(
        "add products keywords",
        STOCK,
        'sa.Column("keywords", sa.ARRAY(sa.Text)),',
        "update products set keywords = array['a', 'b']",
    ),
    column(
        "index products keywords",
        STOCK,
        'sa.Index("ix_products_keywords", "keywords", postgresql_using="gin"),',
    ),
    column(
        "add products attributes",
        STOCK,
        'sa.Column("attributes", postgresql.JSONB, server_default=sa.text("\'{}\'"), nullable=False),',
    ),
    column(
        "index orders that are new",
        STATUS,
        'sa.Index("ix_orders_new", "placed_at", postgresql_where=sa.text("status = \'new\'")),',
    ),
    column(
        "index customers lower email",
        'sa.UniqueConstraint("email")',
        'sa.Index("ix_customers_lower", sa.text("lower(email)"), unique=True),',
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
    edit(
        "drop customers phone",
        '    sa.Column("phone", sa.String(20), comment="it\'s 100 % private"),\n',
        "",
    ),
    new("create reviews", REVIEWS, "insert into reviews (product_id, stars) values (1, 5), (2, 3)"),
    column(
        "add products shout",
        STOCK,
        'sa.Column("shout", sa.Text, sa.Computed("upper(description)", persisted=True)),',
    ),
    new("create invoices", INVOICES, "insert into invoices (order_id) values (1), (2)"),
    edit(
        "let reviews go with products",
        'sa.Column("product_id", sa.ForeignKey("products.id"), nullable=False)',
        'sa.Column("product_id", sa.ForeignKey("products.id", ondelete="CASCADE"), nullable=False)',
    ),
    edit("drop index of customers name", '    sa.Index("ix_customers_name", "name"),\n', ""),
    new("create suppliers", SUPPLIERS, "insert into warehouse.suppliers (name) values ('Tea & Co')"),
    column(
        "add products supplier",
        STOCK,
        'sa.Column("supplier_id", sa.ForeignKey("warehouse.suppliers.id")),',
        "update products set supplier_id = 1",
    ),
    column(
        "add customers postcode",
        CREATED,
        'sa.Column("zip", postgresql.DOMAIN("postcode", sa.Text, check="value ~ \'^[0-9]{5}$\'")),',
        "update customers set zip = '10115'",
    ),
    new(
        "create reservations",
        RESERVATIONS,
        "insert into reservations (during) values ('[2026-01-01, 2026-01-02)')",
    ),
    column(
        "unique invoices number",
        'sa.Column("order_id", sa.ForeignKey("orders.id"), nullable=False, index=True)',
        'sa.UniqueConstraint("number", deferrable=True, initially="DEFERRED"),',
    ),
    column("add order items note", QUANTITY, 'sa.Column("note", sa.String(40)),'),
    edit("widen products price", "sa.Numeric(8, 2)", "sa.Numeric(10, 2)"),
    edit("let products name be text", 'sa.Column("name", sa.String(200)', 'sa.Column("name", sa.Text'),
    edit(
        "rename order status paid to settled",
        'sa.Enum("new", "paid", "shipped", "lost", name="order_status"), nullable=False',
        'sa.Enum("new", "settled", "shipped", "lost", name="order_status"), nullable=False, '
        'info={"enum_renames": {"paid": "settled"}}',
    ),
    edit("remove order status lost", '"shipped", "lost"', '"shipped"'),
    column(
        "index orders of customers",
        STATUS,
        'sa.Index("ix_orders_customer", "customer_id", sa.text("placed_at DESC")),',
    ),
    new("show cheap products", VIEW, ""),
    edit("show cheaper products", "products.c.price < 10", "products.c.price < 5"),
    new(
        "create categories",
        CATEGORIES,
        "insert into categories (name, parent_id) values ('Food', null), ('Tea', 1)",
    ),
    column(
        "index reviews with what they say",
        'sa.CheckConstraint("stars between',
        'sa.Index("ix_reviews_product", "product_id", postgresql_include=["stars"]),',
    ),
    Step(
        "rename reviews said to words",
        [('sa.Column("said", sa.Text)', 'sa.Column("words", sa.Text, info={"renamed_from": "said"})')],
    ),
    edit("drop check of products price", '    sa.CheckConstraint("price >= 0", name="price"),\n', ""),
    edit(
        "require orders placed at",
        '"placed_at", sa.DateTime(timezone=True), server_default=sa.func.now())',
        '"placed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)',
    ),
    edit("drop reservations", RESERVATIONS, ""),
    edit("drop order items note", '    sa.Column("note", sa.String(40)),\n', ""),
]


def models(source: str) -> MetaData:
    """Return what a source of models means."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    exec(source, {"sa": sa, "postgresql": postgresql, "metadata": metadata})  # noqa: S102 - it's ours
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
