/** Every numeric limit of the product, each with its reason. */

/** Legs of one mirror: kcopyd copies to eight destinations, plus the source (specification 1.1). */
export const LEGS_MIN = 2;
export const LEGS_MAX = 9;

/** The smallest region, in sectors (specification 1.3). */
export const REGION_SIZE_SECTORS_MIN = 2;

/** Regions recovering at once in one mirror (specification 2.2). */
export const RECOVERIES_MAX = 1;

/** A write parked because another node may be copying its region is tried again after this (2.5). */
export const REMOTE_RECOVERY_RETRY_MS = 200;

/** Copies are cut into pieces of this many sectors, so many of them at once (specification 5.2). */
export const COPY_PIECE_SECTORS = 1024;
export const COPY_PIECES_MAX = 8;
