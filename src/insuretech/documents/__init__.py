"""Documents: the policy as a PDF, printed once it is issued and kept encrypted."""
