#!/usr/bin/env python3
"""Puts every question of the Grafana dashboard to a Prometheus, fails where nothing answers, and draws the answers as SVG.
usage: dashboard.py URL DASHBOARD PICTURE

It draws what the dashboard describes (places, titles, units) in a plain way of its own; the picture is no screenshot of
Grafana, and says so.
"""

import html
import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

WIDTH, ROW, GAP = 1200, 30, 8
COLORS = ["#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0", "#508642", "#cca300"]
RED, GREEN, GREY, TEXT, BACK, PANEL = "#e24d42", "#73bf69", "#8e8e99", "#d8d9da", "#111217", "#1c1e24"
# Of the range that is drawn, in seconds, and how far apart points are.
RANGE, STEP = 120, 1
# Tokens of the demo do not expire.
MAY_BE_EMPTY = {"Next token expires in"}
VARIABLES = {"$namespace": ".*", "$policy": ".*", "$__rate_interval": "15s"}


def ask(base, path, **parameters):
    address = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)["data"]


def expression(target):
    text = target["expr"]
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def legend(target, labels):
    text = target.get("legendFormat") or ""
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def told(value, unit):
    """A number as people read it."""
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} s"
    if unit == "bytes":
        for size, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
    text = f"{value:,.1f}".removesuffix(".0")
    return f"{text} req/s" if unit == "reqps" else text


def words(x, y, text, size=12, color=TEXT, anchor="start"):
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {where}>{html.escape(str(text))}</text>"


def stat(panel, box, base, now):
    x, y, w, h = box
    answer = ask(base, "query", query=expression(panel["targets"][0]), time=now)["result"]
    value = float(answer[0]["value"][1]) if answer else None
    defaults = panel["fieldConfig"]["defaults"]
    color = TEXT
    for step in defaults.get("thresholds", {}).get("steps", []):
        if value is not None and (step["value"] is None or value >= step["value"]):
            color = {"red": RED, "green": GREEN}.get(step["color"], COLORS[1])
    shown = "none" if value is None else told(value, defaults.get("unit"))
    return [words(x + w / 2, y + h / 2 + 20, shown, 30, color, "middle")], len(answer)


def table(panel, box, base, now):
    x, y, w, _ = box
    organize = next(it["options"] for it in panel["transformations"] if it["id"] == "organize")["renameByName"]
    columns = [organize[f"Value #{target['refId']}"] for target in panel["targets"]]
    units = {it["matcher"]["options"]: it["properties"][0]["value"] for it in panel["fieldConfig"]["overrides"]}
    rows, series = {}, 0
    for column, target in zip(columns, panel["targets"]):
        for one in ask(base, "query", query=expression(target), time=now)["result"]:
            series += 1
            key = (one["metric"]["namespace"], one["metric"]["policy"])
            rows.setdefault(key, {})[column] = told(float(one["value"][1]), units.get(column, "short"))
    heads = ["namespace", "policy", *columns]
    places = [x + 14 + (w - 28) * number / len(heads) for number in range(len(heads))]
    made = [words(place, y + 50, head, 12, GREY) for place, head in zip(places, heads)]
    for line, (key, cells) in enumerate(sorted(rows.items())):
        shown = [*key, *(cells.get(column, "–") for column in columns)]
        made += [words(place, y + 76 + 26 * line, cell, 13) for place, cell in zip(places, shown)]
    return made, series


def graph(panel, box, base, now):
    x, y, w, h = box
    lines = []
    for target in panel["targets"]:
        answer = ask(base, "query_range", query=expression(target), start=now - RANGE, end=now, step=STEP)["result"]
        for one in answer:
            lines.append((legend(target, one["metric"]), [(float(at), float(value)) for at, value in one["values"]]))
    lines.sort(key=lambda line: -max(value for _, value in line[1]))
    top = max((value for _, points in lines for _, value in points), default=0) or 1
    unit = panel["fieldConfig"]["defaults"].get("unit")
    rows = min(len(lines), 5)
    left, right, above, below = x + 64, x + w - 14, y + 40, y + h - 20 - 17 * rows
    made = []
    for part in range(3):
        level = below - (below - above) * part / 2
        made.append(f'<line x1="{left}" y1="{level:.1f}" x2="{right}" y2="{level:.1f}" stroke="#2c2f36"/>')
        made.append(words(left - 6, level + 4, told(top * part / 2, unit), 11, GREY, "end"))
    for number, (name, points) in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        across, down = (right - left) / RANGE, (below - above) / top
        path = " ".join(f"{left + across * (at - now + RANGE):.1f},{below - down * value:.1f}" for at, value in points)
        made.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        if number < rows:
            more = f" and {len(lines) - rows} more" if number == rows - 1 and len(lines) > rows else ""
            made.append(f'<rect x="{x + 14}" y="{below + 12 + 17 * number}" width="12" height="3" fill="{color}"/>')
            made.append(words(x + 32, below + 18 + 17 * number, name + more, 11, GREY))
    return made, len(lines)


KINDS = {"stat": stat, "table": table, "timeseries": graph}


def check(base):
    """That Prometheus scraped the operator, in OpenMetrics, with exemplars."""
    target = ask(base, "targets", state="active")["activeTargets"][0]
    if target["health"] != "up":
        sys.exit(f"Prometheus cannot read the metrics: {target['lastError']}")
    bucket, now = "registry_cleanup_run_duration_seconds_bucket", time.time()
    exemplars = ask(base, "query_exemplars", query=bucket, start=now - 3600, end=now)
    runs = {one["labels"]["run"] for series in exemplars for one in series["exemplars"]}
    if not runs:
        sys.exit("Prometheus has no exemplar, so it did not read OpenMetrics")
    print(f"Prometheus reads the metrics, with {len(runs)} runs as exemplars")


def main():
    base, dashboard, picture = sys.argv[1:]
    check(base)
    panels = json.loads(pathlib.Path(dashboard).read_text())["panels"]
    now = time.time()
    unit = (WIDTH + GAP) / 24
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW + 60
    made, empty = [], []
    for panel in panels:
        place = panel["gridPos"]
        box = (place["x"] * unit, place["y"] * ROW, place["w"] * unit - GAP, place["h"] * ROW - GAP)
        x, y, w, h = box
        made.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="3" fill="{PANEL}"/>')
        made.append(words(x + 14, y + 22, panel["title"], 13))
        drawn, answers = KINDS[panel["type"]](panel, box, base, now)
        made += drawn
        print(f"{answers:>3} answers  {panel['title']}")
        if not answers and panel["title"] not in MAY_BE_EMPTY:
            empty.append(panel["title"])
    caption = "The dashboard, drawn by hack/dashboard.py of what a Prometheus scraped in a few minutes of a demo. It is not Grafana."
    made.append(words(WIDTH / 2, height - 24, caption, 13, GREY, "middle"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">\n'
        f"<title>{html.escape(caption)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="{BACK}"/>\n'
    )
    pathlib.Path(picture).write_text(head + "\n".join(made) + "\n</svg>\n")
    if empty:
        sys.exit(f"nothing answers: {', '.join(empty)}")


main()
