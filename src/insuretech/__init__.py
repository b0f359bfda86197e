"""InsureTech: an insurance marketplace, one package of several services."""

__version__ = "0.1.0"
