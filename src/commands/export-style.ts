import type { Markup } from './diff-markup.ts';

/** What the page of a run adds to the style of every page. A constant. */
export const RUN_STYLE: Markup = {
  html: `
:root { --ca: #7a6ff0; --node: #2f9ba8; --plugin: #3f7fd6; --catalog: #c2571a; --file: #3d9a50; --bucket: #8a8f2a; --report: #b0428c; --other: #7d8894;
  --shake: #6b7480; --got: #ffffff80; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --shake: #8d97a3; --got: #ffffff55; --warn: #e0b050; } }
.chart { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; padding: 4px 8px; margin: 8px 0; }
.chart svg { display: block; width: 100%; min-width: 900px; height: auto; font: 11.5px ui-monospace, "DejaVu Sans Mono", monospace; }
svg text { fill: var(--text); } svg .tick, svg .id, svg .took { fill: var(--dim); } svg .bad { fill: var(--del); font-weight: bold; }
svg .grid { stroke: var(--line); } svg .stripe { fill: var(--card); } svg .open { fill: var(--line); } svg .closed { stroke: var(--text); stroke-width: 2; }
svg .shake { fill: none; stroke: var(--shake); stroke-width: 1.5; } svg .got { fill: var(--got); pointer-events: none; } svg .jruby { fill: currentColor; pointer-events: none; }
.ca, .crl, .csr, .certificate { fill: var(--ca); background: var(--ca); } .node { fill: var(--node); background: var(--node); }
.pluginsync { fill: var(--plugin); background: var(--plugin); } .bar.catalog, i.catalog { fill: var(--catalog); background: var(--catalog); }
.bar.file, i.file { fill: var(--file); background: var(--file); } .filebucket { fill: var(--bucket); background: var(--bucket); }
.report { fill: var(--report); background: var(--report); } .other { fill: var(--other); background: var(--other); }
i.shake { border: 2px solid var(--shake); } i.jruby { background: currentColor; height: 3px; } i.got { border: 1px solid var(--dim); background: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: 4px 0 12px; padding: 0; font-size: 0.85rem; color: var(--dim); }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px; vertical-align: -1px; }
.verdict { font-size: 1.05rem; border-left: 4px solid var(--add); padding: 6px 14px; margin: 12px 0; background: var(--card); }
.verdict.bad { border-color: var(--del); } .verdict.changed { border-color: var(--chg); }
.finding { border-left: 4px solid var(--line); padding: 2px 0 2px 14px; margin: 10px 0; } .finding p { margin: 2px 0; }
.finding.error { border-color: var(--del); } .finding.warning { border-color: var(--warn); }
.badge { font-weight: bold; } .error .badge, .failure, .err { color: var(--del); } .warning .badge, .warning-line { color: var(--warn); }
table.wide td, table.wide th { overflow-wrap: anywhere; } td.n, th.n { text-align: right; white-space: nowrap; } td.word { white-space: nowrap; overflow-wrap: normal; } td.source { min-width: 12em; max-width: 26em; color: var(--dim); } td.id { white-space: nowrap; color: var(--dim); }
details { margin: 8px 0; } details > summary { font-weight: 600; }
footer { margin-top: 48px; color: var(--dim); font-size: 0.85rem; border-top: 1px solid var(--line); padding-top: 8px; }
@media print { .chart svg { min-width: 0; } main { max-width: none; } }
`,
};
