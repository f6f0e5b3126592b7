"""The kinds of objects, a room for each: all that is particular to one.

`tables`, `columns`, `constraints`, `indexes`, `sequences`, `enums`, `domains`, and `others` (views,
functions, triggers and the like) say when an object is made, altered, dropped, made anew or refused, by
`steps`, and how a busy database doesn't feel it, as `STAGES`. `difference` gathers the steps.
"""
