"""Small multiples of log-log curves as one SVG, with nothing but the standard library."""
import math
from xml.sax.saxutils import escape

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#475569")
PANEL_WIDTH, PANEL_HEIGHT, COLUMNS = 300, 220, 4
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 42, 34  # of a panel, around its axes


def exponents(values):
    """The powers of ten around these values, at least one decade apart."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def short(exponent):
    """10^exponent as one reads it on an axis."""
    units = {0: "", 1: "k", 2: "M", 3: "G"}
    return f"{10 ** exponent:g}" if exponent < 0 else f"{10 ** (exponent % 3)}{units[exponent // 3]}"


def nanoseconds(exponent):
    units = {0: "ns", 1: "us", 2: "ms", 3: "s"}
    return f"{10 ** exponent:g} ns" if exponent < 0 else f"{10 ** (exponent % 3)} {units[min(exponent // 3, 3)]}"


def panel(x, y, title, note, lines, colours):
    """One set of axes; `lines` is {name: [(size, value), ...]}. A note is what is wrong with it."""
    points = [point for line in lines.values() for point in line]
    size_low, size_high = exponents([size for size, _ in points])
    value_low, value_high = exponents([value for _, value in points])
    width, height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
    across = lambda size: x + LEFT + width * (math.log10(size) - size_low) / (size_high - size_low)
    up = lambda value: y + TOP + height * (1 - (math.log10(value) - value_low) / (value_high - value_low))
    drawn = [f'<text x="{x + LEFT}" y="{y + 17}" class="title">{escape(title)}</text>']
    if note:
        drawn.append(f'<text x="{x + LEFT}" y="{y + 33}" class="note">{escape(note)}</text>')
    for exponent in range(size_low, size_high + 1):
        at = across(10.0 ** exponent)
        drawn.append(f'<line x1="{at:.1f}" y1="{y + TOP}" x2="{at:.1f}" y2="{y + TOP + height}" class="grid"/>')
        drawn.append(f'<text x="{at:.1f}" y="{y + TOP + height + 15}" class="tick" text-anchor="middle">'
                     f"{short(exponent)}</text>")
    for exponent in range(value_low, value_high + 1):
        at = up(10.0 ** exponent)
        drawn.append(f'<line x1="{x + LEFT}" y1="{at:.1f}" x2="{x + LEFT + width}" y2="{at:.1f}" class="grid"/>')
        drawn.append(f'<text x="{x + LEFT - 5}" y="{at + 4:.1f}" class="tick" text-anchor="end">'
                     f"{nanoseconds(exponent)}</text>")
    for name, line in lines.items():
        path = " ".join(f"{across(size):.1f},{up(value):.1f}" for size, value in line)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.8"/>')
        drawn += [f'<circle cx="{across(size):.1f}" cy="{up(value):.1f}" r="2.2" fill="{colours[name]}"/>'
                  for size, value in line]
    return drawn


def small_multiples(caption, panels):
    """The SVG text; `panels` is [(title, note, {line: [(size, value), ...]}), ...], sizes and values above 0."""
    names = list(dict.fromkeys(name for _, _, lines in panels for name in lines))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    head = 48
    width = COLUMNS * PANEL_WIDTH
    height = head + math.ceil(len(panels) / COLUMNS) * PANEL_HEIGHT
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
             "<style>.title{font-size:13px;font-weight:bold;fill:#111}.note{font-size:11px;fill:#b91c1c}"
             ".tick{font-size:10px;fill:#444}.grid{stroke:#ddd;stroke-width:1}.key{font-size:13px;fill:#111}</style>",
             f'<rect width="{width}" height="{height}" fill="#fff"/>',
             f'<text x="16" y="28" class="key">{escape(caption)}</text>']
    at = width - 16 - 120 * len(names)
    for name in names:
        drawn.append(f'<line x1="{at}" y1="24" x2="{at + 24}" y2="24" stroke="{colours[name]}" stroke-width="3"/>')
        drawn.append(f'<text x="{at + 30}" y="28" class="key">{escape(name)}</text>')
        at += 120
    for i, (title, note, lines) in enumerate(panels):
        drawn += panel(i % COLUMNS * PANEL_WIDTH, head + i // COLUMNS * PANEL_HEIGHT, title, note, lines, colours)
    return "\n".join([*drawn, "</svg>", ""])
