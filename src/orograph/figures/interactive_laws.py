"""Interactive figures: ensembles and the laws of their loss; budgets are drawn in ``interactive_splits``."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.figures.interactive import (
    axis,
    drawable,
    heading,
    log_axis,
    number_or_none,
    plotting,
    safe,
    sheet,
    titled,
)
from orograph.figures.law_curves import (
    Errors,
    LawCurve,
    errors,
    law_curve,
    law_warnings,
    law_words,
    loss_title,
    x_title,
)
from orograph.figures.palette import BLUE, FAINT, INK, ORANGE, PAPER, VERMILLION
from orograph.figures.relief import number, short
from orograph.figures.scales import amount, padded
from orograph.results.power_law import PowerLaw
from orograph.results.predictions import Predictions

_BAND = "rgba(0,114,178,0.2)"
# Two columns also on a phone: entries as wide as the widest would stand one above the other there.
COLUMNS = {"entrywidth": 0.48, "entrywidthmode": "fraction"}


@plotting.register(PowerLaw)
def _power_law(result: PowerLaw) -> Any:
    """The law over its points; below, the same as a straight line, and where c and a lie together."""
    curve, lawful, cloudy = law_curve(result), bool(np.isfinite(result.c)), bool(len(result.cloud))
    words = ". ".join([law_words(result), *law_warnings(result)])
    drawn = sheet(
        xaxis=log_axis(safe(x_title(result)), curve.across, 6),
        yaxis=axis(loss_title(result.temperature), range=curve.up, domain=[0.52, 1] if lawful else [0, 1]),
        hovermode="closest",
    )
    drawn.update_layout(legend=COLUMNS)
    _law_and_points(drawn, result, curve)
    if lawful:
        drawn.update_layout(
            xaxis2=log_axis(
                safe(short(result.axis, 16)), curve.across, 5, domain=[0, 0.44 if cloudy else 1], anchor="y2"
            ),
            yaxis2=log_axis("", curve.gaps, 5, domain=[0, 0.3], anchor="x2"),
        )
        heading(drawn, "NLL less c (nats)", "2", "2")
        _law_line(drawn, curve, curve.y - result.c, "2")
        _points(drawn, result, result.c, "2")
        if under := int((result.y <= result.c).sum()):  # a weighted fit may leave points there; they have no logarithm
            _note(drawn, f"{under} below c", "2")
        if cloudy:
            _cloud(drawn, result)
    return titled(drawn, words)


def _law_and_points(drawn: Any, result: PowerLaw, curve: LawCurve) -> None:
    if np.isfinite(result.c):
        _band(drawn, curve.x, curve.low, curve.high, "95 % interval of the law")
        _law_line(drawn, curve, curve.y, "")
        if curve.limit_inside:
            _level(drawn, curve.across, result.c, "limit c", INK, "dot")
        else:
            _note(drawn, f"limit c = {result.c:.3g} below", "")
    without = result.without_collapsed
    if without is not None and np.isfinite(without.c):
        drawn.add_scatter(
            x=curve.x,
            y=drawable(without.predict(curve.x)),
            mode="lines",
            line={"color": ORANGE, "dash": "dashdot", "width": 1.5},
            name=f"{len(result.collapsed)} collapsed out",
            hovertext=safe(f"without {', '.join(result.collapsed)}: {law_words(without)}"),
            hoverinfo="text",
        )
    _points(drawn, result, 0.0, "")
    if (lost := ~np.isfinite(result.y)).any():
        _at_the_top(drawn, result.x[lost], f"not finite ({int(lost.sum())})", "x")


def _law_line(drawn: Any, curve: LawCurve, y: Any, panel: str) -> None:
    """Solid between the points that it was fitted to, dashed beyond."""
    place = {"xaxis": f"x{panel}", "yaxis": f"y{panel}", "mode": "lines", "showlegend": False}
    hover = {"hovertemplate": "law at %{x:.4g}: %{y:.4g}<extra></extra>"}
    drawn.add_scatter(x=curve.x, y=drawable(y), line={"color": BLUE, "width": 1.5, "dash": "dash"}, **place, **hover)
    place["showlegend"] = not panel
    drawn.add_scatter(
        x=curve.x,
        y=drawable(np.where(curve.fitted, y, np.nan)),
        line={"color": BLUE, "width": 2.5},
        name="law",
        hoverinfo="skip",
        **place,
    )


def _points(drawn: Any, result: PowerLaw, below: float, panel: str) -> None:
    """Points, forecasts and what was measured there, all lowered by ``below``."""
    place = {"xaxis": f"x{panel}", "yaxis": f"y{panel}", "mode": "markers", "hoverinfo": "text"}
    lonely = (result.groups == 1) & np.isfinite(result.y)
    if lonely.any() and (result.groups > 1).any():
        marker = {"symbol": "circle-open", "size": 17, "color": FAINT, "line": {"width": 1.5}}
        y = drawable(result.y[lonely] - below)
        style = {**place, "hoverinfo": "skip", "name": "a single group", "showlegend": not panel}
        drawn.add_scatter(x=result.x[lonely], y=y, marker=marker, **style)
    for keep, face, name in ((result.fitted, BLUE, "fitted, ± 1 s.e."), (~result.fitted, PAPER, "not fitted")):
        if keep.any():
            drawn.add_scatter(
                x=result.x[keep],
                y=drawable(result.y[keep] - below),
                error_y=bars(np.nan_to_num(result.se[keep]), BLUE),
                marker={"size": 9, "color": face, "line": {"color": BLUE, "width": 1.8}},
                hovertext=[_point_hover(result, int(index)) for index in np.flatnonzero(keep)],
                name=name,
                showlegend=not panel,
                **place,
            )
    _forecasts(drawn, result, below, place, panel)


def _point_hover(result: PowerLaw, index: int) -> str:
    text = f"at {amount(result.x[index])}: NLL {number(result.y[index], 5)}"
    if np.isfinite(result.se[index]):
        text += f" ± {number(result.se[index], 2)} (s.e.)"
    text += f"<br>mean over {counted(int(result.groups[index]), 'group')}"
    return text if result.fitted[index] else f"{text}<br>not fitted"


def _forecasts(drawn: Any, result: PowerLaw, below: float, place: dict[str, Any], panel: str) -> None:
    if not result.forecasts:
        return
    hover = [
        safe(forecast).replace(", measured", "<br>measured").replace(", predicted", "<br>predicted")
        for forecast in result.forecasts
    ]
    x, y = ([getattr(forecast, name) for forecast in result.forecasts] for name in ("x", "predicted"))
    up, down = ([sign * (f.interval[end] - f.predicted) for f in result.forecasts] for end, sign in ((1, 1), (0, -1)))
    drawn.add_scatter(
        x=x,
        y=drawable(np.array(y) - below),
        error_y={**bars(up, VERMILLION), "symmetric": False, "arrayminus": down},
        marker={"symbol": "diamond-open", "size": 11, "color": VERMILLION, "line": {"width": 2}},
        name="forecast, 95 %",
        showlegend=not panel,
        hovertext=hover,
        **place,
    )
    measured = np.array([np.nan if f.measured is None else f.measured for f in result.forecasts])
    if np.isfinite(measured).any():
        drawn.add_scatter(
            x=x,
            y=drawable(measured - below),
            marker={"symbol": "x-thin", "size": 9, "line": {"color": INK, "width": 2}},
            name="measured there",
            showlegend=not panel,
            hovertext=hover,
            **place,
        )


def _cloud(drawn: Any, result: PowerLaw) -> None:
    c, _, a = result.cloud.T
    place = {"xaxis": "x3", "yaxis": "y3", "mode": "markers", "showlegend": False}
    drawn.add_scatter(
        x=drawable(a),
        y=drawable(c),
        marker={"size": 4, "color": BLUE, "opacity": 0.35},
        hovertemplate="a resample<br>c = %{y:.4g}, a = %{x:.3g}<extra></extra>",
        **place,
    )
    drawn.add_scatter(
        x=[result.a],
        y=[result.c],
        marker={"symbol": "cross", "size": 9, "color": INK, "line": {"color": PAPER, "width": 1}},
        hovertext=f"the law<br>{law_words(result).replace('], ', ']<br>')}",
        hoverinfo="text",
        **place,
    )
    drawn.update_layout(
        xaxis3=axis("a, resampled", range=padded([*a, result.a]), domain=[0.58, 1], anchor="y3", nticks=4),
        yaxis3=axis("", range=padded([*c, result.c]), domain=[0, 0.3], anchor="x3", nticks=5),
    )
    heading(drawn, "c (nats)", "3", "3")


@plotting.register(Predictions)
def _predictions(result: Predictions) -> Any:
    found = errors(result)
    n = np.arange(1, len(result) + 1)
    drawn = sheet(
        xaxis=axis("n, networks in their order", range=[0.5, len(n) + 0.5], **({"dtick": 1} if len(n) < 9 else {})),
        yaxis=axis(safe(f"{short(result.part, 20)} error"), range=found.up),
        hovermode="closest",
    )
    drawn.update_layout(legend=COLUMNS)
    _band(drawn, n, found.together - found.se, found.together + found.se, "± 1 s.e. over examples")
    learned = ~found.broken & ~found.collapsed
    if learned.any():
        _level(drawn, (0.5, len(n) + 0.5), float(found.each[learned].mean()), "mean of one", ORANGE, "dash")
        _members(drawn, result, found, learned, "one network", {"color": ORANGE})
    if (guesses := found.collapsed & ~found.above).any():
        marker = {"color": PAPER, "line": {"color": VERMILLION, "width": 1.8}}
        _members(drawn, result, found, guesses, f"collapsed ({int(guesses.sum())})", marker)
    drawn.add_scatter(
        x=n,
        y=drawable(found.together),
        mode="lines+markers",
        line={"color": BLUE, "width": 2.5},
        marker={"size": 6},
        name=f"first n {'finite' if found.broken.any() else 'together'}",
        hovertext=[_together_hover(found, index) for index in range(len(n))],
        hoverinfo="text",
    )
    for marked, what, symbol in ((found.above, "collapsed", "triangle-up"), (found.broken, "not finite", "x")):
        if marked.any():
            hover = [_member_hover(result, found, int(index)) for index in np.flatnonzero(marked)]
            _at_the_top(drawn, n[marked], f"{what} ({int(marked.sum())})", symbol, hover)
    return titled(drawn, found.words())


def _members(drawn: Any, result: Predictions, found: Errors, which: Any, name: str, marker: dict[str, Any]) -> None:
    drawn.add_scatter(
        x=1 + np.flatnonzero(which),
        y=drawable(found.each[which]),
        mode="markers",
        marker={"size": 9, **marker},
        name=name,
        hovertext=[_member_hover(result, found, int(index)) for index in np.flatnonzero(which)],
        hoverinfo="text",
    )


def _member_hover(result: Predictions, found: Errors, index: int) -> str:
    member = result.members[index]
    text = f"<b>{safe(member.name)}</b><br>error {number(found.each[index])}"
    if member.method:
        text += f"<br>{safe(member.method)}"
    reason = found.reasons.get(member.name)
    return f"{text}<br>collapsed: {safe(reason)}" if reason else text


def _together_hover(found: Errors, index: int) -> str:
    count = int((~found.broken[: index + 1]).sum())
    return (
        f"{counted(count, 'network')} together<br>error {number(found.together[index])} ± {number(found.se[index], 2)}"
    )


def _band(drawn: Any, x: Any, low: Any, high: Any, name: str) -> None:
    """A band between two curves, in pieces where they have gaps."""
    known = np.flatnonzero(np.isfinite(low))
    if not known.size:
        return
    pieces = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    drawn.add_scatter(
        x=np.concatenate([[*x[k], *x[k][::-1], np.nan] for k in pieces]),
        y=drawable(np.concatenate([[*high[k], *low[k][::-1], np.nan] for k in pieces])),
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        name=name,
    )


def _level(drawn: Any, across: tuple[float, float], y: float, name: str, colour: str, dash: str) -> None:
    line = {"color": colour, "width": 1.2, "dash": dash}
    style = {"mode": "lines", "hoverinfo": "name"}
    drawn.add_scatter(x=list(across), y=[number_or_none(y)] * 2, line=line, name=name, **style)


def _at_the_top(drawn: Any, x: Any, name: str, symbol: str, hover: list[str] | None = None) -> None:
    """Marks at the upper edge, for what has no height in this picture."""
    drawn.update_layout(yaxis9={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
    drawn.add_scatter(
        x=x,
        y=np.full(len(x), 0.98),
        yaxis="y9",
        mode="markers",
        marker={"symbol": symbol, "color": VERMILLION, "size": 9},
        name=name,
        hovertext=hover or name,
        hoverinfo="text",
    )


def _note(drawn: Any, text: str, panel: str) -> None:
    """Words in the lower left corner of a panel."""
    place = {"xref": f"x{panel} domain", "yref": f"y{panel} domain", "x": 0.01, "y": 0.02, "showarrow": False}
    drawn.add_annotation(text=text, **place)


def bars(reach: Any, colour: str) -> dict[str, Any]:
    """Error bars that reach so far up and down."""
    return {"type": "data", "array": reach, "color": colour, "thickness": 1.2, "width": 3}
