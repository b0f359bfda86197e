"""Pages and API for the people who settle: everything under ``/staff``."""
