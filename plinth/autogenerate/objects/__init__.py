"""The kinds of objects, a room for each: what is particular to making, changing and dropping it.

`tables`, `columns`, `constraints`, `indexes`, `sequences`, `enums`, `domains`, and `others` (views,
functions, triggers and the like) yield `steps`; `difference` gathers them, and `order` puts them in order.
`heirs` knows what tables inherit; `types`, `casts`, `expressions` and `quoting` know PostgreSQL's names for
things and SQLAlchemy's; `refusals` are what can't be done without a word of the author's.
"""
