"""Rows in columns for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import click


def lines(texts: Iterable[str]) -> None:
    """Print each text on a line of its own."""
    for text in texts:
        click.echo(text)


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell; the last one may be of any length."""
    listed = [tuple(head), *(tuple(row) for row in rows)] if head else [tuple(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip_longest(*listed, fillvalue="")]
    for row in listed:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
