"""Puts this folder on the path, so that tests can import the builders that stand beside it."""
