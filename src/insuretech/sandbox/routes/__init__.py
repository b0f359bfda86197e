"""The sandbox over HTTP: insurers in three dialects, the payment provider, the controls and their page."""
