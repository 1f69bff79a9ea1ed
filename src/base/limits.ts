/** Every numeric limit of the product, each with its reason. */

/** Legs of one mirror: kcopyd copies to eight destinations, plus the source (specification 1.1). */
export const LEGS_MIN = 2;
export const LEGS_MAX = 9;

/** The smallest region, in sectors (specification 1.3). */
export const REGION_SIZE_SECTORS_MIN = 2;

/** Regions recovering at once in one mirror (specification 2.2). */
export const RECOVERIES_MAX = 1;

/**
 * A write parked because another node may be copying its region is tried again after this (2.5).
 */
export const REMOTE_RECOVERY_RETRY_MS = 200;

/** Userspace log: without an answer for so long, a request is sent again (specification 10.3). */
export const ULOG_RESEND_MS = 15_000;
/** Userspace log: a server that is not there is looked for again after this (10.3). */
export const ULOG_RECONNECT_MS = 2_000;
/** Userspace log, `integrated_flush`: how long a flush with nothing but clears waits (10.6). */
export const ULOG_DELAYED_FLUSH_MS = 3_000;
/**
 * Userspace log at our server: a clear waits so long, and up to twice as long, for a mark that
 * makes it needless; or so long for marks to travel with, where others wait for it.
 */
export const ULOG_CLEAR_WAIT_MS = 100;
export const ULOG_CLEAR_SOON_MS = 5;
/** Userspace logs of a process ask whether another node recovers a region no oftener (10.7). */
export const ULOG_REMOTE_QUESTION_MS = 250;

/** Copies are cut into pieces of this many sectors, so many of them at once (specification 5.2). */
export const COPY_PIECE_SECTORS = 1024;
export const COPY_PIECES_MAX = 8;

/** Regions of one log: the kernel counts them in 32 bits (specification 1.3). */
export const LOG_REGIONS_MAX = 2 ** 32 - 1;

/**
 * A disk log's image up to this size is written whole on every flush, as the kernel does with all
 * sizes; of a larger one only the blocks that changed (docs/decisions/0005). At this size a whole
 * write to the page cache takes some ten microseconds.
 */
export const LOG_WHOLE_WRITE_BYTES_MAX = 65_536;

/** NBD: one request's payload; a larger one costs the connection (NBD protocol, our hard cap). */
export const NBD_PAYLOAD_BYTES_MAX = 64 * 2 ** 20;

/** NBD: what we advertise as the largest payload, and the largest chunk that every client takes. */
export const NBD_PAYLOAD_BYTES_ADVERTISED = 32 * 2 ** 20;

/** NBD: requests in progress on one connection: what one queue of the Linux client holds. */
export const NBD_REQUESTS_IN_FLIGHT_MAX = 128;

/** NBD: payload of requests in progress on one connection; above it the socket is not read. */
export const NBD_BYTES_IN_FLIGHT_MAX = 64 * 2 ** 20;

/** NBD: replies that wait for a slow reader; above it the socket is not read. */
export const NBD_REPLY_BYTES_QUEUED_MAX = 8 * 2 ** 20;

/** NBD: payload in progress on all connections of a server together. */
export const NBD_SERVER_BYTES_IN_FLIGHT_MAX = 512 * 2 ** 20;

/**
 * NBD: payload that every connection may have in progress, however much others hold: a device that
 * holds requests, or a client that does not go on with its WRITE, stops nobody else.
 */
export const NBD_CONNECTION_BYTES_GUARANTEED = 2 ** 20;

/** NBD: a WRITE that gets no more of its payload for so long, while others wait for memory. */
export const NBD_PAYLOAD_STALL_MS_MAX = 10_000;

/**
 * NBD: requests that a connection begins in one turn of the event loop while others send requests,
 * too, and payload that counts as one more. The usual 16 small ones in flight always fit.
 */
export const NBD_TURN_SHARE = 16;
export const NBD_TURN_SHARE_BYTES = 65_536;
/** NBD: others count as sending for so long after they last did. */
export const NBD_TURNS_SHARED_MS = 1000;

/** NBD: option data that is looked at, and option data that is at least skipped politely. */
export const NBD_OPTION_DATA_BYTES_MAX = 65_536;
export const NBD_OPTION_DATA_BYTES_SKIPPED_MAX = 32 * 2 ** 20;

/**
 * NBD: options of one connection, and as many again for each export that a client may ask about.
 */
