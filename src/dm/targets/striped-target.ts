/**
 * The `striped` target: chunks in turn on several devices. Counterpart: dm-stripe.
 * `#STRIPES CHUNK_SIZE (DEVICE OFFSET){#STRIPES}`, sizes in sectors.
 */

import { OK } from '../../base/errno.ts';
import { toSector, toSectorCount } from '../../base/units.ts';
import { Bio } from '../../block/bio.ts';
import { parseUnsigned, U32_MAX } from '../parse-number.ts';
import { statelessLife } from '../stateless-target.ts';
import type { Target, TargetType } from '../target.ts';
import type { TargetContext } from '../target-context.ts';
import { forwardBio, forwardBioThen, type Stretch } from './forward-bio.ts';
import { openStretch, targetError } from './stretch-args.ts';

/** For a bad offset and a bad device alike. */
const BAD_STRIPE = "Couldn't parse stripe destination";

export const stripedTargetType: TargetType = {
  name: 'striped',
  version: [1, 6, 0],
  async create(context, args): Promise<Target> {
    const { stripes, chunkSectors } = parseStripes(context, args);
    const places: Stretch[] = [];
    try {
      for (let stripe = 0; stripe < stripes; stripe++) {
        const [device = '', offset = ''] = args.slice(2 + stripe * 2);
        places.push(
          await openStretch(context, 'striped', { device, offset, kernelMessage: BAD_STRIPE }),
        );
      }
    } catch (error) {
      for (const { device } of places) await context.putDevice(device);
      throw error;
    }
    return stripedTarget(context, places, chunkSectors);
  },
};

function parseStripes(context: TargetContext, args: readonly string[]) {
  if (args.length < 2) {
    throw targetError(
      'striped',
      `it has ${args.length} arguments, must begin with #STRIPES CHUNK_SIZE`,
      'Not enough arguments',
    );
  }
  const stripes = parseUnsigned(args[0], U32_MAX);
  if (stripes === null || stripes === 0) {
    throw targetError(
      'striped',
      `stripe count is "${args[0]}", must be 1 or more`,
      'Invalid stripe count',
    );
  }
  const chunkSectors = parseUnsigned(args[1], U32_MAX);
  if (chunkSectors === null || chunkSectors === 0) {
    throw targetError(
      'striped',
      `chunk size is "${args[1]}", must be in sectors`,
      'Invalid chunk_size',
    );
  }
  if (context.length % stripes !== 0) {
    throw targetError(
      'striped',
      `length ${context.length} must be a multiple of ${stripes} stripes`,
      'Target length not divisible by number of stripes',
    );
  }
  if ((context.length / stripes) % chunkSectors !== 0) {
    throw targetError(
      'striped',
      `length ${context.length} must be a multiple of ${stripes} chunks of ${chunkSectors} sectors`,
      'Target length not divisible by chunk size',
    );
  }
  if (args.length !== 2 + stripes * 2) {
    throw targetError(
      'striped',
      `${stripes} stripes need ${stripes * 2} words, but ${args.length - 2} follow`,
      'Not enough destinations specified',
    );
  }
  return { stripes, chunkSectors };
}

function stripedTarget(
  context: TargetContext,
  places: readonly Stretch[],
  chunkSectors: number,
): Target {
  const devices = places.map(({ device }) => device);
  const length = context.length / places.length;
  /** One chunk at most: `maxIoSectors` sees to that. */
  const map = (bio: Bio): void => {
    if (bio.op === 'flush') {
      flushAll(bio, places);
      return;
    }
    const chunk = Math.floor(bio.sector / chunkSectors);
    const place = places[chunk % places.length]!;
    const shift = Math.floor(chunk / places.length) * chunkSectors - chunk * chunkSectors;
    forwardBio(bio, { device: place.device, offset: place.offset + shift });
  };
  return {
    ...statelessLife('striped'),
    maxIoSectors: toSectorCount(chunkSectors),
    // Discards are not cut at `maxIoSectors`, so they would cross chunks.
    discardSupported: false,
    flushSupported: true,
    writeZeroesSupported: devices.every((device) => device.capabilities.writeZeroes),
    devices: places.map(({ device, offset }) => ({ device, start: offset, length })),
    map,
    status: (kind, nameOf) =>
      kind === 'table'
        ? [
            places.length,
            chunkSectors,
            ...places.map((at) => `${nameOf(at.device)} ${at.offset}`),
          ].join(' ')
        : [places.length, ...devices.map(nameOf), 1, 'A'.repeat(places.length)].join(' '),
    measure: (nameOf) =>
      [
        `stripes=${places.length},chunk_size=${chunkSectors}`,
        ...places.map(({ device, offset }, index) =>
          [
            `stripe_${index}_device_name=${nameOf(device)}`,
            `stripe_${index}_physical_start=${offset}`,
            `stripe_${index}_status=A`,
          ].join(','),
        ),
      ].join(','),
    destroy: async () => {
      for (const device of devices) await context.putDevice(device);
    },
  };
}

function flushAll(bio: Bio, places: readonly Stretch[]): void {
  let open = places.length;
  let outcome = OK;
  for (const place of places) {
    const flush = new Bio({ ...bio, sector: toSector(0), onEnd: () => undefined });
    forwardBioThen(flush, place, (result, detail) => {
      if (result !== OK) {
        outcome = result;
        bio.detail = detail;
      }
      open -= 1;
      if (open === 0) bio.end(outcome);
    });
  }
}
