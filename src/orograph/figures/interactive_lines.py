"""Interactive figures: lines, training runs, matrices of distances, and a study's claims as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orograph.figures.interactive import (
    anchor_hover,
    axis,
    colour_bar,
    drawable,
    number_or_none,
    plotting,
    safe,
    sheet,
)
from orograph.figures.palette import BLUE, DISTANCE_SCALE, INK, PAPER, VERMILLION
from orograph.figures.paper import NUMBERS_UP_TO, measured_words
from orograph.figures.relief import is_wide, number, short
from orograph.results.distances import Distances
from orograph.results.line import Line
from orograph.results.run import Run
from orograph.results.study import StudyResult


@plotting.register(Distances)
def _distances(result: Distances) -> Any:
    import plotly.graph_objects as go

    n = len(result.names)
    names, ticks = [safe(name) for name in result.names], [safe(short(name)) for name in result.names]
    apart = np.where(np.eye(n, dtype=bool), np.nan, result.matrix)  # the zeros would take most of the colour range
    hover = [
        [
            f"<b>{names[row]}</b> and <b>{names[column]}</b><br>distance {number(result.matrix[row, column], 5)}"
            f"<br>cosine {number(result.cosine[row, column], 3)}"
            f"<br>share of normalisation layers {number(100 * result.norm_layer_share[row, column], 3)} &#37;"
            for column in range(n)
        ]
        for row in range(n)
    ]
    drawn = sheet(
        xaxis=axis("network", tickvals=list(range(n)), ticktext=ticks, showgrid=False, constrain="domain"),
        yaxis=axis(
            "network",
            tickvals=list(range(n)),
            ticktext=ticks,
            showgrid=False,
            autorange="reversed",
            scaleanchor="x",
            constrain="domain",
        ),
    )
    drawn.add_trace(
        go.Heatmap(
            z=drawable(apart),
            text=[[f"{value:.4g}" for value in row] for row in result.matrix],
            texttemplate="%{text}" if n <= NUMBERS_UP_TO else "",
            hovertext=hover,
            hoverinfo="text",
            colorscale=DISTANCE_SCALE,
            colorbar=colour_bar("distance<br>(weight-space<br>length)"),
            xgap=2,
            ygap=2,
        )
    )
    return drawn


@plotting.register(Line)
def _line(result: Line) -> Any:
    import plotly.graph_objects as go

    loss = drawable(result.loss, result.computed)
    drawn = sheet(
        xaxis=axis(f"α (1 unit = {result.length:.4g} in weight space)"),
        yaxis=axis(result.provenance.loss_label(), **_loss_scale(loss)),
        hovermode="closest",
    )
    hover = [_line_hover(result, index) for index in range(len(result.alphas))]
    _band(drawn, result.alphas, loss, result.loss_se, "rgba(0,114,178,0.2)", "y")
    x = result.alphas.astype(np.float32)
    style = {"hovertext": hover, "hoverinfo": "text", "mode": "lines"}
    drawn.add_scatter(x=x, y=loss, name="loss", line={"color": BLUE, "width": 2.5}, **style)
    if result.accuracy is not None:
        accuracy = drawable(result.accuracy, result.computed)
        if result.accuracy_se is not None:
            _band(drawn, result.alphas, accuracy, result.accuracy_se, "rgba(213,94,0,0.2)", "y2")
        drawn.add_scatter(
            x=x,
            y=accuracy,
            name="accuracy",
            yaxis="y2",
            line={"color": VERMILLION, "width": 2, "dash": "dash"},
            **style,
        )
        drawn.update_layout(
            yaxis2=axis("accuracy", overlaying="y", side="right", range=[0, 1.02], dtick=0.2, showgrid=False),
            yaxis_title_font_color=BLUE,
            yaxis2_title_font_color=VERMILLION,
        )
    broken = result.computed & ~np.isfinite(result.loss)
    if broken.any():  # marked at the top edge: they have no height
        drawn.update_layout(yaxis3={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
        drawn.add_scatter(
            x=x[broken],
            y=np.full(int(broken.sum()), 0.98),
            yaxis="y3",
            mode="markers",
            marker={"symbol": "x", "color": VERMILLION, "size": 9},
            name=f"not finite ({int(broken.sum())})",
            hovertext=[hover[index] for index in np.nonzero(broken)[0]],
            hoverinfo="text",
        )
    _barrier(drawn, result)
    drawn.add_trace(
        go.Scatter(
            x=[anchor.coordinates[0] for anchor in result.anchors],
            y=[number_or_none(anchor.loss) for anchor in result.anchors],
            mode="markers+text",
            text=[safe(short(anchor.name)) for anchor in result.anchors],
            textposition="bottom right",
            marker={"color": INK, "size": 9, "line": {"color": PAPER, "width": 1}},
            hovertext=[anchor_hover(anchor) for anchor in result.anchors],
            hoverinfo="text",
            showlegend=False,
            cliponaxis=False,
        )
    )
    return drawn


def _line_hover(result: Line, index: int) -> str:
    text = f"α = {result.alphas[index]:.3f}<br>loss {number(result.loss[index])}"
    if result.loss_se[index] > 0:
        text += f" ± {number(result.loss_se[index], 2)} (s.e.)"
    if result.accuracy is not None:
        text += f"<br>accuracy {number(result.accuracy[index])}"
        if result.accuracy_se is not None and result.accuracy_se[index] > 0:
            text += f" ± {number(result.accuracy_se[index], 2)}"
    return f"{text}<br>{int(result.n_examples[index]):,} examples"


def _band(
    drawn: Any, x: NDArray[np.float64], y: NDArray[np.float32], se: NDArray[np.float64], colour: str, onto: str
) -> None:
    keep = np.isfinite(y)
    if not (np.any(se > 0) and keep.any()):
        return
    drawn.add_scatter(
        x=np.concatenate([x[keep], x[keep][::-1]]).astype(np.float32),
        y=np.concatenate([(y + se)[keep], (y - se)[keep][::-1]]).astype(np.float32),
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        name="± 1 s.e.",
        yaxis=onto,
    )


def _loss_scale(loss: Any) -> dict[str, Any]:
    """A logarithmic axis with a tick for each decade where the loss spans several, else a linear one."""
    values = np.asarray(loss, dtype=np.float64)
    if not is_wide(values):
        return {"type": "linear"}
    found = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(found.max() / found.min())
    return {"type": "log", "dtick": 1 if decades > 1.2 else "D2", "exponentformat": "power"}


def _barrier(drawn: Any, result: Line) -> None:
    barrier = result.barrier
    if barrier is None:
        return
    ends = barrier.loss_start, barrier.loss_end
    chord = (1 - barrier.at) * ends[0] + barrier.at * ends[1]
    words = str(barrier)
    drawn.add_scatter(
        x=[0, 1],
        y=[number_or_none(end) for end in ends],
        mode="lines",
        line={"color": INK, "width": 1.2, "dash": "dot"},
        name="chord",
        hoverinfo="skip",
    )
    drawn.add_scatter(
        x=[barrier.at, barrier.at],
        y=[number_or_none(chord), number_or_none(barrier.loss_at)],
        mode="lines+markers",
        line={"color": INK, "width": 1.6},
        marker={"symbol": "line-ew-open", "size": 9, "color": INK},
        name="barrier",
        hovertext=words,
        hoverinfo="text",
    )
    drawn.update_layout(title_text=words[0].upper() + words[1:])


@plotting.register(Run)
def _run(result: Run) -> Any:
    """Loss above accuracy, over the same epochs."""
    both = result.test_accuracy is not None
    drawn = sheet(
        xaxis=axis("epoch", anchor="y2" if both else "y"),
        yaxis=axis(result.provenance.loss_label(), domain=[0.54, 1] if both else [0, 1]),
        hovermode="x unified",
    )
    x = result.epochs.astype(np.float32)
    rate = [f"learning rate {number(value, 3)}" for value in result.learning_rate]
    dotted, solid = {"color": BLUE, "dash": "dot"}, {"color": BLUE, "width": 2.5}
    template = "%{y:.4g}<extra>%{fullData.name}</extra>"
    drawn.add_scatter(x=x, y=drawable(result.train_loss), name="train loss", line=dotted, hovertemplate=template)
    drawn.add_scatter(
        x=x, y=drawable(result.test_loss), name="test loss", line=solid, text=rate, hovertemplate="%{y:.4g} (%{text})"
    )
    if result.test_accuracy is not None:
        drawn.update_layout(yaxis2=axis("accuracy", domain=[0, 0.46], range=[0, 1.02]))
        for name, values, dash in (
            ("train accuracy", result.train_accuracy, "dot"),
            ("test accuracy", result.test_accuracy, "solid"),
        ):
            line = {"color": VERMILLION, "dash": dash, "width": 2 if dash == "dot" else 2.5}
            drawn.add_scatter(x=x, y=drawable(values), name=name, yaxis="y2", line=line, hovertemplate=template)
    return drawn


@plotting.register(StudyResult)
def _study(result: StudyResult) -> Any:
    """The claims as a table."""
    import plotly.graph_objects as go

    columns = [
        [safe(claim.verdict) for claim in result.claims],
        [safe(claim.statement) for claim in result.claims],
        [safe(claim.published) for claim in result.claims],
        [safe(measured_words(claim)) for claim in result.claims],
    ]
    drawn = sheet(title={"text": safe(result.study)})
    drawn.add_trace(
        go.Table(
            columnwidth=[1, 3, 2, 2],
            header={"values": ["verdict", "claim", "published", "measured here"], "align": "left"},
            cells={"values": columns, "align": "left", "height": 28},
        )
    )
    return drawn
