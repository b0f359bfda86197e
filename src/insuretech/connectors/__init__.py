"""Adapters to the outside world: one file per insurer dialect, one for the payment provider."""
