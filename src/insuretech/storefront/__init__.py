"""The site people see."""
