/** The form of replies on a connection (NBD protocol, 4.1). */

/**
 * - `structured`: READ is answered by chunks, and errors carry text.
 * - `extended`: everything is, and the headers of requests and chunks have 64-bit lengths.
 */
export type ReplyStyle = 'simple' | 'structured' | 'extended';
