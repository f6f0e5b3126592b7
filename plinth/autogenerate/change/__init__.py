"""What a change is made of, whatever kind of object it is about.

`steps` are operations with what they make, drop and need, which `order` puts in order. A `way` leads from
one schema to another, part by part, by `stages`. `parts` and `dependents` know what stands on a column,
`heirs` what tables inherit, `partitions` what these get first; `backfills` give rows their values.
`types`, `casts`, `expressions` and `quoting` know PostgreSQL's names for things and SQLAlchemy's,
`publications` what names columns, `belongings` what a database has on a table that another one takes the
place of. `refusals` are what can't be done without a word of the author's, `taken_names` one kind of them.
"""
