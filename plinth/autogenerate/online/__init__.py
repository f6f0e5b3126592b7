"""A change for a busy database: `sequence` puts it into parts that hold nobody up.

They are found on the `way` from one schema to the other: `in_place`, `swaps` and `exchange` (a column's other
type; `keepers`, `new_enums`), `parts` (indexes, constraints), `partitions`, `checks`, `domain_checks`,
`kept_names`, `kept_tables`, `backfills`.
"""
