/** Axes of a chart: from values to places, and where the ticks are. */

export interface Tick {
  readonly value: number;
  readonly label: string;
}

export interface AxisSpec {
  /** With its unit. */
  readonly label: string;
  readonly scale: 'linear' | 'log';
  /** Where they are not given they are found: round numbers. */
  readonly ticks?: readonly Tick[];
}

export interface Axis {
  readonly label: string;
  readonly ticks: readonly Tick[];
  /** From 0, the low end, to 1. */
  place(value: number): number;
}

const LINEAR_TICKS = 6;

/** An axis on which all values have a place. A linear one begins at 0. */
export function makeAxis(spec: AxisSpec, values: readonly number[]): Axis {
  const { label, scale } = spec;
  const measure = scale === 'log' ? Math.log : (value: number) => value;
  const ticks = spec.ticks ?? (scale === 'log' ? logTicks(values) : linearTicks(values));
  const ends = [...values, ...ticks.map((tick) => tick.value)].map(measure);
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  return { label, ticks, place: (value) => (measure(value) - low) / span };
}

/** 0, and steps of 1, 2 or 5 times a power of ten, up to the first that covers all values. */
function linearTicks(values: readonly number[]): Tick[] {
  const most = Math.max(...values, Number.MIN_VALUE);
  const rough = most / LINEAR_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => toTick(index * step));
}

/** 1, 2 and 5 times powers of ten; powers only, where that would be too many. */
function logTicks(values: readonly number[]): Tick[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const factors = high / low > 1000 ? [1] : [1, 2, 5];
  const all: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1; power++) {
    all.push(...factors.map((factor) => factor * 10 ** power));
  }
  const first = all.findLastIndex((value) => value <= low * (1 + 1e-9));
  const last = all.findIndex((value) => value >= high * (1 - 1e-9));
  return all.slice(Math.max(0, first), last + 1).map(toTick);
}

function toTick(value: number): Tick {
  // Twelve digits: 0.30000000000000004 is 0.3.
  const exact = Number(value.toPrecision(12));
  const label =
    exact >= 1e6
      ? `${exact / 1e6}M`
      : exact >= 1e4
        ? `${exact / 1e3}k`
        : exact.toLocaleString('en');
  return { value: exact, label };
}