export const NBD_OPTIONS_MAX = 32;

/** NBD: from the connect to GO; a client that never finishes its handshake holds a place. */
export const NBD_HANDSHAKE_MS_MAX = 10_000;

/** NBD: connections of one server; clients open up to one per processor. */
export const NBD_CONNECTIONS_MAX = 100;

/** NBD: after DISC, how long requests that a device holds keep the connection. */
export const NBD_DISCONNECT_MS_MAX = 5_000;

/** NBD: after our last byte, how long a client may take to close its side. */
export const NBD_LINGER_MS_MAX = 2_000;

/** NBD: name and description of an export; nbd-client 3.24 overflows beyond 1023 bytes. */
export const NBD_LISTED_STRING_BYTES_MAX = 255;

/** NBD: text of an error reply; clients take 4096, some only 1024. */
export const NBD_ERROR_TEXT_BYTES_MAX = 512;

/** NBD: a command without payload is carried out in pieces of this size, with turns in between. */
export const NBD_DISCARD_SLICE_BYTES = 256 * 2 ** 20;
export const NBD_ZERO_SLICE_BYTES = 2 ** 20;

/** NBD: extents in one answer to BLOCK_STATUS; a client comes back for more. */
export const NBD_STATUS_EXTENTS_MAX = 4096;

/** NBD: READs from this size on, and holes in them, are worth a look for holes. */
export const NBD_SPARSE_READ_BYTES_MIN = 131_072;

/** A unix socket's path: sun_path has 108 bytes, one of them for the NUL. */
export const UNIX_SOCKET_PATH_BYTES_MAX = 107;

/**
 * Resynchronisation sleeps so long when it is ahead of its share, so often at most a piece (5.4).
 */
export const THROTTLE_SLEEP_MS = 100;
export const THROTTLE_SLEEPS_MAX = 10;
/** The throttle's counters are halved as often as its window exceeds this. */
export const THROTTLE_WINDOW_MS = 1000;

/**
 * Ranges of regions that an offline report lists one by one; counts stay exact beyond. A hostile
 * log of 2^32 regions with every other bit set would otherwise fill the memory with ranges.
 */
export const INSPECT_RANGES_MAX = 100_000;

/**
 * How far a device given as a log is searched for data that is none: behind btrfs's first
 * superblock.
 */
export const LOG_PROBE_BYTES = 1024 * 1024;

/** Characters; a table longer than this is no table. */
export const TABLE_TEXT_MAX = 1024 * 1024;

/** Control: the body of a request; the largest table has a million characters, and JSON escapes. */
export const CONTROL_BODY_BYTES_MAX = 4 * 2 ** 20;

/** Control: a word such as a name or a path; what is wrong with it beyond its length is told. */
export const CONTROL_WORD_LENGTH_MAX = 8192;

/** Control: events that a client which was away can still have. */
export const CONTROL_EVENTS_KEPT = 1024;

/** A delay that a fault may ask for: longer than any client waits. */
export const FAULT_DELAY_MS_MAX = 3_600_000;

/** Faults that are armed, or spent and not yet removed, at once. */
export const FAULTS_MAX = 1000;

/**
 * Mapped devices on top of each other. A request is handed down, and its result up, in one call
 * stack; a process has room for more than ten times as many.
 */
export const STACKED_DEVICES_MAX = 100;

/** Log server: mirrors connected at once, the tables of one host. */
export const LOG_CLIENTS_MAX = 1000;

/** Looking for requests before the event loop sleeps: longer than this is no wait worth saving. */
export const POLL_US_MAX = 10_000;

/** A clear may be put off by an hour: as much as a crash then costs to copy. */
export const CLEAR_DELAY_MS_MAX = 3_600_000;

/** Regions of a log that nodes share: LVM's limit for clustered mirrors (specification 11.9). */
export const SHARED_LOG_REGIONS_MAX = 2 ** 21;

/** A mirror asks so often how long its node's lease lasts: several times in the shortest one. */
export const ULOG_LEASE_ASK_MS = 250;
export const ULOG_LEASE_RETRY_MS = 100;
/** A status waits so long for its log server; a kernel's waits for ever. */
export const ULOG_STATUS_MS = 3_000;
/** Where nodes share a log: a write that waits for it so long is told of, with an event. */
export const ULOG_STALL_MS = 5_000;
