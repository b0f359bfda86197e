"""Products, their question sets and tariffs."""
