"""Orders, payments, policies and cancellations."""
