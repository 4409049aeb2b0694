"""Commands that show margins and policies; the program `crossmargin` adds the prover's."""
