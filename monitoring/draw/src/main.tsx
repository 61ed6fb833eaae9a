// Draws one dashboard with Grafana's own panel components: the same JSON that Grafana reads. This is not a Grafana
// server: variables are "all", nothing is provisioned, and queries go to Prometheus straight.
import { createRoot } from 'react-dom/client';
import { useEffect, useState, type ReactNode } from 'react';
import {
  ThemeContext,
  VizOrientation,
  createTheme,
  dateTime,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardTransformers,
  type DataFrame,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { BarGauge, BigValue, PanelChrome, Table, TimeSeries } from '@grafana/ui';
import { of, lastValueFrom } from 'rxjs';
import { withFields } from './fields';
import { ask, moments, range } from './prometheus';

const theme = createTheme({ colors: { mode: 'dark' } });
/** Grafana's grid: 24 columns, lines of 30 pixels, 8 between. */
const CELL = 30;
const GAP = 8;
const WIDTH = 1568;

const time = {
  from: dateTime(range.from * 1000),
  to: dateTime(range.to * 1000),
  raw: { from: dateTime(range.from * 1000), to: dateTime(range.to * 1000) },
};

interface Mark {
  color: string;
  at: number[];
}

/** What was found wrong, for whoever takes the screenshot. */
const findings: string[] = [];
(window as any).findings = findings;
let waiting = 0;

function done() {
  waiting -= 1;
  if (waiting === 0) {
    requestAnimationFrame(() => setTimeout(() => document.body.setAttribute('data-drawn', 'yes'), 500));
  }
}

async function load(panel: any, width: number): Promise<DataFrame[]> {
  const answers = await Promise.all(panel.targets.map((target: any) => ask(target, width)));
  let frames = answers.flat();
  for (const step of panel.transformations ?? []) {
    const organize = standardTransformers.organizeFieldsTransformer;
    if (step.id !== organize.id) {
      throw new Error(`transformation ${step.id} is not drawn`);
    }
    const context = { interpolate: (text: string) => text };
    frames = await lastValueFrom(of(frames).pipe(organize.operator({ ...organize.defaultOptions, ...step.options }, context)));
  }
  return withFields(frames, panel.fieldConfig, theme);
}

function Panel({ panel, marks, width, height }: { panel: any; marks: Mark[]; width: number; height: number }) {
  const [frames, setFrames] = useState<DataFrame[]>();
  useEffect(() => {
    load(panel, width)
      .then((frames) => {
        const values = frames.flatMap((frame) => frame.fields.filter((field) => field.name !== 'Time' && field.values.length));
        if (values.length === 0 && !panel.fieldConfig.defaults.noValue) {
          findings.push(`EMPTY ${panel.title}`);
        }
        setFrames(frames);
      })
      .catch((error) => findings.push(`FAILED ${panel.title}: ${error}`))
      .finally(done);
  }, []);
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(inner, high) => (frames ? draw(panel, frames, marks, inner, high) : null)}
    </PanelChrome>
  );
}

function draw(panel: any, frames: DataFrame[], marks: Mark[], width: number, height: number): ReactNode {
  const empty = !frames.some((frame) => frame.length > 0);
  if (empty && (panel.type === 'timeseries' || panel.type === 'table')) {
    return <p style={{ textAlign: 'center' }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</p>;
  }
  switch (panel.type) {
    case 'timeseries':
      return (
        <TimeSeries frames={frames} width={width} height={height} timeRange={time} timeZone="utc" legend={panel.options.legend} options={panel.options}>
          {(builder) => {
            builder.addHook('draw', (plot: any) => drawMarks(plot, marks));
            return null;
          }}
        </TimeSeries>
      );
    case 'stat':
      return numbers(panel, frames, width, height);
    case 'bargauge':
      return bars(panel, frames, width, height);
    case 'table':
      return <Table data={frames[0]} width={width} height={height} />;
    default:
      findings.push(`NOT DRAWN ${panel.title}: ${panel.type}`);
      return null;
  }
}

function drawMarks(plot: any, marks: Mark[]) {
  for (const { color, at } of marks) {
    plot.ctx.strokeStyle = theme.visualization.getColorByName(color);
    plot.ctx.setLineDash([4, 4]);
    for (const moment of at) {
      const x = Math.round(plot.valToPos(moment, 'x', true)) + 0.5;
      plot.ctx.beginPath();
      plot.ctx.moveTo(x, plot.bbox.top);
      plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
      plot.ctx.stroke();
    }
    plot.ctx.setLineDash([]);
  }
}

function displays(panel: any, frames: DataFrame[], sparkline: boolean) {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: any) => text ?? '',
    sparkline,
    theme,
    timeZone: 'utc',
  });
}

function numbers(panel: any, frames: DataFrame[], width: number, height: number): ReactNode {
  const found = displays(panel, frames, panel.options.graphMode !== 'none');
  const each = width / Math.max(found.length, 1);
  return (
    <div style={{ display: 'flex' }}>
      {found.map((value, at) => (
        <BigValue
          key={at}
          theme={theme}
          width={each}
          height={height}
          count={found.length}
          value={value.display}
          sparkline={value.sparkline ? { ...value.sparkline, timeRange: time } : undefined}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode}
        />
      ))}
    </div>
  );
}

function bars(panel: any, frames: DataFrame[], width: number, height: number): ReactNode {
  const found = displays(panel, frames, false);
  const factors = getDisplayValueAlignmentFactors(found);
  const each = Math.min(height / Math.max(found.length, 1) - 6, 40);
  return (
    <div className="bars">
      {found.map((value, at) => (
        <BarGauge
          key={at}
          theme={theme}
          width={width}
          height={each}
          field={value.field}
          value={value.display}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          alignmentFactors={factors}
          orientation={VizOrientation.Horizontal}
          displayMode={panel.options.displayMode}
          showUnfilled={panel.options.showUnfilled}
          isOverflow={false}
        />
      ))}
    </div>
  );
}

function Dashboard({ board, marks }: { board: any; marks: Mark[] }) {
  const column = (WIDTH + GAP) / 24;
  const line = CELL + GAP;
  const lowest = Math.max(...board.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
  return (
    <ThemeContext.Provider value={theme}>
      <h1>{board.title}</h1>
      <p className="said">
        {board.description} Drawn with Grafana&apos;s panel components by a test; not a Grafana server.
      </p>
      <div className="stage" style={{ width: WIDTH, height: lowest * line }}>
        {board.panels.map((panel: any) => {
          const { x, y, w, h } = panel.gridPos;
          const [width, height] = [w * column - GAP, h * line - GAP];
          return (
            <div key={panel.id} className="cell" style={{ left: x * column, top: y * line, width, height }}>
              {panel.type === 'row' ? <div className="row">{panel.title}</div> : <Panel panel={panel} marks={marks} width={width} height={height} />}
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>
  );
}

async function main() {
  await initPluginTranslations('quorate-draw', []);
  const name = new URLSearchParams(location.search).get('board');
  const board = await (await fetch(`/dashboards/${name}.json`)).json();
  const marks = await Promise.all(
    board.annotations.list.map(async (one: any) => ({ color: one.iconColor, at: await moments(one.expr) }))
  );
  waiting = board.panels.filter((panel: any) => panel.type !== 'row').length;
  createRoot(document.getElementById('root')!).render(<Dashboard board={board} marks={marks} />);
}

main().catch((error) => {
  findings.push(`FAILED the page: ${error}`);
  document.body.setAttribute('data-drawn', 'no');
});
