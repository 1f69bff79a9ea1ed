/**
 * The names that LVM gives to its devices, taken apart: group and volume with a hyphen between, a
 * layer behind another, and a hyphen of a name itself doubled.
 */

export interface NameParts {
  readonly group: string;
  readonly volume: string;
  readonly layer: string;
}

export function splitName(name: string): NameParts {
  const parts: string[] = [''];
  for (let at = 0; at < name.length; at++) {
    const isHyphen = name[at] === '-';
    if (isHyphen && name[at + 1] === '-') at += 1;
    else if (isHyphen && parts.length < 3) {
      parts.push('');
      continue;
    }
    parts.push(`${parts.pop()}${name[at]}`);
  }
  const [group = '', volume = '', layer = ''] = parts;
  return { group, volume, layer };
}

/** LVM's uuids begin with its name; nobody else's devices are taken apart. */
export function subsystemOf(uuid: string): string {
  return /^([A-Z]+)-/.exec(uuid)?.[1] ?? '';
}
