/**
 * Draws charts as SVG: panels beside each other, each with its axes, and one legend for all. The
 * same figures give the same bytes.
 */

import { type Axis, type AxisSpec, makeAxis } from './axis.ts';

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  /** What lines of one name mean is the same in all panels. */
  readonly panels: readonly Panel[];
}

export interface Panel {
  readonly title: string;
  readonly x: AxisSpec;
  readonly y: AxisSpec;
  readonly lines: readonly Line[];
}

export interface Line {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** The ends of a whisker, where they are known. */
  readonly low?: number;
  readonly high?: number;
}

/** Okabe and Ito: distinct to all kinds of eyes. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#7a7a7a', '#cc79a7', '#e69f00'];
const INK = '#1f2933';
const FAINT_INK = '#5f6b7a';
const GRID = '#e4e8ee';

const WIDTH = 960;
const HEIGHT = 430;
const EDGE = 24;
const HEAD = 104;
const FOOT = 56;
const GUTTER = 64;
/** Between the ends of the horizontal axis and the first and last point. */
const INSET = 10;
const FONT = "font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\"";

export function drawChart(chart: Chart): string {
  const names = [...new Set(chart.panels.flatMap((panel) => panel.lines.map(({ name }) => name)))];
  const width = (WIDTH - 2 * EDGE) / chart.panels.length;
  const panels = chart.panels.map((panel, index) =>
    drawPanel(panel, names, { left: EDGE + index * width + GUTTER, width: width - GUTTER - 12 }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}"`,
    ` height="${HEIGHT}" role="img" ${FONT}>\n`,
    `<title>${escapeText(chart.title)}</title>\n`,
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="8" fill="#ffffff"/>\n`,
    text(chart.title, { x: EDGE, y: 34, size: 18, weight: 600 }),
    text(chart.subtitle, { x: EDGE, y: 54, size: 12, fill: FAINT_INK }),
    drawLegend(names),
    ...panels,
    '</svg>\n',
  ].join('');
}

function drawLegend(names: readonly string[]): string {
  let left = EDGE;
  return names
    .map((name, index) => {
      const at = left;
      left += 44 + name.length * 6.6;
      const line = `<path d="M${at} 76h24" stroke="${colour(index)}" stroke-width="2"/>\n`;
      return `${line}${marker(index, at + 12, 76)}${text(name, { x: at + 30, y: 80, size: 12 })}`;
    })
    .join('');
}

interface Place {
  readonly left: number;
  readonly width: number;
}

function drawPanel(panel: Panel, names: readonly string[], { left, width }: Place): string {
  const points = panel.lines.flatMap((line) => line.points);
  const heights = points.flatMap(({ y, low = y, high = y }) => [y, low, high]);
  const xAxis = makeAxis(
    panel.x,
    points.map((point) => point.x),
  );
  const yAxis = makeAxis(panel.y, heights);
  const bottom = HEIGHT - FOOT;
  const top = HEAD + 24;
  const toX = (value: number) => round(left + INSET + xAxis.place(value) * (width - 2 * INSET));
  const toY = (value: number) => round(bottom - yAxis.place(value) * (bottom - top));
  const lines = panel.lines.map((line) => drawLine(line, names.indexOf(line.name), toX, toY));
  return [
    text(panel.title, { x: left, y: HEAD + 8, size: 13, weight: 600 }),
    drawYAxis(yAxis, { left, width, toY, middle: (top + bottom) / 2 }),
    drawXAxis(xAxis, { toX, bottom, middle: left + width / 2 }),
    `<path d="M${round(left)} ${bottom}h${round(width)}" stroke="${FAINT_INK}"/>\n`,
    ...lines,
  ].join('');
}

type Scale = (value: number) => number;

function drawYAxis(
  axis: Axis,
  place: { left: number; width: number; toY: Scale; middle: number },
): string {
  const { left, width, toY, middle } = place;
  const ticks = axis.ticks.map(({ value, label }) => {
    const y = toY(value);
    const rule = `<path d="M${round(left)} ${y}h${round(width)}" stroke="${GRID}"/>\n`;
    const at = { x: left - 8, y: y + 4, size: 11, fill: FAINT_INK, anchor: 'end' } as const;
    return rule + text(label, at);
  });
  const x = left - GUTTER + 12;
  const turned = { x, y: middle, size: 12, fill: FAINT_INK, anchor: 'middle', turn: -90 } as const;
  return ticks.join('') + text(axis.label, turned);
}

function drawXAxis(axis: Axis, place: { toX: Scale; bottom: number; middle: number }): string {
  const { toX, bottom, middle } = place;
  const style = { size: 11, fill: FAINT_INK, anchor: 'middle' } as const;
  const ticks = axis.ticks.map(({ value, label }) => {
    const x = toX(value);
    const mark = `<path d="M${x} ${bottom}v4" stroke="${FAINT_INK}"/>\n`;
    return mark + text(label, { x, y: bottom + 18, ...style });
  });
  return ticks.join('') + text(axis.label, { x: middle, y: bottom + 40, ...style, size: 12 });
}

function drawLine({ points }: Line, index: number, toX: Scale, toY: Scale): string {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const stroke = colour(index);
  const path = sorted.map(({ x, y }) => `${toX(x)} ${toY(y)}`).join('L');
  const whiskers = sorted
    .filter(({ low, high }) => low !== undefined && high !== undefined)
    .map(({ x, low, high }) => `M${toX(x)} ${toY(low!)}V${toY(high!)}`)
    .join('');
  return [
    whiskers === '' ? '' : `<path d="${whiskers}" stroke="${stroke}" stroke-opacity="0.35"/>\n`,
    `<path d="M${path}" fill="none" stroke="${stroke}" stroke-width="2"`,
    ' stroke-linejoin="round"/>\n',
    ...sorted.map(({ x, y }) => marker(index, toX(x), toY(y))),
  ].join('');
}

/** Circle, square, diamond or triangle: without colour, too, lines can be told apart. */
function marker(index: number, x: number, y: number): string {
  const shapes = ['m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0', 'm-3.5-3.5h7v7h-7', 'm0-5l5 5l-5 5l-5-5'];
  const shape = [...shapes, 'm0-4.5l4.5 8h-9'][index % 4]!;
  const style = `fill="${colour(index)}" stroke="#ffffff" stroke-width="1.5"`;
  return `<path d="M${round(x)} ${round(y)}${shape}z" ${style}/>\n`;
}

interface TextStyle {
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly fill?: string;
  readonly weight?: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly turn?: number;
}

function text(content: string, style: TextStyle): string {
  const { x, y, size, fill = INK, weight = 400, anchor = 'start', turn } = style;
  const [left, top] = [round(x), round(y)];
  const turned = turn === undefined ? '' : ` transform="rotate(${turn} ${left} ${top})"`;
  const look = `font-size="${size}" font-weight="${weight}" fill="${fill}"`;
  const place = `x="${left}" y="${top}" text-anchor="${anchor}"${turned}`;
  return `<text ${place} ${look}>${escapeText(content)}</text>\n`;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
