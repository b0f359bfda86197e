"""What pages of every service have in common: tokens, components, fonts, languages, headers. Knows no service."""
