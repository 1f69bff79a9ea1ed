/** What targets without a life of their own have in common: nothing to suspend, resume or tell. */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Target } from './target.ts';

type Life = Pick<Target, 'presuspend' | 'postsuspend' | 'resume' | 'message'>;

export function statelessLife(typeName: string): Life {
  return {
    async presuspend() {},
    async postsuspend() {},
    async resume() {},
    async message() {
      throw noMessages(typeName);
    },
  };
}

export function noMessages(typeName: string): UserError {
  return new UserError('no-messages', `Cannot send message: target "${typeName}" takes none`, {
    kernelMessage: 'Target type does not support messages',
    errno: EINVAL,
  });
}
