"""Reconciliation: what an insurer or the payment provider says it has, held against what we have, line by line."""
