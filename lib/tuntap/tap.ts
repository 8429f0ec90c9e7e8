/** Taps: Ethernet interfaces whose cable ends in this process. */
import type { LinkReference } from '../rtnetlink/link-options.js'
import { TunInterface } from './interface.js'
import { type OpenOptions, openDevice } from './open.js'

/** Options of `openTap`. */
export interface TapOptions extends OpenOptions {
  /** The interface's hardware address: '02:00:00:00:00:01'. Default: one at random. */
  mac?: string
  /** The bridge (or other device) that the interface becomes a port of: a Link, a name or an index. */
  master?: LinkReference
}

/**
 * An open tap: a `stream.Duplex` in object mode, of Ethernet frames without their checksum. Reading gives what the interface
 * sends, writing is what the interface receives.
 */
export class Tap extends TunInterface {}

/**
 * Opens a tap (Documentation/networking/tuntap.rst): makes the interface, or attaches to a persistent one.
 *
 * Needs CAP_NET_ADMIN in the user namespace that owns the network namespace, and CAP_SYS_ADMIN as well for a namespace other
 * than the process's own; only attaching to one's own persistent interface needs nothing.
 *
 * The interface goes when the tap is closed, unless it is persistent. When opening fails, nothing that it made is left;
 * an interface that existed before keeps what was set until then.
 *
 * @throws NetkitError ENOENT, ENODEV or EACCES (open) when /dev/net/tun is missing or not allowed; EPERM; EBUSY when it is open
 * elsewhere; EINVAL when the name belongs to another kind of interface; and what setting up a link throws
 */
export async function openTap(options: TapOptions = {}): Promise<Tap> {
  return new Tap(await openDevice('tap', options))
}
