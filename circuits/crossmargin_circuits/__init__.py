"""The public meaning of a crossmargin proof: margin expressions, risk parameters and integer relations.

The package imports only the standard library, so this package and py_ecc suffice to build a verifier.
"""
