/** Tuns: point-to-point interfaces of IP packets whose other end is this process. */

import { TunInterface } from './interface.js'
import { type OpenOptions, openDevice } from './open.js'

/** Options of `openTun`. */
export interface TunOptions extends OpenOptions {}

/**
 * An open tun: a `stream.Duplex` in object mode, of IP packets. Reading gives what the interface sends, writing is what the
 * interface receives; the first four bits of a packet tell IPv4 from IPv6, unless `packetInfo` is on.
 */
export class Tun extends TunInterface {}

/**
 * Opens a tun (Documentation/networking/tuntap.rst): makes the interface, or attaches to a persistent one.
 *
 * Privileges, lifetime and errors are those of `openTap`.
 */
export async function openTun(options: TunOptions = {}): Promise<Tun> {
  return new Tun(await openDevice('tun', options))
}
