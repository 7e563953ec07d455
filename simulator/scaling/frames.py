"""Rows as a pandas DataFrame, where pandas is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from simulator.errors import MissingOptional


def data_frame(rows: list[dict[str, Any]]) -> Any:
    """Return flat rows as a DataFrame.

    Raises:
        MissingOptional: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise MissingOptional("pandas", "pip install pandas") from None
    return pandas.DataFrame(rows)
