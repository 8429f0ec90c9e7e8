/** What vti and vti6 share (ip-link(8), "VTI Type Support"; linux/if_tunnel.h, IFLA_VTI_…). */
import { type AttributeType, attributeBe32, attributeU32 } from '../../netlink/attribute.js'
import { convertedAttributes, type Loose } from '../../netlink/converted.js'
import type { AnyTable } from '../../netlink/table.js'
import type { TunnelDevice } from './iptunnel-attributes.js'
import { type StateOf, tunnelKind } from './tunnel-attributes.js'

/** Options of vti and vti6: a tunnel whose packets IPsec policies take by their key (xfrm is its successor). */
export interface VtiOptions extends TunnelDevice {
  /** The tunnel's own end, an address of the kind's family. Default: any. */
  local?: string
  /** The other end, likewise. Default: any. */
  remote?: string
  /** The mark of packets on coming in, 32 bits. Default: 0, none. */
  inputKey?: number
  /** The mark of packets on going out. Default: 0, none. */
  outputKey?: number
  /** Both of them. Not read back. */
  key?: number
  /** Firewall mark that packets are routed by. Default: 0, none. */
  fwmark?: number
}

export type VtiState = Omit<StateOf<VtiOptions>, 'key'>

/** `key` as the two that it stands for; what is said of one goes first. */
function eachWay({ key, ...rest }: Loose): Loose {
  return key === undefined ? rest : { inputKey: key, outputKey: key, ...withoutUndefined(rest) }
}

const withoutUndefined = (options: Loose) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

/** The table for addresses of one family. */
export function vtiAttributes(ip: AttributeType<string>): AnyTable {
  const wire = {
    device: [1, 'IFLA_VTI_LINK', attributeU32],
    inputKey: [2, 'IFLA_VTI_IKEY', attributeBe32],
    outputKey: [3, 'IFLA_VTI_OKEY', attributeBe32],
    local: [4, 'IFLA_VTI_LOCAL', ip],
    remote: [5, 'IFLA_VTI_REMOTE', ip],
    fwmark: [6, 'IFLA_VTI_FWMARK', attributeU32],
  } as const
  return convertedAttributes(wire, {
    keys: [...Object.keys(wire), 'key'],
    write: eachWay,
    read: (attributes) => attributes,
  })
}

export const vtiKind = {
  ...tunnelKind,
  merge: (known: Loose, changes: Loose): Loose => ({ ...known, ...eachWay(changes) }),
}
