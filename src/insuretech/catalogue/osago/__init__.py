"""The legal corridor of OSAGO premiums: Bank of Russia Directive 6007-U in its editions since 13 September 2022.

``files`` reads the tables of ``catalogue/data/osago`` into a ``Tariff``; ``case`` reads a buyer's answers; ``corridor``
multiplies. Nothing here does input or output beyond reading the packaged tables once.
"""
