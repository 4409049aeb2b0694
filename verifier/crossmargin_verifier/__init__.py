"""The stand-alone verifier: standard library, py_ecc and the circuits; nothing of the prover or the margin core."""
