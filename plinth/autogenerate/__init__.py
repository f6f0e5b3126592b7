"""Autogenerate: from the models to revisions that make the database exactly as they say.

Alembic calls it as one of its plug-ins (`plinth.alembic_plugin`). Data goes one way, room by room:

- `comparator`: where Alembic calls us, for a `comparison`.
- `compare`: reads the database and what the models mean, and asks.
- `objects`: finds operations, with a room for each kind of object, and puts them in order.
- `online`: makes parts of it for a busy database.
- `write`: joins them to one revision, and a second one for what comes after the code.
- `directives`: gives these to Alembic, named, when they are proved (`prove`).
"""
