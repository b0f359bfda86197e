"""The wizard's rules, which follow from a product's question set (JSON Schema) alone; no product is known by name here.

``fields`` what a page shows · ``drawing`` which questions a step asks and how · ``reading`` what a form's texts mean.
"""
