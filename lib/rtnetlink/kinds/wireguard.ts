/** wireguard: an encrypted tunnel (wg(8)). The link has no options here: keys and peers are told to it by generic netlink. */
import { type AnyTable, attributes } from '../../netlink/table.js'
import { defineKind } from './registry.js'

/** A WireGuard link has no options of its own in rtnetlink. */
export type WireguardOptions = {}

declare module './registry.js' {
  interface LinkKinds {
    wireguard: WireguardOptions
  }
}

defineKind({
  kind: 'wireguard',
  options: attributes({}) as unknown as AnyTable,
  kernel: { config: 'CONFIG_WIREGUARD', module: 'wireguard' },
})
