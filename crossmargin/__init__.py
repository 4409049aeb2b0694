"""The margin core: load a book, compute its margin under a published model, in exact integers; no cryptography."""
