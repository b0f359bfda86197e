"""The twin: machines and the network between them, on one Linux machine. What runs in them is the playbook's matter."""
