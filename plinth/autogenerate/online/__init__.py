"""A change for a busy database: `sequence` puts it into parts that hold nobody up.

They are found on the `way` from one schema to the other: `in_place` and `swaps` (a column's other type;
`new_enums`), `parts` (indexes, constraints), `checks`, `domain_checks`, `backfills`.
"""
