"""Twins of what orders depend on, in memory and told how to behave; for tests.

``outside`` insurers and a payment provider with books of their own · ``memory`` the store.
"""
