/** How status lines write a device: as it was named in the table. */

import { quoteWord } from './table-line.ts';
import type { DeviceNaming } from './target.ts';

export const asInTable: DeviceNaming = (device) => quoteWord(device.name);
