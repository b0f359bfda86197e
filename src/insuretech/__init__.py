"""InsureTech: an insurance marketplace, one package of several services."""
