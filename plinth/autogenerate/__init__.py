"""Autogenerate: from the models to revisions that make the database exactly as they say.

Alembic calls it as one of its plug-ins (`plinth.alembic_plugin`). Data goes one way, room by room:

- `comparator`: where Alembic calls us, for a `comparison`.
- `compare`: reads the database and what the models mean, and asks.
- `change`: what a change is made of: steps and their order, a way and its stages.
- `objects`: a room for each kind of object: its steps, and its stages for a busy database.
- `online`: goes the way of a change by all stages, with what concerns several kinds.
- `write`: joins them to one revision, and a second one for what comes after the code.
- `directives`: gives these to Alembic, named, when they are proved (`prove`); says what makes queries wait
  (`waiting`).
"""
