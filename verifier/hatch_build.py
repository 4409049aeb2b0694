"""Hook of both builds with hatchling: folders from elsewhere in the checkout that a wheel holds too.

They are named under `packed` in pyproject.toml, source to place in the wheel. An editable installation reads them where
they are instead, and a source distribution has them in place already.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PackedFolders(BuildHookInterface[Any]):
    """Put the packed folders into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to the files of a wheel that is not editable."""
        if version != "editable":
            packed = {
                source: place for source, place in self.config["packed"].items() if (Path(self.root) / source).exists()
            }
            build_data["force_include"].update(packed)
