/** The verbs that talk to targets, or wait for them. */

import * as v from 'valibot';
import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import { toSector } from '../../base/units.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { ioctl } from '../command-error.ts';
import { defineVerb, deviceEntries, wholeNumberSchema, wordSchema } from '../verb.ts';
import { findDevice, subjectOf } from './select-device.ts';

const MESSAGE_WORDS_MAX = 1024;
/** Event numbers have 32 bits. */
const EVENT_NUMBER_MAX = 2 ** 32 - 1;

export const waitVerb = defineVerb({
  name: 'wait',
  usage: '<device> [<event number>]',
  summary: 'wait until the event number is another one',
  readsOnly: true,
  input: v.strictObject(
    {
      ...deviceEntries,
      eventNumber: v.optional(wholeNumberSchema(EVENT_NUMBER_MAX), 0),
    },
    'must be an object',
  ),
  run: async ({ control, input, signal }) => {
    const device = await ioctl('waitevent', subjectOf(input), () => findDevice(control, input));
    const eventNumber = await device.waitForEvent(input.eventNumber, signal);
    return { json: { name: device.name, eventNumber }, text: '' };
  },
});

const CANCEL_DEFERRED_REMOVE = '@cancel_deferred_remove';

export const messageVerb = defineVerb({
  name: 'message',
  usage: '<device> <sector> <message>...',
  summary: 'send words to the target at a sector',
  readsOnly: false,
  input: v.strictObject(
    {
      ...deviceEntries,
      sector: v.pipe(
        v.number('must be a number'),
        v.safeInteger('must be a whole number'),
        v.minValue(0, 'must be 0 or more'),
      ),
      words: v.pipe(
        v.array(wordSchema, 'must be a list of words'),
        v.maxLength(MESSAGE_WORDS_MAX, `must have at most ${MESSAGE_WORDS_MAX} words`),
      ),
    },
    'must be an object',
  ),
  run: ({ control, input }) =>
    ioctl('message', subjectOf(input), async () => {
      const device = findDevice(control, input);
      const reply = await sendMessage(device, input.sector, input.words);
      return { json: { name: device.name, reply }, text: reply === '' ? '' : `${reply}\n` };
    }),
});

/**
 * To the target at the sector, or with "@" in front to the device; ends with its answer.
 *
 * @throws UserError with the kernel's errno and message.
 */
export async function sendMessage(
  device: MappedDevice,
  sector: number,
  words: readonly string[],
): Promise<string> {
  const refused = (problem: string, kernelMessage: string): UserError =>
    new UserError('bad-message', `Cannot send a message to device "${device.name}": ${problem}`, {
      errno: EINVAL,
      kernelMessage,
    });
  if (words.length === 0) {
    throw refused('it has no words', 'Empty message received.');
  }
  if (words[0]!.startsWith('@')) return deviceMessage(device, words, refused);
  const table = device.liveTable;
  if (table === null || sector >= table.sizeSectors) {
    throw refused(
      `sector is ${sector}, must be one of its ${table?.sizeSectors ?? 0} sectors`,
      'Target message sector outside device.',
    );
  }
  return table.find(toSector(sector)).target.message(words);
}

/** Messages to the device itself: there is one. */
function deviceMessage(
  device: MappedDevice,
  words: readonly string[],
  refused: (problem: string, kernelMessage: string) => UserError,
): string {
  if (words.length !== 1 || words[0] !== CANCEL_DEFERRED_REMOVE) {
    throw refused(
      `it is ${quoted(words.join(' '))}, must be ${CANCEL_DEFERRED_REMOVE}`,
      `Unsupported message sent to DM core: ${words[0]!.slice(0, 80)}`,
    );
  }
  device.whenUnused(null);
  return '';
}
