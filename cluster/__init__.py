"""The whole marketplace on one Linux machine with the servers of production: ``python -m cluster up``.

Kafka (three brokers), Redis Cluster (six nodes), Garage as S3 (three zones), PostgreSQL, HAProxy, and every service as
three processes. Nothing here is part of the product; what it starts is configured from outside only.
"""
