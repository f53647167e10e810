"""Two drawings as SVG text: a treemap of sizes, and a graph in layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import networkx as nx

WIDTH = 1120
_ROW, _TOP, _LETTER = 21, 16, 6.2

Tile = tuple[str, float, str, str]
Box = tuple[float, float, float, float]


def treemap(tiles: Sequence[Tile], height: int = 360) -> str:
    """Rectangles whose areas are as the sizes of (name, size, state, text of the size), the largest first."""
    shown = sorted((tile for tile in tiles if tile[1] > 0), key=lambda tile: (-tile[1], tile[0]))
    whole = sum(tile[1] for tile in shown) or 1
    areas = [tile[1] / whole * WIDTH * height for tile in shown]
    boxes = _squarified(areas, (0.0, 0.0, float(WIDTH), float(height)))
    drawn = "".join(
        _tile(tile, box, place / max(1, len(shown) - 1)) for place, (tile, box) in enumerate(zip(shown, boxes, strict=True))
    )
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Sizes of distributions">{drawn}</svg>'


def layers(edges: Sequence[tuple[str, str]], states: Mapping[str, str]) -> tuple[str, int]:
    """The graph as SVG, from who needs (left) to who is needed (right), and how many names have no edge and are left out."""
    graph = nx.DiGraph((a, b) for a, b in edges)
    if not graph:
        return "<p>No distribution needs another.</p>", len(states)
    columns = _ordered(graph, _columns(graph))
    rows = max(map(len, columns))
    height = rows * _ROW + 2 * _TOP
    step = (WIDTH - 170) / max(1, len(columns) - 1)
    at = {}
    for number, column in enumerate(columns):
        gap = (height - 2 * _TOP) / len(column)
        at |= {name: (12 + number * step, _TOP + gap * (row + 0.5)) for row, name in enumerate(column)}
    lines = "".join(_curve(a, b, at) for a, b in graph.edges)
    dots = "".join(_dot(name, at[name], states.get(name, "sound")) for name in graph)
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Requirements between distributions">{lines}{dots}</svg>'
    )
    return picture, len(states) - len(graph)


def _columns(graph: nx.DiGraph[str]) -> list[list[str]]:
    """Names by the longest way to them; those on one cycle share a column."""
    folded = nx.condensation(graph)
    return [
        [name for part in generation for name in sorted(folded.nodes[part]["members"])]
        for generation in nx.topological_generations(folded)
    ]


def _ordered(graph: nx.DiGraph[str], columns: list[list[str]], sweeps: int = 6) -> list[list[str]]:
    """Each column sorted by the middle of its neighbours, there and back, so that fewer lines cross."""
    for sweep in range(sweeps):
        near = graph.predecessors if sweep % 2 == 0 else graph.successors
        place = {name: row / len(column) for column in columns for row, name in enumerate(column)}
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {name: _mean([place[other] for other in near(name)], place[name]) for name in column}
            column.sort(key=lambda name, middle=middle: (middle[name], name))  # type: ignore[misc]
            place |= {name: row / len(column) for row, name in enumerate(column)}
    return columns


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _curve(a: str, b: str, at: Mapping[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = at[a], at[b]
    x1 += min(x2 - x1 - 20, 12 + _LETTER * len(a))  # from behind the name, so that no line strikes it out
    bend = max(20.0, (x2 - x1) / 2)
    way = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="edge" data-from="{escape(a)}" data-to="{escape(b)}" d="{way}"/>'


def _dot(name: str, at: tuple[float, float], state: str) -> str:
    x, y = at
    return (
        f'<g class="node {state}" data-name="{escape(name)}"><rect x="{x - 6:.1f}" y="{y - 10:.1f}" width="140" height="20" '
        f'fill="transparent"/><circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(name)}</text></g>'
    )


def _tile(tile: Tile, box: Box, rank: float) -> str:
    name, _, state, size = tile
    x, y, width, height = box
    text = ""
    if width > len(name) * _LETTER + 12 and height > 20:
        text = f'<text x="{x + 8:.1f}" y="{y + 18:.1f}">{escape(name)}</text>'
        if height > 38:
            text += f'<text class="size" x="{x + 8:.1f}" y="{y + 33:.1f}">{size}</text>'
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4"/>'
    return f'<g class="tile {state}" style="--weight:{58 - 44 * rank:.0f}"><title>{escape(name)}: {size}</title>{shape}{text}</g>'


def _squarified(areas: Sequence[float], box: Box) -> list[Box]:
    """Boxes of these areas (largest first) inside a box, as near to squares as rows of them can be (Bruls et al., 2000)."""
    boxes: list[Box] = []
    x, y, width, height = box
    row: list[float] = []
    left = list(areas)
    while left:
        side = min(width, height)
        if not row or _worst([*row, left[0]], side) <= _worst(row, side):
            row.append(left.pop(0))
            if left:
                continue
        thick = sum(row) / side if side else 0.0
        along = 0.0
        for area in row:
            long = area / thick if thick else 0.0
            boxes.append((x, y + along, thick, long) if width >= height else (x + along, y, long, thick))
            along += long
        x, y, width, height = (x + thick, y, width - thick, height) if width >= height else (x, y + thick, width, height - thick)
        row = []
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    total = sum(row)
    return max(max(side * side * area / total**2, total**2 / (side * side * area)) for area in row) if side else 0.0
