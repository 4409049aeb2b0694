"""The public Python interface of the margin core: a loaded book that answers in money.

`import crossmargin` offers these names. Every question concerns one book, so it is a method of `Book`:
`book.margin("maintenance")`, `book.with_model(model).margin("maintenance")`. The functions beside it make books and
models: `load`, `load_model`, `register_model`. Money is exact here, in decimals; integers in quanta stay below.
"""
