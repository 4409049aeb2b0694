"""Load a book from a folder or any other source; every refusal states table, row, field and a hint."""

from crossmargin.loading.folder import load_margin_model, write_control
from crossmargin.loading.inputs import Inputs, Where, load, load_book, load_folder, load_parameters
from crossmargin.loading.parameters import Parameters, build_parameters
from crossmargin.loading.source import BookSource, FrameSource, FrameTable, Source, TableSource

__all__ = [
    "BookSource",
    "FrameSource",
    "FrameTable",
    "Inputs",
    "Parameters",
    "Source",
    "TableSource",
    "Where",
    "build_parameters",
    "load",
    "load_book",
    "load_folder",
    "load_margin_model",
    "load_parameters",
    "write_control",
]
