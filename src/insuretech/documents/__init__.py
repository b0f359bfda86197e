"""Policy documents: rendering and keeping."""
