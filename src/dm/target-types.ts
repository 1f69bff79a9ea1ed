/** Lookup over an explicit list of target types: whoever composes a machine hands it over. */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import type { TargetType } from './target.ts';

export class TargetTypes {
  readonly #byName: ReadonlyMap<string, TargetType>;

  constructor(types: readonly TargetType[]) {
    this.#byName = new Map(types.map((type) => [type.name, type]));
  }

  list(): TargetType[] {
    return [...this.#byName.values()];
  }

  /** @throws UserError listing the known types. */
  get(name: string): TargetType {
    const type = this.#byName.get(name);
    if (type !== undefined) return type;
    const known = [...this.#byName.keys()].join(', ');
    throw new UserError(
      'unknown-target-type',
      `Cannot create target: type is ${quoted(name)}, must be one of ${known}`,
      { kernelMessage: 'unknown target type', errno: EINVAL },
    );
  }
}
