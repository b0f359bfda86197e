"""Programs that no package has: compiled once, from pinned modules, into the cache outside the checkout."""
