"""Reading a book folder: one file per source format, every refusal with file, line, field and hint."""

from crossmargin.loading.folder import Inputs, Parameters, load_folder, load_margin_model, load_parameters

__all__ = ["Inputs", "Parameters", "load_folder", "load_margin_model", "load_parameters"]
