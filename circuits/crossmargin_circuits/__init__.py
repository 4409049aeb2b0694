"""The public meaning of a crossmargin proof: margin expressions, risk parameters and integer relations.

Imports the standard library alone, so that a verifier can be built from this package and py_ecc.
"""
