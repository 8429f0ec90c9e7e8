/**
 * How an address family treats a link: the parameters under net.ipv4.conf.LINK and net.ipv6.conf.LINK (ip-sysctl.rst in the
 * kernel's documentation), as a link's messages carry them (IFLA_INET_CONF, IFLA_INET6_CONF; linux/ip.h, linux/ipv6.h). They
 * are read as an array of 32-bit numbers, whose length is the kernel's; IPv4's are written as one attribute each.
 */
import { type AttributeType, attributeS32, attributeU32, binary, boolean32, mapped } from '../netlink/attribute.js'
import { sourceOf } from '../netlink/bytes.js'
import { type AnyTable, type AttributesOf, attributes } from '../netlink/table.js'

/** Milliseconds; on the wire seconds. Read only. */
const seconds32: AttributeType<number> = mapped(
  attributeS32,
  (value) => value * 1000,
  (value) => value / 1000,
)

export const ipv4Parameters = attributes({
  forwarding: [1, 'IPV4_DEVCONF_FORWARDING', boolean32],
  mcForwarding: [2, 'IPV4_DEVCONF_MC_FORWARDING', boolean32],
  proxyArp: [3, 'IPV4_DEVCONF_PROXY_ARP', boolean32],
  acceptRedirects: [4, 'IPV4_DEVCONF_ACCEPT_REDIRECTS', boolean32],
  secureRedirects: [5, 'IPV4_DEVCONF_SECURE_REDIRECTS', boolean32],
  sendRedirects: [6, 'IPV4_DEVCONF_SEND_REDIRECTS', boolean32],
  sharedMedia: [7, 'IPV4_DEVCONF_SHARED_MEDIA', boolean32],
  rpFilter: [8, 'IPV4_DEVCONF_RP_FILTER', attributeS32],
  acceptSourceRoute: [9, 'IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE', boolean32],
  bootpRelay: [10, 'IPV4_DEVCONF_BOOTP_RELAY', boolean32],
  logMartians: [11, 'IPV4_DEVCONF_LOG_MARTIANS', boolean32],
  tag: [12, 'IPV4_DEVCONF_TAG', attributeS32],
  arpFilter: [13, 'IPV4_DEVCONF_ARPFILTER', boolean32],
  mediumId: [14, 'IPV4_DEVCONF_MEDIUM_ID', attributeS32],
  disableXfrm: [15, 'IPV4_DEVCONF_NOXFRM', boolean32],
  disablePolicy: [16, 'IPV4_DEVCONF_NOPOLICY', boolean32],
  forceIgmpVersion: [17, 'IPV4_DEVCONF_FORCE_IGMP_VERSION', attributeS32],
  arpAnnounce: [18, 'IPV4_DEVCONF_ARP_ANNOUNCE', attributeS32],
  arpIgnore: [19, 'IPV4_DEVCONF_ARP_IGNORE', attributeS32],
  promoteSecondaries: [20, 'IPV4_DEVCONF_PROMOTE_SECONDARIES', boolean32],
  arpAccept: [21, 'IPV4_DEVCONF_ARP_ACCEPT', attributeS32],
  arpNotify: [22, 'IPV4_DEVCONF_ARP_NOTIFY', boolean32],
  acceptLocal: [23, 'IPV4_DEVCONF_ACCEPT_LOCAL', boolean32],
  srcValidMark: [24, 'IPV4_DEVCONF_SRC_VMARK', boolean32],
  proxyArpPvlan: [25, 'IPV4_DEVCONF_PROXY_ARP_PVLAN', boolean32],
  routeLocalnet: [26, 'IPV4_DEVCONF_ROUTE_LOCALNET', boolean32],
  igmpv2UnsolicitedReportInterval: [27, 'IPV4_DEVCONF_IGMPV2_UNSOLICITED_REPORT_INTERVAL', attributeS32],
  igmpv3UnsolicitedReportInterval: [28, 'IPV4_DEVCONF_IGMPV3_UNSOLICITED_REPORT_INTERVAL', attributeS32],
  ignoreRoutesWithLinkdown: [29, 'IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN', boolean32],
  dropUnicastInL2Multicast: [30, 'IPV4_DEVCONF_DROP_UNICAST_IN_L2_MULTICAST', boolean32],
  dropGratuitousArp: [31, 'IPV4_DEVCONF_DROP_GRATUITOUS_ARP', boolean32],
  bcForwarding: [32, 'IPV4_DEVCONF_BC_FORWARDING', boolean32],
  arpEvictNocarrier: [33, 'IPV4_DEVCONF_ARP_EVICT_NOCARRIER', boolean32],
})

