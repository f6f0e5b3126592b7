"""How constraints and indexes are named, by the models and by revisions that leave a name out.

Migrations ask for it without the models: it imports nothing.
"""

# Every constraint has a name, so that a migration can drop it. All columns stand in it: two constraints on
# one table that share their first column have names of their own.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
