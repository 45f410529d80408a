"""Conformance suites that ship with tunesmith: subclass one in your tests to prove that your part keeps the contract."""