/** Without those that the kernel leaves empty here (stable_secret) or cuts short (ioam6_id_wide). */
export const ipv6Parameters = attributes({
  forwarding: [0, 'DEVCONF_FORWARDING', boolean32],
  hopLimit: [1, 'DEVCONF_HOPLIMIT', attributeS32],
  mtu: [2, 'DEVCONF_MTU6', attributeS32],
  acceptRa: [3, 'DEVCONF_ACCEPT_RA', attributeS32],
  acceptRedirects: [4, 'DEVCONF_ACCEPT_REDIRECTS', boolean32],
  autoconf: [5, 'DEVCONF_AUTOCONF', boolean32],
  dadTransmits: [6, 'DEVCONF_DAD_TRANSMITS', attributeS32],
  routerSolicitations: [7, 'DEVCONF_RTR_SOLICITS', attributeS32],
  routerSolicitationInterval: [8, 'DEVCONF_RTR_SOLICIT_INTERVAL', attributeS32],
  routerSolicitationDelay: [9, 'DEVCONF_RTR_SOLICIT_DELAY', attributeS32],
  useTempaddr: [10, 'DEVCONF_USE_TEMPADDR', attributeS32],
  tempValidLft: [11, 'DEVCONF_TEMP_VALID_LFT', seconds32],
  tempPreferedLft: [12, 'DEVCONF_TEMP_PREFERED_LFT', seconds32],
  regenMaxRetry: [13, 'DEVCONF_REGEN_MAX_RETRY', attributeS32],
  maxDesyncFactor: [14, 'DEVCONF_MAX_DESYNC_FACTOR', seconds32],
  maxAddresses: [15, 'DEVCONF_MAX_ADDRESSES', attributeS32],
  forceMldVersion: [16, 'DEVCONF_FORCE_MLD_VERSION', attributeS32],
  acceptRaDefrtr: [17, 'DEVCONF_ACCEPT_RA_DEFRTR', boolean32],
  acceptRaPinfo: [18, 'DEVCONF_ACCEPT_RA_PINFO', boolean32],
  acceptRaRtrPref: [19, 'DEVCONF_ACCEPT_RA_RTR_PREF', boolean32],
  routerProbeInterval: [20, 'DEVCONF_RTR_PROBE_INTERVAL', attributeS32],
  acceptRaRtInfoMaxPlen: [21, 'DEVCONF_ACCEPT_RA_RT_INFO_MAX_PLEN', attributeS32],
  proxyNdp: [22, 'DEVCONF_PROXY_NDP', boolean32],
  optimisticDad: [23, 'DEVCONF_OPTIMISTIC_DAD', boolean32],
  acceptSourceRoute: [24, 'DEVCONF_ACCEPT_SOURCE_ROUTE', attributeS32],
  mcForwarding: [25, 'DEVCONF_MC_FORWARDING', boolean32],
  disableIpv6: [26, 'DEVCONF_DISABLE_IPV6', boolean32],
  acceptDad: [27, 'DEVCONF_ACCEPT_DAD', attributeS32],
  forceTllao: [28, 'DEVCONF_FORCE_TLLAO', boolean32],
  ndiscNotify: [29, 'DEVCONF_NDISC_NOTIFY', boolean32],
  mldv1UnsolicitedReportInterval: [30, 'DEVCONF_MLDV1_UNSOLICITED_REPORT_INTERVAL', attributeS32],
  mldv2UnsolicitedReportInterval: [31, 'DEVCONF_MLDV2_UNSOLICITED_REPORT_INTERVAL', attributeS32],
  suppressFragNdisc: [32, 'DEVCONF_SUPPRESS_FRAG_NDISC', boolean32],
  acceptRaFromLocal: [33, 'DEVCONF_ACCEPT_RA_FROM_LOCAL', boolean32],
  useOptimistic: [34, 'DEVCONF_USE_OPTIMISTIC', boolean32],
  acceptRaMtu: [35, 'DEVCONF_ACCEPT_RA_MTU', boolean32],
  useOifAddrsOnly: [37, 'DEVCONF_USE_OIF_ADDRS_ONLY', boolean32],
  acceptRaMinHopLimit: [38, 'DEVCONF_ACCEPT_RA_MIN_HOP_LIMIT', attributeS32],
  ignoreRoutesWithLinkdown: [39, 'DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN', boolean32],
  dropUnicastInL2Multicast: [40, 'DEVCONF_DROP_UNICAST_IN_L2_MULTICAST', boolean32],
  dropUnsolicitedNa: [41, 'DEVCONF_DROP_UNSOLICITED_NA', boolean32],
  keepAddrOnDown: [42, 'DEVCONF_KEEP_ADDR_ON_DOWN', attributeS32],
  routerSolicitationMaxInterval: [43, 'DEVCONF_RTR_SOLICIT_MAX_INTERVAL', attributeS32],
  seg6Enabled: [44, 'DEVCONF_SEG6_ENABLED', boolean32],
  seg6RequireHmac: [45, 'DEVCONF_SEG6_REQUIRE_HMAC', attributeS32],
  enhancedDad: [46, 'DEVCONF_ENHANCED_DAD', boolean32],
  addrGenMode: [47, 'DEVCONF_ADDR_GEN_MODE', attributeS32],
  disablePolicy: [48, 'DEVCONF_DISABLE_POLICY', boolean32],
  acceptRaRtInfoMinPlen: [49, 'DEVCONF_ACCEPT_RA_RT_INFO_MIN_PLEN', attributeS32],
  ndiscTclass: [50, 'DEVCONF_NDISC_TCLASS', attributeS32],
  rplSegEnabled: [51, 'DEVCONF_RPL_SEG_ENABLED', boolean32],
  raDefrtrMetric: [52, 'DEVCONF_RA_DEFRTR_METRIC', attributeU32],
  ioam6Enabled: [53, 'DEVCONF_IOAM6_ENABLED', boolean32],
  ioam6Id: [54, 'DEVCONF_IOAM6_ID', attributeU32],
  ndiscEvictNocarrier: [56, 'DEVCONF_NDISC_EVICT_NOCARRIER', boolean32],
  acceptUntrackedNa: [57, 'DEVCONF_ACCEPT_UNTRACKED_NA', attributeS32],
  acceptRaMinLft: [58, 'DEVCONF_ACCEPT_RA_MIN_LFT', seconds32],
  forceForwarding: [59, 'DEVCONF_FORCE_FORWARDING', boolean32],
})

