"""The only SQL: what was measured, when, and where its files are. Entry point: `store.store.Store`.

Empty on purpose: importing SQLAlchemy takes a third of a second, too long for `tunesmith --help`.
"""
