/** Rows below headings, in columns as wide as what is in them. */

export interface RowColumn {
  readonly heading: string;
  readonly align: 'left' | 'right';
  /** At least so wide. */
  readonly width?: number;
}

export function formatRows(
  columns: readonly RowColumn[],
  rows: readonly (readonly string[])[],
  separator = ' ',
): string {
  const widths = columns.map(({ heading, width = 0 }, index) =>
    Math.max(width, heading.length, ...rows.map((row) => row[index]!.length)),
  );
  const heading = columns.map((column, index) => column.heading.padEnd(widths[index]!));
  const lines = rows.map((row) =>
    row.map((value, index) =>
      columns[index]!.align === 'left'
        ? value.padEnd(widths[index]!)
        : value.padStart(widths[index]!),
    ),
  );
  return [heading, ...lines].map((words) => `${words.join(separator)}\n`).join('');
}
