"""The look of the page: no file, font or script from elsewhere."""

from train.report.pictures import UNSEEN, heat_gradient

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # nothing is fetched

_STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f5f6f8; --text: #1c2430; --soft: #5b6675; --line: #dfe3e8;
  --faint: #e9ecf0; --link: #1d5fc4; --mark: #8a93a0;
  --c0: #2563eb; --c1: #c2570c; --c2: #0b8a62; --c3: #c0267e; --c4: #6d3fd1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10141a; --panel: #181e26; --text: #e6eaf0; --soft: #9aa6b5; --line: #2c3541;
    --faint: #222a34; --link: #7db2ff; --mark: #7f8a99;
    --c0: #6aa5ff; --c1: #f5a04c; --c2: #4ccf9f; --c3: #f47fc0; --c4: #b79cff;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", Arial,
    sans-serif;
}
main { max-width: 1040px; margin: 0 auto; padding: 28px 16px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.3; margin: 0 0 4px; }
h3 { font-size: 16px; margin: 16px 0 6px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; max-width: 72ch; }
a { color: var(--link); }
section { margin-top: 40px; scroll-margin-top: 12px; }
.soft, figcaption { color: var(--soft); }
.soft { font-size: 15px; }
.notice { border-left: 3px solid var(--c1); background: var(--panel); padding: 10px 14px; }
header > div { margin-top: 22px; }
header > div:first-of-type { margin-top: 0; }
nav { margin: 18px 0 0; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 15px; }
nav a { text-decoration: none; padding: 3px 0; }
nav a:hover { text-decoration: underline; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 10px;
  margin: 16px 0 0; padding: 0;
}
.facts div { background: var(--panel); border-radius: 8px; padding: 10px 12px; }
.facts dt { color: var(--soft); font-size: 13px; }
.facts dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
.columns {
  display: grid; gap: 20px 28px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
}
.columns > * { min-width: 0; }
.pair {
  display: grid; gap: 0 36px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
}
.pair > * { min-width: 0; }
figure { margin: 10px 0 0; }
figcaption { font-size: 14px; margin-top: 6px; }
img { display: block; max-width: 100%; height: auto; }
.limited { max-width: 480px; }
.chart { display: block; width: 100%; max-width: 520px; height: auto; overflow: visible; }
.chart text { font-family: inherit; font-size: 11px; fill: var(--soft); }
.chart .label { fill: var(--text); }
.chart .name { fill: var(--soft); font-size: 10.5px; }
.chart path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.gridline { stroke: var(--faint); }
.axis { stroke: var(--mark); }
.line { stroke: currentColor; stroke-width: 2; }
.thin { stroke: currentColor; stroke-width: 1; opacity: 0.55; }
.dashed { stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 4 4; }
.diagonal { stroke: var(--mark); stroke-dasharray: 3 4; }
.mark { stroke: var(--mark); stroke-width: 1; stroke-dasharray: 1 4; }
.leader { stroke: var(--line); }
.mean { stroke: var(--text); stroke-dasharray: 3 3; }
.dot { fill: var(--page); stroke: currentColor; stroke-width: 2; }
.bar { fill: currentColor; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
.c3 { color: var(--c3); } .c4 { color: var(--c4); }
.legend {
  list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0;
  font-size: 14px; color: var(--soft);
}
.legend li { display: flex; align-items: center; gap: 7px; overflow-wrap: anywhere; }
.swatch { flex: none; width: 20px; height: 0; border-top: 2px solid currentColor; }
.swatch.thin { border-top-width: 1px; opacity: 0.7; }
.swatch.dashed { border-top-style: dashed; }
.badge {
  display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px;
  background: currentColor;
}
.table { overflow-x: auto; margin-top: 10px; }
table { border-collapse: collapse; font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; font-size: 14px; vertical-align: bottom; }
td { vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
tr.own td { font-weight: 600; }
tr.differs td { color: var(--c1); }
td.value { overflow-wrap: anywhere; min-width: 10em; }
td:last-child, th:last-child { padding-right: 0; }
pre {
  background: var(--panel); border-radius: 8px; padding: 10px 12px; margin: 8px 0 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 13.5px/1.5 ui-monospace, "SF Mono",
    "DejaVu Sans Mono", "Liberation Mono", monospace;
}
pre + p { margin-top: 12px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--link); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(148px, 1fr)); gap: 14px; }
.cards figure { margin: 0; }
.cards figcaption { white-space: pre-line; line-height: 1.35; overflow-wrap: anywhere; }
.cards img { width: 100%; border-radius: 4px; }
.scale { display: flex; align-items: center; gap: 8px; font-size: 14px; color: var(--soft);
  margin: 8px 0 14px; }
.scale span { flex: none; width: 132px; height: 12px; border-radius: 3px; background: HEAT; }
.swatch-box { display: inline-block; width: 12px; height: 12px; border-radius: 3px; }
.unseen { background: UNSEEN; }
.field img { width: 100%; max-width: 330px; border-radius: 4px; background: var(--faint); }
footer { margin-top: 48px; border-top: 1px solid var(--line); padding-top: 12px; }
@media print { main { max-width: none; } section { break-inside: avoid; } }
"""


def style() -> str:
    """The style sheet."""
    unseen = f"rgb({', '.join(map(str, UNSEEN))})"
    return _STYLE.replace("HEAT", heat_gradient()).replace("UNSEEN", unseen)
