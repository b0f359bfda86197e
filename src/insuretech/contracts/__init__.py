"""What services agree on with each other: money, events, products, and the port every insurer connector implements."""
