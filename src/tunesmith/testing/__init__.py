"""Conformance suites that ship with tunesmith: subclass one to prove that your part keeps the contract."""
