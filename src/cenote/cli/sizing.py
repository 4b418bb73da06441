"""``cenote size``: how many connections a load needs, by Erlang C and by the rule of thumb.

Strategy: ``pool/sizing.py`` reckons. The plot, waits over the number of connections on a
logarithmic scale, is drawn with characters, or written as an SVG of its own: a curve, three marks
and two axes do not call for a library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import click

from cenote.errors import ConfigurationError
from cenote.pool.options import TARGET_WAIT
from cenote.pool.sizing import SHARE, Advice, Sizing, duration_text, size, sizings

TERMINAL = "-"
_LEAST = 1e-5  # seconds: what is less is drawn there
_BAR = 50
_WIDTH, _HEIGHT, _MARGIN = 720, 360, 60


@click.command("size", short_help="How many connections does a load need?")
@click.option("--rate", type=float, required=True, help="Callers a second at the busiest time.")
@click.option("--duration", type=float, required=True, help="Seconds each holds a connection.")
@click.option("--target-wait", type=float, default=TARGET_WAIT, show_default=True,
              help="Seconds that callers may wait at most.")  # fmt: skip
@click.option("--share", type=float, default=SHARE, show_default=True,
              help="Share of the callers that may wait no longer.")  # fmt: skip
@click.option("--variation", type=float, default=1.0, show_default=True,
              help="Standard deviation of the duration, divided by it.")  # fmt: skip
@click.option("--plot", is_flag=False, flag_value=TERMINAL, metavar="[FILE.svg]",
              help="Draw waits over sizes: here, or into an SVG file.")  # fmt: skip
def size_command(
    rate: float, duration: float, target_wait: float, share: float, variation: float,
    plot: str | None,
) -> None:  # fmt: skip
    """Say how large a pool must be for a load.

    By Erlang C for a wait, beside the rule of thumb: rate x duration x 1.5.
    """
    if plot not in (None, TERMINAL) and not str(plot).endswith(".svg"):
        raise click.BadParameter(f"{plot!r}: only files named .svg can be written", None, None)
    advice = size(rate, duration, target_wait=target_wait, share=share, variation=variation)
    click.echo(advice)
    curve = _curve(advice)
    if plot == TERMINAL:
        click.echo("\n" + "\n".join(_bars(curve, advice)))
    elif plot is not None:
        _write(plot, svg(curve, advice))
        click.echo(f"drawn in {plot}")


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file!r} can not be written: {error.strerror}") from error


def _curve(advice: Advice) -> list[Sizing]:
    """Return what sizes do, from the least that bears the load to beyond both answers."""
    last = max(advice.size, advice.rule_of_thumb) + 2
    every = sizings(advice.rate, advice.duration, share=advice.share, variation=advice.variation)
    return list(takewhile(lambda one: one.size <= last, every))


def _height(wait: float, most: float) -> float:
    """Return where a wait is between the least that is drawn (0) and the most (1)."""
    lowest = math.log(_LEAST)
    return (math.log(max(wait, _LEAST)) - lowest) / (math.log(max(most, 2 * _LEAST)) - lowest)


# In the terminal.


def _bars(curve: list[Sizing], advice: Advice) -> Iterator[str]:
    yield f"size  {advice.share * 100:g} % of the callers wait at most (bars are logarithmic)"
    step = max(1, math.ceil(len(curve) / 40))
    most = curve[0].wait
    for one in curve:
        marked = one.size in (advice.size, advice.rule_of_thumb)
        if marked or (one.size - curve[0].size) % step == 0:
            bar = "█" * round(_BAR * _height(one.wait, most))
            yield f"{one.size:>4}  {bar} {duration_text(one.wait)}{_name(one, advice)}"


def _name(one: Sizing, advice: Advice) -> str:
    names = []
    if one.size == advice.size:
        names.append("Erlang C")
    if one.size == advice.rule_of_thumb:
        names.append("rule of thumb")
    return f"  <- {', '.join(names)}" if names else ""


# As an SVG.


@dataclass(frozen=True)
class Scale:
    """Where sizes and waits are in the picture."""

    first: int
    last: int
    most: float

    def x(self, servers: float) -> float:
        """Return where a size is, from the left."""
        share = (servers - self.first) / max(1, self.last - self.first)
        return _MARGIN + share * (_WIDTH - 2 * _MARGIN)

    def y(self, wait: float) -> float:
        """Return where a wait is, from the top."""
        return _HEIGHT - _MARGIN - _height(wait, self.most) * (_HEIGHT - 2 * _MARGIN)


def svg(curve: list[Sizing], advice: Advice) -> str:
    """Draw the waits of several sizes as an SVG document."""
    scale = Scale(curve[0].size, curve[-1].size, max(curve[0].wait, 10 * _LEAST))
    frame = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">'
    )
    title = f"{advice.share * 100:g} % of the callers wait at most"
    load = f"{advice.rate:g} a second, {duration_text(advice.duration)} each"
    parts = [
        frame,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, 24, title, size=15),
        _text(_WIDTH / 2, 42, load),
        *_axes(scale),
        _line(scale, advice.target_wait, f"target {duration_text(advice.target_wait)}"),
        _path(curve, scale),
        *_marks(curve, advice, scale),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


def _axes(scale: Scale) -> Iterator[str]:
    left, bottom, right = _MARGIN, _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    yield f'<path d="M{left} {_MARGIN} V{bottom} H{right}" fill="none" stroke="black"/>'
    step = max(1, (scale.last - scale.first) // 12)
    for servers in range(scale.first, scale.last + 1, step):
        yield _text(scale.x(servers), bottom + 18, str(servers))
    yield _text(_WIDTH / 2, _HEIGHT - 14, "connections")
    power = math.floor(math.log10(scale.most))
    for exponent in range(math.ceil(math.log10(_LEAST)), power + 1):
        wait = 10.0**exponent
        yield _text(left - 8, scale.y(wait) + 4, duration_text(wait), anchor="end")
        yield (f'<path d="M{left} {scale.y(wait):.1f} H{right}" stroke="#ddd" stroke-width="0.5"/>')


def _line(scale: Scale, wait: float, name: str) -> str:
    y, right = scale.y(wait), _WIDTH - _MARGIN
    line = f'<path d="M{_MARGIN} {y:.1f} H{right}" stroke="#c33" stroke-dasharray="5 4"/>'
    return line + _text(right, y - 6, name, anchor="end")


def _path(curve: list[Sizing], scale: Scale) -> str:
    points = " ".join(f"{scale.x(one.size):.1f},{scale.y(one.wait):.1f}" for one in curve)
    return f'<polyline points="{points}" fill="none" stroke="#27c" stroke-width="2"/>'


def _marks(curve: list[Sizing], advice: Advice, scale: Scale) -> Iterator[str]:
    for one in curve:
        if _name(one, advice):
            x, y = scale.x(one.size), scale.y(one.wait)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#27c"/>'
            name = _name(one, advice).removeprefix("  <- ")
            yield _text(x, y - 12, f"{name}: {one.size}")
