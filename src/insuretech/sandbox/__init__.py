"""Invented insurers and a payment provider to develop and rehearse against."""
