"""What is changed in a busy table: as models say it, and as plain Alembic writes it."""

from dataclasses import dataclass

BRANCHES = 1000  # rows

MODELS = """\
import uuid

from sqlalchemy import (
    BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Integer, UniqueConstraint, text
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Key = Integer  # of the accounts


class Base(DeclarativeBase):
    pass


class Branch(Base):
    __tablename__ = "branches"

    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = (
        # arguments
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    branch_id: Mapped[int | None]
    amount: Mapped[int]
    code: Mapped[str | None]
    # columns
"""

# A row is as long as those of applications are.
FILL = f"""
insert into branches (total) select 0 from generate_series(1, {BRANCHES});
insert into accounts (branch_id, amount, code)
select 1 + n % {BRANCHES}, n % 1000, md5(n::text) || md5((-n)::text) from generate_series(1, :rows) n;
"""  # noqa: S608 - a constant

# What refers to the accounts, each with as many rows.
_REFERRING = ("entries", "cards", "letters")
_REFERRING_MODELS = "".join(
    f"""

class {name.title()}(Base):
    __tablename__ = "{name}"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    account_id: Mapped[int] = mapped_column(Key, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
"""
    for name in _REFERRING
)
_REFERRING_FILL = "".join(
    f"insert into {name} (account_id) select n from generate_series(1, :rows) n;"  # noqa: S608 - constants
    for name in _REFERRING
)
_REFERRING_LOAD = (
    ("\\set id random(1, :rows)\nINSERT INTO entries (account_id) VALUES (:id);\n", 1),
    (
        "\\set id random(1, :rows)\nSELECT c.id, a.id, a.amount FROM cards c JOIN accounts a "
        "ON a.id = c.account_id WHERE c.account_id = :id;\n",
        2,
    ),
)


@dataclass(frozen=True)
class Change:
    """A change of the table accounts.

    Args:
        models: text of `MODELS`, and what stands there instead.
        plain: the body of the revision that plain Alembic writes (a check by hand: it doesn't see it).
        times: how many times the worst stall has to be below plain Alembic's; 0 for no such goal.
        is_unfelt: whether the worst stall must not be above twice that without any change.
        is_blocked: whether an idle transaction stands in its way.
        others: models of further tables.
        fill: their rows.
        load: what the application does with them, and how often.
    """

    models: tuple[str, str]
    plain: str
    times: int = 0
    is_unfelt: bool = False
    is_blocked: bool = False
    others: str = ""
    fill: str = ""
    load: tuple[tuple[str, int], ...] = ()


CHANGES = {
    "index": Change(
        ("# arguments", 'Index("ix_accounts_branch_id", "branch_id"),'),
        'op.create_index("ix_accounts_branch_id", "accounts", ["branch_id"])',
        times=25,
    ),
    "check": Change(
        ("# arguments", 'CheckConstraint("amount >= 0", name="ck_accounts_amount"),'),
        'op.create_check_constraint("ck_accounts_amount", "accounts", "amount >= 0")',
        times=25,
    ),
    "unique": Change(
        ("# arguments", 'UniqueConstraint("code", name="uq_accounts_code"),'),
        'op.create_unique_constraint("uq_accounts_code", "accounts", ["code"])',
        times=25,
    ),
    "foreign key": Change(
        (
            "# arguments",
            'ForeignKeyConstraint(["branch_id"], ["branches.id"], name="fk_accounts_branch_id_branches"),',
        ),
        'op.create_foreign_key("fk_accounts_branch_id_branches", "accounts", "branches", '
        '["branch_id"], ["id"])',
        is_unfelt=True,
    ),
    "NOT NULL": Change(
        ("branch_id: Mapped[int | None]", "branch_id: Mapped[int]"),
        'op.alter_column("accounts", "branch_id", existing_type=sa.Integer(), nullable=False)',
        is_unfelt=True,
    ),
    "required column": Change(
        (
            "# columns",
            'token: Mapped[uuid.UUID] = mapped_column(server_default=text("gen_random_uuid()"))',
        ),
        'op.add_column("accounts", sa.Column("token", sa.Uuid(), '
        'server_default=sa.text("gen_random_uuid()"), nullable=False))',
        times=25,
    ),
    "int to bigint": Change(
        ("amount: Mapped[int]", "amount: Mapped[int] = mapped_column(BigInteger)"),
        'op.alter_column("accounts", "amount", existing_type=sa.Integer(), type_=sa.BigInteger())',
    ),
    "key to bigint": Change(
        ("Key = Integer", "Key = BigInteger"),
        "\n".join(
            f'op.alter_column("{table}", "{column}", existing_type=sa.Integer(), type_=sa.BigInteger())'
            for table, column in (("accounts", "id"), *((name, "account_id") for name in _REFERRING))
        ),
        times=25,
        others=_REFERRING_MODELS,
        fill=_REFERRING_FILL,
        load=_REFERRING_LOAD,
    ),
    "behind an idle transaction": Change(
        ("# columns", "note: Mapped[str | None]"),
        'op.add_column("accounts", sa.Column("note", sa.String(), nullable=True))',
        is_blocked=True,
    ),
}
