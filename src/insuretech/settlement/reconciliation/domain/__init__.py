"""The rules of reconciliation, pure: cells, numbers, columns, matching, and the life of a discrepancy."""
