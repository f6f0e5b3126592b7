"""A change for a busy database: `sequence` goes the way by the stages of all kinds, and by those from here.

Here stands what concerns several kinds of objects at once: a column's other type, where it stands
(`in_place`) or by a second column (`swaps`, `exchange`, `keepers`, `materialized`), a table whose place a
new one takes (`new_tables`), and old names that stay usable (`kept_names`, `kept_tables`). No list says
what comes first: each stage says what it needs.
"""
