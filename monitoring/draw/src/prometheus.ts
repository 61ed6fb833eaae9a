// Asks Prometheus what Grafana would ask, and makes Grafana's data frames of the answers.
import { DataFrame, FieldType, createDataFrame } from '@grafana/data';

export interface Range {
  from: number;
  to: number;
}

type Point = [number, string | null];

export interface Target {
  expr: string;
  legendFormat: string;
  instant: boolean;
  format: string;
  refId: string;
}

/** Seconds between two scrapes, as the datasource's `timeInterval` has it. */
const SCRAPE_S = 2;

const parameters = new URLSearchParams(location.search);
export const range: Range = { from: Number(parameters.get('from')), to: Number(parameters.get('to')) };

/** As Grafana: no finer than the scrapes, no more points than the panel is wide. */
function stepFor(width: number): number {
  return Math.max(SCRAPE_S, Math.ceil((range.to - range.from) / width));
}

function interpolate(expr: string, step: number): string {
  const rate = Math.max(step + SCRAPE_S, 4 * SCRAPE_S);
  return expr
    .replaceAll('$__rate_interval', `${rate}s`)
    .replaceAll('$job', '.+')
    .replaceAll('$instance', '.+');
}

async function get(path: string, query: Record<string, string>): Promise<any[]> {
  const answer = await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(query)}`);
  const body = await answer.json();
  if (body.status !== 'success') {
    throw new Error(`${query.query}: ${body.error}`);
  }
  return body.data.result;
}

/** As Grafana's own panels: what is no number, such as the median of nothing, is a gap. */
function finite(value: string | null): number | null {
  const number = value === null ? NaN : Number(value);
  return Number.isFinite(number) ? number : null;
}

function legend(format: string, labels: Record<string, string>): string {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
}

function series(target: Target, labels: Record<string, string>, points: Point[]): DataFrame {
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000) },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        config: { displayNameFromDS: legend(target.legendFormat, labels) },
        values: points.map(([, value]) => finite(value)),
      },
    ],
  });
}

/** One frame for each series, or one table of all. */
export async function ask(target: Target, width: number): Promise<DataFrame[]> {
  const step = stepFor(width);
  const query = interpolate(target.expr, step);
  if (target.format === 'table') {
    return [table(target, await get('query', { query, time: String(range.to) }))];
  }
  if (target.instant) {
    const found = await get('query', { query, time: String(range.to) });
    return found.map((one) => series(target, one.metric, [one.value]));
  }
  // Prometheus aligns nothing: points on whole steps keep pictures equal.
  const start = Math.floor(range.from / step) * step;
  const found = await get('query_range', { query, start: String(start), end: String(range.to), step: String(step) });
  return found.map((one) => series(target, one.metric, withGaps(one.values, step)));
}

/** Grafana's backend says null where a series has no sample, so that lines break there. */
function withGaps(points: Point[], step: number): Point[] {
  const out: Point[] = [];
  for (const point of points) {
    const last = out.at(-1);
    if (last && point[0] - last[0] > step * 1.5) {
      out.push([last[0] + step, null]);
    }
    out.push(point);
  }
  return out;
}

function table(target: Target, found: any[]): DataFrame {
  const names = [...new Set(found.flatMap((one) => Object.keys(one.metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map((one) => one.value[0] * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: found.map((one) => one.metric[name] ?? '') })),
      { name: 'Value', type: FieldType.number, values: found.map((one) => Number(one.value[1])) },
    ],
  });
}

/** Moments at which an annotation's expression has a value. */
export async function moments(expr: string): Promise<number[]> {
  const step = SCRAPE_S;
  const query = interpolate(expr, step).replace('[2m]', '[4s]').replace('[1m]', '[4s]');
  const found = await get('query_range', { query, start: String(range.from), end: String(range.to), step: String(step) });
  return found.flatMap((one) => one.values.map(([at]: [number, string]) => at * 1000));
}
