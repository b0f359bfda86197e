"""The `insuretech` command."""
