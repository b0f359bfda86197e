"""Drills: what is broken on purpose, what people felt of it, and the judge of what they were told."""
