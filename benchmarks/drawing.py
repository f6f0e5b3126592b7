"""Draws what `growth` has saved: `python drawing.py growth.json growth.svg`, with Matplotlib."""

import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

# What is drawn side by side: a title, what is measured in words, the axis.
PANELS = (
    ("pending revisions are applied", re.compile(r"(\d+) pending"), "revisions"),
    ("nothing is pending", re.compile(r"none of (\d+) pending"), "revisions"),
    ("alembic check, no difference", re.compile(r"check, (\d+) tables"), "tables"),
)


def lines(measured: list[dict[str, Any]], what: re.Pattern[str]) -> dict[str, list[tuple[int, float]]]:
    """Return the points of each program: how many, and seconds."""
    found: dict[str, list[tuple[int, float]]] = {}
    for each in measured:
        match = what.fullmatch(str(each["what"]))
        if match:
            seconds = median(each["seconds"])
            found.setdefault(str(each["by"]), []).append((int(match[1]), seconds))
    return {name: sorted(points) for name, points in found.items()}


def main(source: str, picture: str) -> None:
    """Draw the picture."""
    import matplotlib as mpl  # type: ignore[import-not-found] # noqa: PLC0415 - in an environment of its own

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "growth"  # the same numbers make the same file
    from matplotlib import pyplot  # noqa: PLC0415

    measured = json.loads(Path(source).read_text())["measured"]
    figure, places = pyplot.subplots(1, len(PANELS), figsize=(13, 4.5), layout="constrained")
    for axes, (title, what, axis) in zip(places, PANELS, strict=True):
        for name, points in lines(measured, what).items():
            width = 2.4 if name.startswith("ours") else 1.2
            axes.plot(*zip(*points, strict=True), marker="o", linewidth=width, label=name)
        axes.set(title=title, xlabel=axis, ylabel="seconds", xscale="log", yscale="log")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
