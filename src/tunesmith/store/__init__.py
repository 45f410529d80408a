"""The only SQL: what was measured, when, and where its files lie. `store.store.Store` is the door.

Empty on purpose: SQLAlchemy costs a third of a second that `tunesmith --help` does not have.
"""
