/**
 * After a resume and in every image since: header, count and padding are right (invariants 18, 19).
 */

import type { Finding } from '../findings.ts';
import { imageProblem } from '../machine/log-image.ts';
import type { MachineImages, MirrorTable } from '../machine/machine-setup.ts';

export function checkLogValid(images: MachineImages, table: MirrorTable): Finding[] {
  if (table.log !== 'disk') return [];
  const problem = imageProblem(images.log, table);
  return problem === null ? [] : [{ checker: 'log-valid', message: `log image: ${problem}` }];
}
