"""A change for a busy database: `sequence` puts it into parts that hold nobody up.

They are found on the `way` from one schema to the other. There is a room for each kind of object (`columns`,
`constraints`, `indexes`, `enums`, `domains`, `others`, `tables`), and one for what concerns several of them:
`in_place` and `swaps` (a column's other type; `exchange`, `keepers`, `dependents`, `triggers`), `kept_names`,
`kept_tables`. Each says as `stages` what it does, and what that needs: no list says what comes first.
"""
