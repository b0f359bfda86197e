"""How quick the marketplace is, each figure beside a limit that is measured in the same run."""
