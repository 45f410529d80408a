"""Conformance suites that ship with tunesmith: subclass one to verify that your part keeps the
contract.
"""
