"""Tables of a page: each cell's text, and the exact value that its column is sorted by."""

from __future__ import annotations

import math
from typing import Any

from orograph.figures.relief import number
from orograph.results import Table


def told(table: Table) -> dict[str, Any]:
    """What the page needs of a table."""
    rows = [[_cell(value) for value in row] for row in table.rows]
    numeric = [
        bool(rows)
        and any(row[k]["number"] for row in rows)
        and all(row[k]["number"] or row[k]["blank"] for row in rows)
        for k in range(len(table.columns))
    ]
    columns = [{"title": title, "numeric": is_number} for title, is_number in zip(table.columns, numeric, strict=True)]
    return {
        "title": table.title,
        "caption": table.caption,
        "columns": columns,
        "rows": rows,
        "form": table.form,
    }


def without_empty_columns(table: Table) -> Table:
    """The table without the columns in which no row says anything."""
    kept = [k for k in range(len(table.columns)) if any(row[k] not in (None, "") for row in table.rows)]
    return Table(
        table.title,
        tuple(table.columns[k] for k in kept),
        tuple(tuple(row[k] for k in kept) for row in table.rows),
        table.caption,
        table.form,
    )


def known(value: float) -> float | None:
    """A number, or None where NaN stands for none."""
    return None if math.isnan(value) else value


def _cell(value: Any) -> dict[str, Any]:
    value = value.item() if hasattr(value, "item") else value
    if value is None:
        return {"text": "–", "sort": "", "number": False, "blank": True}
    if isinstance(value, bool):
        return {"text": "yes" if value else "no", "sort": "yes" if value else "no", "number": False, "blank": False}
    if isinstance(value, (int, float)):
        blank = math.isnan(value)
        text = f"{value:,}" if isinstance(value, int) else number(value)
        return {
            "text": text,
            "sort": "" if blank else repr(value).replace("inf", "Infinity"),
            "number": not blank,
            "blank": blank,
        }
    return {"text": str(value), "sort": str(value), "number": False, "blank": False}
