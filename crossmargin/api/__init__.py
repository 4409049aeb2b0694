"""The public Python interface of the margin core: a loaded book, and what it answers as values in money.

`import crossmargin` offers these names. Everything is a method of `Book`, because every question is asked of one book:
`book.margin("maintenance")`, `book.with_model(model).margin("maintenance")`. The functions beside it make books and
models: `load`, `load_model`, `register_model`. Money is exact here, in decimals; integers in quanta stay below.
"""
