"""What is compared, and what is asked before anything is written.

`models` makes the schema that the models mean, in their own `wording`, and `hints` reads what they say of a
change. `scope`, `filters` and `leaving` leave out what isn't ours, or isn't to be dropped yet. `renames`
tries renames; `questions` asks for the author's word where it is needed (`possible_renames`, `conversions`,
`filling`, `referring`), also of rows, which may be `hidden`. `readings` knows what backfills read. `drift` is
what somebody has changed by hand in the database; `plugins` asks others what is left, and `unimported` looks
for models that nobody has imported.
"""
