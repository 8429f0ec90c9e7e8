/** Options of a link as a port of its master: a bridge's, a bond's, a VRF's. Each kind's file has those of its ports. */
import type { Namespace } from '../namespace/namespace.js'
import { sourceOf } from '../netlink/bytes.js'
import type { Message } from '../netlink/message.js'
import { checkPortOptions } from './kind-options.js'
import type { PortKindStates, PortKinds } from './kinds/registry.js'
import { linkMessage } from './link-attributes.js'
import { fetchLink, indexOfLink, indexOfMaster } from './link-lookup.js'
import { isLink, type LinkReference } from './link-options.js'

/**
 * What can be asked of a port: the options that its master's kind has for ports (BridgePortOptions, BondPortOptions …). `data`
 * has raw attributes of IFLA_INFO_SLAVE_DATA by number, for masters that netkit has no table for.
 */
export type PortOptions =
  | { [K in keyof PortKinds]: Partial<PortKinds[K]> }[keyof PortKinds]
  | { data?: Record<`#${number}`, Uint8Array> }

type States = PortKindStates[keyof PortKindStates]
type KeysOf<T> = T extends unknown ? keyof T : never
type ValueOf<T, K> = T extends unknown ? (K extends keyof T ? T[K] : never) : never

/** What a link is as a port, by the names that `port` takes, with what can only be read. The master's kind tells which there are. */
export type PortState = { readonly [K in KeysOf<States>]?: ValueOf<States, K> }

/**
 * The index of the master that is asked for, after the options for the port have been checked by its kind. A promise only when
 * something has to be looked up (see indexOfLink).
 */
export function masterFor(
  namespace: Namespace,
  options: { master?: LinkReference | null | undefined; port?: PortOptions | undefined },
  path: string,
): number | undefined | Promise<number> {
  const { master, port } = options
  if (port === undefined || master === undefined || master === null) {
    return indexOfMaster(namespace, master, `${path}.master`)
  }
  if (!isLink(master)) return lookUpMaster(namespace, master, port, path)
  checkPortOptions(port, master.kind, `${path}.port`)
  return indexOfLink(namespace, master, `${path}.master`)
}

async function lookUpMaster(
  namespace: Namespace,
  master: LinkReference,
  port: PortOptions,
  path: string,
): Promise<number> {
  const index = await indexOfLink(namespace, master, `${path}.master`)
  const payload = await fetchLink(namespace, index, `${path}.master: no link ${master}`)
  const message: Message = {
    source: sourceOf(payload),
    type: 0,
    flags: 0,
    sequence: 0,
    start: 0,
    end: payload.length,
  }
  checkPortOptions(port, linkMessage.decode(message).attributes.info?.kind, `${path}.port`)
  return index
}
