/** vxlan: Ethernet over UDP between hosts (RFC 7348; ip-link(8), "VXLAN Type Support"; linux/if_link.h, IFLA_VXLAN_…). */
import {
  type AttributeType,
  attributeBe16,
  attributeBe32,
  attributeU8,
  attributeU32,
  boolean8,
  Malformed,
  words,
} from '../../netlink/attribute.js'
import { convertedAttributes } from '../../netlink/converted.js'
import { headerWords } from '../../netlink/header-words.js'
import { typeError, valueError } from '../../validate.js'
import type { LinkReference } from '../link-options.js'
import { defineKind } from './registry.js'
import {
  checkAtMost,
  falseWhenAbsent,
  given,
  ipv4,
  ipv6,
  keysBut,
  presence,
  type StateOf,
  typeOfService,
  wholeSeconds,
  withoutFalse,
} from './tunnel-attributes.js'
import {
  byFamily,
  checkPortRange,
  type PortRange,
  ttlFromAttributes,
  ttlToAttributes,
  type UdpTtl,
  vxlanPortRange,
} from './udp-tunnel-attributes.js'

/** What becomes of the outer header's DF bit, VXLAN_DF_… */
const fragmenting = headerWords('VXLAN_DF_', { unset: 0, set: 1, inherit: 2 })

/** Where an IPv6 flow label comes from, VXLAN_LABEL_…: headers since 6.8 have it. */
const labelPolicies = headerWords('VXLAN_LABEL_', { fixed: 0, inherit: 1 })

/** struct vxlanhdr, as one number of 64 bits. */
const headerBits: AttributeType<bigint> = {
  decode(source, offset, length) {
    if (length < 8) throw new Malformed(`has ${length} bytes where 8 are needed`)
    return source.view.getBigUint64(offset, false)
  },
  encode(writer, value, name) {
    if (typeof value !== 'bigint') throw typeError(name, 'a bigint', value)
    if (value < 0n || value >= 1n << 64n) throw valueError(name, value, 'has more than 64 bits')
    const start = writer.reserve(8)
    writer.view.setBigUint64(start, value, false)
  },
}

const wire = {
  id: [1, 'IFLA_VXLAN_ID', attributeU32],
  remote4: [2, 'IFLA_VXLAN_GROUP', ipv4],
  device: [3, 'IFLA_VXLAN_LINK', attributeU32],
  local4: [4, 'IFLA_VXLAN_LOCAL', ipv4],
  ttl: [5, 'IFLA_VXLAN_TTL', attributeU8],
  tos: [6, 'IFLA_VXLAN_TOS', typeOfService],
  learning: [7, 'IFLA_VXLAN_LEARNING', boolean8],
  ageing: [8, 'IFLA_VXLAN_AGEING', wholeSeconds(attributeU32)],
  maxAddresses: [9, 'IFLA_VXLAN_LIMIT', attributeU32],
  portRange: [10, 'IFLA_VXLAN_PORT_RANGE', vxlanPortRange],
  proxy: [11, 'IFLA_VXLAN_PROXY', boolean8],
  routeShortCircuit: [12, 'IFLA_VXLAN_RSC', boolean8],
  l2Miss: [13, 'IFLA_VXLAN_L2MISS', boolean8],
  l3Miss: [14, 'IFLA_VXLAN_L3MISS', boolean8],
  port: [15, 'IFLA_VXLAN_PORT', attributeBe16],
  remote6: [16, 'IFLA_VXLAN_GROUP6', ipv6],
  local6: [17, 'IFLA_VXLAN_LOCAL6', ipv6],
  udpChecksum: [18, 'IFLA_VXLAN_UDP_CSUM', boolean8],
  udpZeroChecksum6Send: [19, 'IFLA_VXLAN_UDP_ZERO_CSUM6_TX', boolean8],
  udpZeroChecksum6Receive: [20, 'IFLA_VXLAN_UDP_ZERO_CSUM6_RX', boolean8],
  remoteChecksumSend: [21, 'IFLA_VXLAN_REMCSUM_TX', boolean8],
  remoteChecksumReceive: [22, 'IFLA_VXLAN_REMCSUM_RX', boolean8],
  groupPolicy: [23, 'IFLA_VXLAN_GBP', presence],
  remoteChecksumNoPartial: [24, 'IFLA_VXLAN_REMCSUM_NOPARTIAL', presence],
  external: [25, 'IFLA_VXLAN_COLLECT_METADATA', boolean8],
  flowLabel: [26, 'IFLA_VXLAN_LABEL', attributeBe32],
  genericProtocol: [27, 'IFLA_VXLAN_GPE', presence],
  // Written without a payload, read with one.
  ttlInherit: [28, 'IFLA_VXLAN_TTL_INHERIT', presence],
  df: [29, 'IFLA_VXLAN_DF', words(attributeU8, fragmenting)],
  vniFilter: [30, 'IFLA_VXLAN_VNIFILTER', boolean8],
  localBypass: [31, 'IFLA_VXLAN_LOCALBYPASS', boolean8],
  flowLabelPolicy: [32, 'IFLA_VXLAN_LABEL_POLICY', words(attributeU32, labelPolicies)],
  reservedBits: [33, 'IFLA_VXLAN_RESERVED_BITS', headerBits],
  multicastRoute: [34, 'IFLA_VXLAN_MC_ROUTE', boolean8],
} as const

