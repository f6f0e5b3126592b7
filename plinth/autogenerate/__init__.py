"""Autogenerate: from the models to revisions that make the database exactly as they say.

Alembic calls it as one of its plug-ins (`plinth.alembic_plugin`). Data goes one way, room by room:

- `comparator`: where Alembic calls us; `comparison` is what it finds. It reads the database
  (`plinth.catalog`) and what the models mean (`models`),
- `prerequisites`, `baseline`: what models and revisions lean on and don't make; `revisions` runs these,
  `cache` keeps what was found out,
- `scope`, `filters`, `leaving`: leaves out what isn't ours, or isn't to be dropped yet,
- `hints`, `renames`, `questions`: tries the renames, and asks for the author's word where it is needed
  (`possible_renames`, `conversions`), for all at once (`refusals`),
- `difference`: finds operations, with a room for each kind of object: `tables`, `columns`, `constraints`,
  `indexes`, `sequences`, `enums`, `domains`, `others` (views, functions, triggers), as `steps`, and puts them
  in `order`,
- `online`: makes parts of it for a busy database, on the `way` from one schema to the other: `in_place`
  and `swaps` (another type; `new_enums`), `parts` (indexes, constraints), `checks`, `domain_checks`,
  `backfills`,
- `files`: joins them to one revision, and a second one for what comes after the code,
- `directives`: gives these to Alembic, named, `rendering` writes them, `proof` tries them.

`types`, `casts` and `quoting` know PostgreSQL's and SQLAlchemy's names for things.
"""
