/** wireguard: an encrypted tunnel (wg(8)). It has no options here: keys and peers are told to it by generic netlink. */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    wireguard: NoOptions
  }
}

defineKind({ kind: 'wireguard', options: unknownTable, kernel: { config: 'CONFIG_WIREGUARD', module: 'wireguard' } })
