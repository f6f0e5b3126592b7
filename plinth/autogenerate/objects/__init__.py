"""The kinds of objects, a room for each: all that is particular to one.

`tables` and their `partitions`, `columns`, their `values` and NOT NULL (`not_null`, `not_null_names`),
`constraints` and `foreign_keys`, `indexes`, `sequences`, `enums`, `domains`, and `others` (views, functions,
triggers and the like) say when an object is made, altered, dropped, made anew or refused, by `steps`, and how
a busy database doesn't feel it, as `STAGES`. `keys` lets indexes and constraints take each other's places,
`triggers` knows which fire for rows that get values, `row_triggers` gives values to those that are written
meanwhile, `said_anew` knows of what models say less than before, and `difference` gathers the steps.
"""
