"""Interactive figures of planes (a contour map or a surface that turns) and of trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orograph.figures.interactive import (
    anchor_hover,
    axis,
    colour_bar,
    drawable,
    number_or_none,
    plotting,
    safe,
    sheet,
    with_unit,
)
from orograph.figures.palette import BRIGHT, FAINT, INK, OUTLINE, PAPER, VERMILLION, YELLOW, series_colour
from orograph.figures.relief import (
    Quantity,
    Relief,
    axis_words,
    best_words,
    default_quantity,
    drawn_value,
    number,
    relief,
    share_words,
    short,
)
from orograph.results.surface import ProjectedPath, Surface
from orograph.results.trajectory import Trajectory

if TYPE_CHECKING:
    from orograph.figures import Kind

START_VIEW = {"eye": {"x": -1.38, "y": -1.56, "z": 1.05}, "center": {"x": 0, "y": 0, "z": -0.06}}


def plane(result: Surface, kind: Kind, quantity: Quantity | None) -> Any:
    """A plane as a contour map or as a surface in three dimensions."""
    shown = relief(result, quantity)
    return _surface3d(result, shown) if kind == "surface3d" else _contour(result, shown)


def _contour(result: Surface, shown: Relief) -> Any:
    across, up, warning = axis_words(result)
    drawn = _map_sheet(result, with_unit(across), with_unit(up))
    drawn.update_layout(title_text=best_words(result).capitalize())
    _country(drawn, result, shown)
    for index, path in enumerate(result.paths):
        _path(drawn, path, index)
    if not shown.empty:
        row, column = result.best
        drawn.add_scatter(
            x=[float(result.alpha[column])],
            y=[float(result.beta[row])],
            mode="markers",
            marker={"symbol": "star", "size": 15, "color": YELLOW, "line": {"color": OUTLINE, "width": 1}},
            name="best cell",
            hovertext=best_words(result),
            hoverinfo="text",
        )
    _anchors(drawn, result)
    if warning:
        drawn.update_layout(
            xaxis_title_text=f"{with_unit(across)}<br><span style='font-size:11px'>{_broken(warning)}</span>"
        )
    return drawn


def _broken(text: str) -> str:
    """Text in lines short enough for a phone."""
    from textwrap import wrap

    return "<br>".join(wrap(text, 40))


def _map_sheet(result: Surface, across: str, up: str) -> Any:
    """An empty map; equal scales where the axes are lengths, a square otherwise."""
    more = {"scaleanchor": "x"} if result.frame == "orthonormal" else {}
    return sheet(
        xaxis=axis(across, showgrid=False, constrain="domain", range=_range(result.alpha)),
        yaxis=axis(up, showgrid=False, constrain="domain", range=_range(result.beta), **more),
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
        margin={"l": 62, "r": 10, "t": 66, "b": 70},
    )


def _range(values: Any) -> list[float]:
    step = abs(float(values[1] - values[0])) / 2 if len(values) > 1 else 0.5
    return [float(values[0]) - step, float(values[-1]) + step]


def _country(drawn: Any, result: Surface, shown: Relief) -> None:
    """The filled plane, and crosses on the cells that are not finite."""
    import plotly.graph_objects as go

    x, y = result.alpha.astype(np.float32), result.beta.astype(np.float32)
    values = shown.values.astype(np.float32)
    style = {
        "x": x,
        "y": y,
        "z": values,
        "zmin": float(shown.levels[0]),
        "zmax": float(shown.levels[-1]),
        "colorscale": shown.colours,
        "hoverongaps": False,
    }
    if shown.nonfinite.any() or shown.missing.any():
        # Contours end one cell before a hole; the cells beneath keep every computed value in the picture.
        drawn.add_trace(go.Heatmap(**style, showscale=False, hoverinfo="skip"))
    if not shown.empty and min(values.shape) > 1:
        step = float(shown.levels[1] - shown.levels[0])
        drawn.add_trace(
            go.Contour(
                **style,
                contours={"start": float(shown.levels[0]), "end": float(shown.levels[-1]), "size": step},
                line={"color": "rgba(255,255,255,0.45)", "width": 0.6},
                connectgaps=False,
                colorbar=_bar(shown),
                customdata=_numbers(result),
                hovertemplate=_template(result),
                name="",
            )
        )
    rows, columns = np.nonzero(shown.nonfinite)
    if len(rows):
        drawn.add_scatter(
            x=x[columns],
            y=y[rows],
            mode="markers",
            marker={"symbol": "x-thin", "size": 9, "line": {"color": VERMILLION, "width": 2}},
            name=f"not finite ({len(rows)})",
            hovertext=[f"loss {number(result.loss[j, i])}" for j, i in zip(rows, columns, strict=True)],
            hoverinfo="text",
        )
    if shown.missing.any():
        drawn.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square-open", "size": 11, "color": FAINT},
            name=f"not computed, left blank ({int(shown.missing.sum())})",
        )


def _bar(shown: Relief) -> dict[str, Any]:
    more = "<br>colours end at %.3g" % shown.high if shown.clipped else ""  # noqa: UP031
    return colour_bar(
        shown.label.replace(" (", "<br>(").replace("log scale", "log") + more,
        tickvals=[at for at, _ in shown.ticks],
        ticktext=[text for _, text in shown.ticks],
    )


def _numbers(result: Surface) -> Any:
    """(n_beta, n_alpha, k) what a hover text shows: loss, its error, examples, and accuracy with its error."""
    columns = [result.loss, result.loss_se, result.n_examples.astype(np.float64)]
    if result.accuracy is not None:
        columns.append(result.accuracy)
        columns.append(np.zeros_like(result.loss) if result.accuracy_se is None else result.accuracy_se)
    return np.stack([drawable(column, result.computed) for column in columns], axis=-1)


def _template(result: Surface) -> str:
    """A hover text over the numbers; standard errors only where some were estimated, not computed exactly."""
    text = "(%{x:.3g}, %{y:.3g})<br>loss %{customdata[0]:.4g}"
    if np.any(result.loss_se > 0):
        text += " ± %{customdata[1]:.2g} (s.e.)"
    if result.accuracy is not None:
        text += "<br>accuracy %{customdata[3]:.4g}"
        if result.accuracy_se is not None and np.any(result.accuracy_se > 0):
            text += " ± %{customdata[4]:.2g}"
    return text + "<br>%{customdata[2]:,} examples<extra></extra>"


def _path(drawn: Any, path: ProjectedPath, index: int) -> None:
    colour = series_colour(index)
    drawn.add_scatter(
        x=path.coordinates[:, 0].astype(np.float32),
        y=path.coordinates[:, 1].astype(np.float32),
        mode="lines+markers",
        line={"color": colour, "width": 2.5},
        marker={
            "color": colour,
            "line": {"color": OUTLINE, "width": 1},
            "size": [6] * (len(path.epochs) - 1) + [11],
            "symbol": ["circle"] * (len(path.epochs) - 1) + ["arrow"],
            "angleref": "previous",
        },
        name=f"{'path of ' if path.unit == 'epoch' else ''}{safe(short(path.name))}",
        hovertext=_path_hover(path),
        hoverinfo="text",
    )


def _path_hover(path: ProjectedPath) -> list[str]:
    return [
        f"<b>{safe(path.name)}</b>, {path.unit} {epoch:.3g}<br>true loss {number(loss)}"
        f"<br>{number(off, 3)} off this plane"
        for epoch, loss, off in zip(path.epochs, path.loss, path.off_plane, strict=True)
    ]


def _anchors(drawn: Any, result: Surface) -> None:
    middle = float(np.mean(result.alpha))
    drawn.add_scatter(
        x=[anchor.coordinates[0] for anchor in result.anchors],
        y=[anchor.coordinates[1] for anchor in result.anchors],
        mode="markers",
        marker={"color": BRIGHT, "size": 9, "line": {"color": OUTLINE, "width": 1.5}},
        hovertext=[anchor_hover(anchor) for anchor in result.anchors],
        hoverinfo="text",
        showlegend=False,
        name="models",
    )
    for anchor in result.anchors:
        # Short names stand beside their model, towards the middle; long ones above it, so that none is cut off.
        side = 0 if len(anchor.name) > 6 else -1 if anchor.coordinates[0] > middle else 1
        drawn.add_annotation(
            x=anchor.coordinates[0],
            y=anchor.coordinates[1],
            text=safe(short(anchor.name)),
            showarrow=False,
            xanchor=("center", "left", "right")[side],
            xshift=9 * side,
            yshift=10 if side else 19,
            font={"color": INK, "size": 12},
            bgcolor=PAPER,
            opacity=0.85,
            borderpad=2,
        )


def _surface3d(result: Surface, shown: Relief) -> Any:
    import plotly.graph_objects as go

    across, up, warning = axis_words(result)
    height = {"accuracy": "accuracy", "loss": "loss", "log loss": "loss"}[shown.quantity]
    aspect = _proportions(result)
    style = {
        "gridcolor": "rgba(139,151,155,0.35)",
        "linecolor": FAINT,
        "zeroline": False,
        "showbackground": False,
        "showspikes": False,
    }
    short = ("x", "y") if result.frame == "orthonormal" else ("u", "v") if result.frame == "oblique" else ("α", "β")
    drawn = sheet(
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        scene={
            "xaxis": {"title": {"text": short[0]}, **style},
            "yaxis": {"title": {"text": short[1]}, **style},
            "zaxis": {
                "title": {"text": height},
                "tickvals": [at for at, _ in shown.ticks],
                "ticktext": [text for _, text in shown.ticks],
                **style,
            },
            "aspectmode": "manual",
            "aspectratio": aspect,
            "camera": START_VIEW,
            "annotations": _flags(result, shown),
        },
        showlegend=False,
        meta={"axes": f"{safe(': '.join(across))}. {safe(': '.join(up))}. {safe(warning)}"},
    )
    # Above the colour limit a few cells would dwarf everything: they are cut off in this drawing, and it says so.
    height_values = np.where(shown.values > shown.high, np.nan, shown.values).astype(np.float32)
    drawn.add_trace(
        go.Surface(
            x=result.alpha.astype(np.float32),
            y=result.beta.astype(np.float32),
            z=height_values,
            cmin=float(shown.levels[0]),
            cmax=float(shown.levels[-1]),
            colorscale=shown.colours,
            colorbar=_bar(shown) | {"len": 0.7},
            connectgaps=False,
            contours={"z": {"show": not shown.empty, "color": "rgba(255,255,255,0.55)", "width": 1, **_steps(shown)}},
            lighting={"ambient": 0.72, "diffuse": 0.55, "specular": 0.08, "roughness": 0.9, "fresnel": 0.05},
            customdata=_numbers(result),
            hovertemplate=_template(result),
            name="",
        )
    )
    points = [(anchor, _anchor_height(anchor, shown)) for anchor in result.anchors]
    drawn.add_scatter3d(
        x=[anchor.coordinates[0] for anchor, _ in points],
        y=[anchor.coordinates[1] for anchor, _ in points],
        z=[z for _, z in points],
        mode="markers",
        marker={"size": 5, "color": BRIGHT, "line": {"color": OUTLINE, "width": 2}},
        hovertext=[anchor_hover(anchor) for anchor in result.anchors],
        hoverinfo="text",
    )
    return drawn


def _steps(shown: Relief) -> dict[str, float]:
    size = float(shown.levels[1] - shown.levels[0])
    # Half a step up: a line at the very floor of a plain would paint the whole of it.
    return {"start": float(shown.levels[0]) + size / 2, "end": float(shown.levels[-1]), "size": size}


def _proportions(result: Surface) -> dict[str, float]:
    if result.frame != "orthonormal":
        return {"x": 1.0, "y": 1.0, "z": 0.55}
    spans = float(np.ptp(result.alpha)), float(np.ptp(result.beta))
    longest = max(*spans, 1e-12)
    return {"x": spans[0] / longest, "y": spans[1] / longest, "z": 0.55}


def _anchor_height(anchor: Any, shown: Relief) -> float | None:
    return number_or_none(drawn_value(anchor.accuracy if shown.quantity == "accuracy" else anchor.loss, shown.quantity))


def _flags(result: Surface, shown: Relief) -> list[dict[str, Any]]:
    """The models' names, standing above the surface on short poles."""
    flags = []
    for anchor in result.anchors:
        height = _anchor_height(anchor, shown)
        if height is None:
            continue
        flags.append(
            {
                "x": anchor.coordinates[0],
                "y": anchor.coordinates[1],
                "z": height,
                "text": safe(short(anchor.name)),
                "ax": 0,
                "ay": -28,
                "arrowcolor": INK,
                "arrowwidth": 1,
                "arrowhead": 0,
                "font": {"color": INK, "size": 13},
                "bgcolor": PAPER,
                "opacity": 0.9,
                "borderpad": 2,
            }
        )
    return flags


