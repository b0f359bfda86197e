"""People who work at the marketplace: their accounts, how they sign in, and what they did."""