/**
 * A link's IPv4 parameters, by the names of net.ipv4.conf in our spelling: `rpFilter` is rp_filter. Times are in milliseconds.
 * What the kernel does not have is missing.
 */
export type Ipv4Parameters = Omit<AttributesOf<typeof ipv4Parameters>, `#${number}`>

/** A link's IPv6 parameters, by the names of net.ipv6.conf in our spelling. Times are in milliseconds. */
export type Ipv6Parameters = Readonly<Omit<AttributesOf<typeof ipv6Parameters>, `#${number}`>>

/** Those that can only be read: a multicast routing program sets it. */
export const readOnlyIpv4Parameters: readonly string[] = ['mcForwarding']

/** IFLA_INET_CONF: kept as it comes, as reading it costs more than all the rest of a link; `readParameters` reads it. */
export const ipv4Configuration: AttributeType<Uint8Array | Ipv4Parameters> = {
  decode: binary.decode,
  encode(writer, value, _name, context) {
    if (value instanceof Uint8Array) writer.append(value)
    else ipv4Parameters.encode(writer, value as AttributesOf<typeof ipv4Parameters>, context.header)
  },
  nested: () => ({ table: ipv4Parameters as unknown as AnyTable, skip: 0 }),
}

/** The parameters in an array whose first element has the number `first`. */
export function readParameters<T>(table: AnyTable, first: number, octets: Uint8Array | undefined): T | undefined {
  if (octets === undefined) return undefined
  const source = sourceOf(octets)
  const context = { header: {}, siblings: {} }
  const result: Record<string, unknown> = {}
  for (const { key, number, type } of table.attributes) {
    const offset = 4 * (number - first)
    if (offset + 4 <= octets.length) result[key] = type.decode(source, offset, 4, context)
  }
  return result as T
}
