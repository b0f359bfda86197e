"""People who search and buy by the public API, everybody's books at the end, and their judge."""
