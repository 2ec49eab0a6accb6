"""A comparison of runs as one page that needs no network: the curves are in it as SVG."""

from __future__ import annotations

import io
from html import escape

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .comparison import Comparison
from .text import as_text

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .3rem .9rem; text-align: left; border-bottom: 1px solid #8885 }
td { font-variant-numeric: tabular-nums }
.curves { display: flex; flex-wrap: wrap; gap: 1rem }
.curves svg { background: white; border-radius: .5rem; width: 100%; max-width: 34rem; height: auto }
"""


def page(comparison: Comparison, rows: list[tuple[str, list[str]]], verdicts: list[str]) -> str:
    """The page as HTML.

    Args:
        comparison: of the runs.
        rows: name and a cell for each group: settings that differ, and scores.
        verdicts: lines about the differences between the first run and others.
    """
    # All of it is text from files that anybody may have edited.
    title = escape("Comparison of " + ", ".join(comparison.names))
    head = "".join(f"<th>{escape(name)}</th>" for name in ["", *comparison.names])
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(c)}</td>' for c in cells)}</tr>\n"
        for name, cells in rows
    )
    intervals = "".join(f"<li>{escape(line)}</li>\n" for line in verdicts)
    charts = "".join(_chart(comparison, name) for name in _metrics(comparison))
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body>
<h1>{title}</h1>
<table><thead><tr>{head}</tr></thead>
<tbody>{body}</tbody></table>
<p>Groups of runs that differ in nothing but their seed: mean +- standard deviation (n).</p>
<h2>Differences on the test set, 95 % intervals</h2>
<ul>{intervals}</ul>
<h2>Curves</h2>
<div class="curves">{charts}</div>
</body>
</html>
"""


def _metrics(comparison: Comparison) -> list[str]:
    outcomes = [outcome for group in comparison.groups for outcome in group]
    return sorted({name for outcome in outcomes for name in outcome.curves})


def _chart(comparison: Comparison, metric: str) -> str:
    """A metric over the epochs: one colour a group, one line a run."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, group in enumerate(comparison.groups):
        for outcome in group:
            points = outcome.curves.get(metric, [])
            label = _plain(comparison.names[number]) if outcome is group[0] else None
            axes.plot(*zip(*points), f"C{number % 10}.-", label=label, alpha=0.8)
    axes.set_xlabel("epoch")
    axes.set_title(_plain(metric))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(alpha=0.3)
    axes.legend()
    text = io.StringIO()
    # No date and no random ids, so that the same runs give the same page.
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _plain(text: str) -> str:
    return as_text(text).replace("$", r"\$")  # no mathematics
