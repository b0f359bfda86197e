"""Container images without a registry and without root: OCI archives that come out the same, byte for byte."""
