"""Alembic runs env.py in this folder for every service."""
