/**
 * Reads the TAP of a whole test run, line by line, and counts the named tests in it.
 *
 * The run's first level are files; what is counted are the points inside each file: named tests,
 * and assertions made outside of one. A file that fails with no failed point of its own (it
 * crashed, or timed out) counts as one failure, and so does a run that ends before its last file.
 */

export interface TapCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Indentation of a file's own points; TAP indents each level by four columns. */
const POINT_INDENT = 4;
const POINT = /^( *)(not )?ok\b[ \d]*(?:- )?(.*)$/;

export class TapReport {
  /** Called with lines for people: one for each file, and whatever tells of a failure. */
  readonly #print: (line: string) => void;
  #passed = 0;
  #failed = 0;
  #skipped = 0;
  /** Files that the plan announces; null before the plan. */
  #planned: number | null = null;
  #files = 0;
  /** The counts when the present file began. */
  #atFileStart: TapCounts = { passed: 0, failed: 0, skipped: 0 };
  /** Deeper points since the last point of the file's own level: those that ran, those skipped. */
  #ranBelow = 0;
  #skippedBelow = 0;
  /** The indentation of the diagnostics block that we are in, and whether to show it. */
  #diagnostics: { readonly indent: string; readonly shown: boolean } | null = null;
  #failureBefore = false;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  line(line: string): void {
    if (this.#diagnostics !== null) {
      this.#diagnosticsLine(line, this.#diagnostics);
      return;
    }
    const opening = /^( *)---$/.exec(line);
    if (opening !== null) {
      this.#diagnostics = { indent: opening[1]!, shown: this.#failureBefore };
      return;
    }
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan !== null) this.#planned = Number(plan[1]);
    const point = POINT.exec(line);
    if (point !== null) this.#point(line, point);
    else if (line.startsWith('Bail out!')) this.#fail(line);
  }

  /** The run is over: accounts for what it still owed. */
  end(): TapCounts {
    if (this.#planned === null) this.#fail('the test run ended before it began');
    else if (this.#files < this.#planned) {
      this.#fail(`the test run ended after ${this.#files} of ${this.#planned} files`);
    }
    return this.#counts();
  }

  #point(line: string, [, indent, not, rest]: RegExpExecArray): void {
    const level = indent!.length;
    const failed = not !== undefined && !/# TODO\b/i.test(rest!);
    const skipped = !failed && /# (SKIP|TODO)\b/i.test(rest!);
    this.#failureBefore = failed && level > 0;
    if (level === 0) {
      this.#endFile(failed, skipped, rest!);
      return;
    }
    if (level === POINT_INDENT) this.#ownPoint(failed, skipped);
    else if (skipped) this.#skippedBelow += 1;
    else if (level > POINT_INDENT) this.#ranBelow += 1;
    if (failed || skipped) this.#print(line);
  }

  /** A named test in which everything was skipped was skipped itself. */
  #ownPoint(failed: boolean, skipped: boolean): void {
    if (failed) this.#failed += 1;
    else if (skipped || (this.#skippedBelow > 0 && this.#ranBelow === 0)) this.#skipped += 1;
    else this.#passed += 1;
    this.#ranBelow = 0;
    this.#skippedBelow = 0;
  }

  #endFile(failed: boolean, skipped: boolean, rest: string): void {
    const before = this.#atFileStart;
    const ownFailures = this.#failed - before.failed;
    if (failed && ownFailures === 0) this.#failed += 1;
    if (skipped && this.#skipped === before.skipped) this.#skipped += 1;
    this.#files += 1;
    const passed = this.#passed - before.passed;
    const time = /# time=([\d.]+)ms/.exec(rest)?.[1];
    const seconds = time === undefined ? '' : `, ${(Number(time) / 1000).toFixed(1)} s`;
    const name = rest.replace(/ # .*/, '');
    this.#print(`${failed ? 'FAILED' : 'ok    '} ${name} (${passed} passed${seconds})`);
    this.#atFileStart = this.#counts();
  }

  #diagnosticsLine(line: string, block: { indent: string; shown: boolean }): void {
    if (line === `${block.indent}...`) this.#diagnostics = null;
    else if (block.shown) this.#print(line);
  }

  #fail(why: string): void {
    this.#failed += 1;
    this.#print(`FAILED ${why}`);
  }

  #counts(): TapCounts {
    return { passed: this.#passed, failed: this.#failed, skipped: this.#skipped };
  }
}
