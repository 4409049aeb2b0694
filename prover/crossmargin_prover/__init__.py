"""The prover: commits a snapshot, proves statements about it, writes receipts. It imports the verifier, never back."""
