/** geneve: Ethernet over UDP with options (RFC 8926; ip-link(8), "GENEVE Type Support"; linux/if_link.h, IFLA_GENEVE_…). */
import { attributeBe16, attributeBe32, attributeU8, attributeU32, boolean8, words } from '../../netlink/attribute.js'
import { convertedAttributes } from '../../netlink/converted.js'
import { headerWords } from '../../netlink/header-words.js'
import { defineKind } from './registry.js'
import {
  checkAtMost,
  falseWhenAbsent,
  given,
  ipv4,
  ipv6,
  keysBut,
  presence,
  typeOfService,
  withoutFalse,
} from './tunnel-attributes.js'
import {
  byFamily,
  checkPortRange,
  genevePortRange,
  type PortRange,
  ttlFromAttributes,
  ttlToAttributes,
  type UdpTtl,
} from './udp-tunnel-attributes.js'

/** What becomes of the outer header's DF bit, GENEVE_DF_… */
const fragmenting = headerWords('GENEVE_DF_', { unset: 0, set: 1, inherit: 2 })

const wire = {
  id: [1, 'IFLA_GENEVE_ID', attributeU32],
  remote4: [2, 'IFLA_GENEVE_REMOTE', ipv4],
  ttl: [3, 'IFLA_GENEVE_TTL', attributeU8],
  tos: [4, 'IFLA_GENEVE_TOS', typeOfService],
  port: [5, 'IFLA_GENEVE_PORT', attributeBe16],
  external: [6, 'IFLA_GENEVE_COLLECT_METADATA', presence],
  remote6: [7, 'IFLA_GENEVE_REMOTE6', ipv6],
  udpChecksum: [8, 'IFLA_GENEVE_UDP_CSUM', boolean8],
  udpZeroChecksum6Send: [9, 'IFLA_GENEVE_UDP_ZERO_CSUM6_TX', boolean8],
  udpZeroChecksum6Receive: [10, 'IFLA_GENEVE_UDP_ZERO_CSUM6_RX', boolean8],
  flowLabel: [11, 'IFLA_GENEVE_LABEL', attributeBe32],
  ttlInherit: [12, 'IFLA_GENEVE_TTL_INHERIT', boolean8],
  df: [13, 'IFLA_GENEVE_DF', words(attributeU8, fragmenting)],
  innerProtocolInherit: [14, 'IFLA_GENEVE_INNER_PROTO_INHERIT', presence],
  portRange: [15, 'IFLA_GENEVE_PORT_RANGE', genevePortRange],
} as const

/** Options of a GENEVE link. Of one that is there, `ttl`, `tos`, `df` and `flowLabel` can be changed; the kernel refuses the rest. */
export interface GeneveOptions {
  /** The network's identifier (VNI), 0 to 16777215. */
  id?: number
  /** The other end, an IPv4 or IPv6 address. Needed unless `external`. */
  remote?: string
  /** Time to live: 1 to 255, 'inherit' (the inner packet's), or 'auto' (0, the default): the route's. */
  ttl?: UdpTtl
  /** Type of service, or 'inherit' (1): the inner packet's. Default: 0. */
  tos?: 'inherit' | number
  /** The outer header's DF bit (IPv4). Default: 'unset'. */
  df?: keyof typeof fragmenting | number
  /** IPv6 flow label, 0 to 0xfffff. Default: 0. */
  flowLabel?: number
  /** UDP port of the other end. Default: 6081. */
  port?: number
  /** UDP source ports, of which each flow gets one. Default: 1 to 65535. Kernel 6.15. */
  portRange?: PortRange
  /** Network and ends come with each packet, from a route or from tc. Default: false. */
  external?: boolean
  /** UDP checksums over IPv4. Default: false. */
  udpChecksum?: boolean
  /** Leave the UDP checksum out over IPv6. Default: true. */
  udpZeroChecksum6Send?: boolean
  /** Accept packets over IPv6 without UDP checksum. Default: false. */
  udpZeroChecksum6Receive?: boolean
  /** The inner packet's protocol instead of Ethernet: IPv4 and IPv6 without Ethernet header. Default: false. Kernel 5.18. */
  innerProtocolInherit?: boolean
}

const presences = ['external', 'innerProtocolInherit'] as const

export const geneveAttributes = convertedAttributes(wire, {
  keys: ['remote', ...keysBut(wire, ['remote4', 'remote6', 'ttlInherit'])],
  write: ({ remote, ttl, ...rest }, path) => ({
    ...withoutFalse(rest, presences),
    ...byFamily(remote, `${path}.remote`, ['remote4', 'remote6']),
    ...ttlToAttributes(ttl, `${path}.ttl`),
  }),
  read: ({ remote4, remote6, ttl, ttlInherit, ...rest }) => ({
    ...withoutFalse(rest, presences),
    ...given('remote', remote4 ?? remote6),
    ...ttlFromAttributes(ttl, ttlInherit),
  }),
})

declare module './registry.js' {
  interface LinkKinds {
    geneve: GeneveOptions
  }
}

defineKind({
  kind: 'geneve',
  options: geneveAttributes,
  kernel: { config: 'CONFIG_GENEVE', module: 'geneve' },
  fixed: ['port'],
  check(options, path) {
    checkAtMost(options, path, { id: 0xff_ffff, flowLabel: 0xf_ffff })
    checkPortRange(options.portRange, `${path}.portRange`)
  },
  isAsAsked: falseWhenAbsent(presences),
})
