/** Tables of the benchmark, for a terminal and for Markdown. */

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Columns as wide as their widest cell; numbers to the right. */
export function formatTable(table: Table): string {
  const lines = [table.header, ...table.rows];
  const widths = table.header.map((_, column) =>
    Math.max(...lines.map((line) => line[column]!.length)),
  );
  const text = lines.map((line) => {
    const cells = line.map((cell, column) =>
      isNumber(cell) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    );
    return cells.join('  ').trimEnd();
  });
  return `${table.title}\n\n${text.join('\n')}\n`;
}

export function formatMarkdown(table: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = table.header.map((_, column) =>
    table.rows.every((row) => isNumber(row[column]!)) ? '--:' : '---',
  );
  const lines = [line(table.header), line(rule), ...table.rows.map(line)];
  return `${table.title}\n\n${lines.join('\n')}\n`;
}

/** With so many digits that three of them count; "-" where nothing was measured. */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** "1.43 >= 1.2 met", or only the ratio where nothing is wanted. */
export function formatGoal(value: number, wanted: number | undefined): string {
  if (!Number.isFinite(value)) return '-';
  if (wanted === undefined) return value.toFixed(2);
  return `${value.toFixed(2)} >= ${wanted} ${value >= wanted ? 'met' : 'MISSED'}`;
}

/** "12 <= 20 ms met". */
export function formatLimit(value: number, atMost: number, unit: string): string {
  if (!Number.isFinite(value)) return '-';
  return `${formatFigure(value)} <= ${atMost} ${unit} ${value <= atMost ? 'met' : 'MISSED'}`;
}

function isNumber(cell: string): boolean {
  return /^[\d,.-]+( %)?$/.test(cell);
}