@plotting.register(Trajectory)
def _trajectory(result: Trajectory) -> Any:
    across, up = (with_unit(share_words(result.explained, result.explained_random_walk, k)) for k in (0, 1))
    if result.surface is None:
        drawn = sheet(xaxis=axis(across), yaxis=axis(up, scaleanchor="x"))
    else:
        drawn = _map_sheet(result.surface, across, up)
        drawn.update_yaxes(scaleanchor="x")
        _country(drawn, result.surface, relief(result.surface, default_quantity(result.surface, prefer_loss=True)))
    x, y = result.coordinates[:, 0].astype(np.float32), result.coordinates[:, 1].astype(np.float32)
    hover = [
        f"epoch {result.epochs[t]:g}, step {int(result.steps[t]):,}<br>true loss {number(result.loss[t])}"
        f"<br>loss of its projection {number(result.loss_projected[t])}"
        + ("" if result.accuracy is None else f"<br>accuracy {number(result.accuracy[t])}")
        + f"<br>{number(result.off_plane[t], 3)} off this plane"
        for t in range(len(result.steps))
    ]
    spacing = "" if result.even else ", unevenly spaced in steps"
    drawn.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": VERMILLION, "width": 2.5},
        marker={"color": VERMILLION, "size": 7, "line": {"color": PAPER, "width": 1}},
        hovertext=hover,
        hoverinfo="text",
        name=f"{safe(short(result.name))}: {len(x)} checkpoints{spacing}",
    )
    ends = [0, len(x) - 1]
    drawn.add_scatter(
        x=x[ends],
        y=y[ends],
        mode="markers",
        marker={
            "symbol": ["circle", "star"],
            "size": [11, 15],
            "color": [BRIGHT, YELLOW],
            "line": {"color": OUTLINE, "width": 1.2},
        },
        hovertext=[f"{word}<br>{hover[index]}" for word, index in zip(("start", "end"), ends, strict=True)],
        hoverinfo="text",
        name=f"start (true loss {number(result.loss[0], 3)}), end ({number(result.loss[-1], 3)})",
    )
    return drawn
