"""Composition roots: each wires the same services for one way of running them."""
