"""Draws what bench/run.py has measured, as an SVG that is legible on light and dark.

Usage: python bench/plot.py bench/results/http.json docs/measured.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

# Workloads that every server has, and what stands over them.
PANELS = {"plaintext": "plaintext", "json": "JSON", "params": "path + query, converted"}
# Servers, from run.py's keys; one that was not measured is left out.
TITLES = {
    "floor": "epoll responder in C",
    "bare": "weft's C server, no Python",
    "weft": "weft",
    "socketify": "socketify (sync)",
    "sanic": "Sanic",
    "blacksheep": "BlackSheep on granian",
    "litestar": "Litestar on uvicorn",
    "robyn": "Robyn",
    "fastapi-granian": "FastAPI on granian",
    "fastapi": "FastAPI on uvicorn",
}
TITLE = "CPU time of a request, in microseconds: less is better"
WIDTH, LABELS, GAP, ROW, TOP, BOTTOM = 880, 200, 30, 22, 62, 34
NUMBER = 36  # room behind the longest bar
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 } .quiet { fill: #57606a }
.weft { font-weight: 700 }
.bar { fill: #8c959f } .bar.weft { fill: #1f6feb } .bar.c { fill: #c4cad1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 }
  .bar { fill: #6e7681 } .bar.weft { fill: #58a6ff } .bar.c { fill: #484f58 }
}
"""


def best(results: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, dict[str, float]]:
    """CPU microseconds a request by server and workload, as run.py's tables have them."""
    return {
        server: {
            name: min(s["user_us"] + s["system_us"] for s in samples)
            for name, samples in by_workload.items()
        }
        for server, by_workload in results.items()
    }


def draw(cpu: dict[str, dict[str, float]]) -> str:
    servers = [key for key in TITLES if any(name in cpu.get(key, {}) for name in PANELS)]
    if not servers:
        raise SystemExit("nothing that could be drawn has been measured")
    height = TOP + ROW * len(servers) + BOTTOM
    panel = (WIDTH - LABELS - GAP * len(PANELS)) / len(PANELS)
    most = max(cpu[key].get(name, 0) for key in servers for name in PANELS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(_words(cpu, servers))}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="16">{TITLE}</text>',
    ]
    for row, key in enumerate(servers):
        y = TOP + ROW * row + 15
        parts.append(f'<text class="{_kind(key)}" x="0" y="{y}">{escape(TITLES[key])}</text>')
    for column, (name, title) in enumerate(PANELS.items()):
        x = LABELS + column * (panel + GAP)
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{TOP - 12}">{escape(title)}</text>')
        parts += _bars(cpu, servers, name, x, (panel - NUMBER) / most)
    parts.append(
        f'<text class="quiet" x="0" y="{height - 8}">'
        "One core, loopback, user and system time. make bench measures it.</text></svg>\n"
    )
    return "\n".join(parts)


def _bars(
    cpu: dict[str, dict[str, float]], servers: list[str], name: str, x: float, scale: float
) -> Iterator[str]:
    for row, key in enumerate(servers):
        value = cpu[key].get(name)
        y = TOP + ROW * row
        if value is None:
            yield f'<text class="quiet" x="{x:.1f}" y="{y + 15}">-</text>'
            continue
        length = value * scale
        kind = _kind(key)
        yield (
            f'<rect class="bar {kind}" x="{x:.1f}" y="{y + 3}" width="{length:.1f}" '
            'height="15" rx="2"/>'
        )
        yield f'<text class="{kind}" x="{x + length + 4:.1f}" y="{y + 15}">{value:.1f}</text>'


def _kind(key: str) -> str:
    return {"weft": "weft", "floor": "c", "bare": "c"}.get(key, "peer")


def _words(cpu: dict[str, dict[str, float]], servers: list[str]) -> str:
    """The picture for who cannot see it."""
    told = (f"{TITLES[key]} {cpu[key]['json']:.1f}" for key in servers if "json" in cpu[key])
    return "CPU microseconds of a request with a JSON reply: " + ", ".join(told)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.write_text(draw(best(json.loads(source.read_text()))))


if __name__ == "__main__":
    main()
