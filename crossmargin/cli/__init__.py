"""Commands that show margins and policies; the program `crossmargin` holds them beside the prover's."""