/** Options of a VXLAN link. Most can be given at its making alone: the kernel refuses their change (EOPNOTSUPP), and says which. */
export interface VxlanOptions {
  /** The network's identifier (VNI), 0 to 16777215. Not together with `external`. */
  id?: number
  /**
   * The other end, an IPv4 or IPv6 address: where frames go whose receiver is not in the forwarding database. A multicast group
   * is joined, and needs `device` ('group' of iproute2).
   */
  remote?: string
  /** The address that packets are sent from, of the family of `remote`. Default: the route's. */
  local?: string
  /**
   * The link under this one, which packets leave through: a Link, its name or index; null for none. Read back as its index. Can
   * be changed, and not taken away.
   */
  device?: LinkReference | null
  /** UDP port of the other ends. Default: the kernel's, 8472; IANA's is 4789. Cannot be changed. */
  port?: number
  /** UDP source ports, of which each flow gets one. Default: the host's range of local ports. Cannot be changed. */
  portRange?: PortRange
  /**
   * Time to live: 1 to 255, 'inherit' (the inner packet's), or 'auto' (0, the default): the route's, and 1 for a group. Once it is
   * 'inherit' it stays so, and the kernel does not say that it passes over a change.
   */
  ttl?: UdpTtl
  /** Type of service, or 'inherit' (1): the inner packet's. Default: 0. */
  tos?: 'inherit' | number
  /** The outer header's DF bit (IPv4). Default: 'unset'. */
  df?: keyof typeof fragmenting | number
  /** IPv6 flow label, 0 to 0xfffff. Default: 0. */
  flowLabel?: number
  /** Whether the flow label is `flowLabel`, or the inner packet's. Default: 'fixed'. Kernel 6.8. */
  flowLabelPolicy?: keyof typeof labelPolicies | number
  /** Learn which MAC address is behind which end from received frames. Default: true. */
  learning?: boolean
  /** How long what was learnt is kept, in milliseconds, whole seconds. Default: 300,000. */
  ageing?: number
  /** Most entries of the forwarding database; 0, the default, for any number. */
  maxAddresses?: number
  /** Answer ARP and neighbor solicitation from the host's own neighbor table. Default: false. */
  proxy?: boolean
  /** Send routed frames straight to their receiver when the neighbor table knows it ('rsc'). Default: false. */
  routeShortCircuit?: boolean
  /** Tell of unknown MAC addresses by netlink ('l2miss'). Default: false. */
  l2Miss?: boolean
  /** Tell of unknown IP addresses by netlink ('l3miss'). Default: false. */
  l3Miss?: boolean
  /** UDP checksums over IPv4 ('udpcsum'). Default: true. */
  udpChecksum?: boolean
  /** Leave the UDP checksum out over IPv6 ('udp6zerocsumtx'). Default: false. */
  udpZeroChecksum6Send?: boolean
  /** Accept packets over IPv6 without UDP checksum ('udp6zerocsumrx'). Default: false. */
  udpZeroChecksum6Receive?: boolean
  /** Remote checksum offload on sending ('remcsumtx'), on receiving ('remcsumrx'), and without partial checksums. Default: false. */
  remoteChecksumSend?: boolean
  remoteChecksumReceive?: boolean
  remoteChecksumNoPartial?: boolean
  /** Group based policy: carry the packet's mark ('gbp'). Default: false. */
  groupPolicy?: boolean
  /** Generic protocol extension: carry packets without Ethernet header too ('gpe'); needs `external`. Default: false. */
  genericProtocol?: boolean
  /** Network, ends and the like come with each packet, from a route or from tc ('external'). Default: false. */
  external?: boolean
  /** Take only the networks that were added as this link's own (`bridge vni`); needs `external`. Default: false. */
  vniFilter?: boolean
  /** Hand frames for this host to its own VXLAN link without sending them. Default: true. Kernel 6.5. */
  localBypass?: boolean
  /** Bits of the VXLAN header, all 64, that received packets may have set or not. Kernel 6.14. */
  reservedBits?: bigint
  /** Let the host's multicast routing take what goes to `remote`. Default: false. Kernel 6.17, which does not tell it. */
  multicastRoute?: boolean
}

/** What is read of a VXLAN link. */
export type VxlanState = StateOf<VxlanOptions>

const notOptions = ['remote4', 'remote6', 'local4', 'local6', 'ttlInherit'] as const
const presences = ['groupPolicy', 'remoteChecksumNoPartial', 'genericProtocol'] as const

export const vxlanAttributes = convertedAttributes(wire, {
  keys: ['remote', 'local', ...keysBut(wire, notOptions)],
  write: ({ remote, local, ttl, ...rest }, path) => ({
    ...withoutFalse(rest, presences),
    ...byFamily(remote, `${path}.remote`, ['remote4', 'remote6']),
    ...byFamily(local, `${path}.local`, ['local4', 'local6']),
    ...ttlToAttributes(ttl, `${path}.ttl`),
  }),
  read: ({ remote4, remote6, local4, local6, ttl, ttlInherit, ...rest }) => ({
    ...withoutFalse(rest, presences),
    ...given('remote', remote4 ?? remote6),
    ...given('local', local4 ?? local6),
    ...ttlFromAttributes(ttl, ttlInherit),
  }),
})

declare module './registry.js' {
  interface LinkKinds {
    vxlan: VxlanOptions
  }
  interface LinkKindStates {
    vxlan: VxlanState
  }
  interface LinkKindNeeds {
    vxlan: { parent?: LinkReference } & ({ id: number } | { external: true })
  }
}

defineKind({
  kind: 'vxlan',
  options: vxlanAttributes,
  links: ['device'],
  parent: 'optional',
  parentKey: 'device',
  kernel: { config: 'CONFIG_VXLAN', module: 'vxlan' },
  required: { id: 'a number from 0 to 16777215' },
  requiredUnless: 'external',
  fixed: ['port'],
  check(options, path) {
    checkAtMost(options, path, { id: 0xff_ffff, flowLabel: 0xf_ffff })
    checkPortRange(options.portRange, `${path}.portRange`)
  },
  isAsAsked: falseWhenAbsent(presences),
})
