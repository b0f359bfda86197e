"""What can be done in the sandbox: by insurers, by the payment provider, and with their behaviour."""
