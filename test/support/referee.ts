/** What iproute2 says (`ip -j -d`) and what netkit says, brought into one shape so that the two can be compared. */
import { isDeepStrictEqual } from 'node:util'
import type { Address, Link, Namespace } from '../../dist/index.js'
import { ip } from './scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any
export type Shape = Record<string, unknown>

export const number = (text: string | number) => (/^\d+$/.test(String(text)) ? Number(text) : text)
const flag = (value: number | boolean | undefined) => (value === undefined ? undefined : Boolean(value))
const milliseconds = (ticks: number | undefined) => (ticks === undefined ? undefined : ticks * 10)
const padded = (id: string | undefined) => id?.replace(/(?<=[.:])[0-9a-f](?=:|$)/g, '0$&')

/** Without the keys whose value is undefined. */
export function said(shape: Shape): Shape {
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined))
}

const routers = ['disabled', 'query', 'enabled', 'temporary']

/** The options of a bridge: netkit's name, iproute2's, and how to read the latter. Timers are left out: they run. */
const bridgeOptions: [netkit: string, iproute2: string, read?: (value: Json) => unknown][] = [
  ['forwardDelay', 'forward_delay', milliseconds],
  ['helloTime', 'hello_time', milliseconds],
  ['maxAge', 'max_age', milliseconds],
  ['ageingTime', 'ageing_time', milliseconds],
  ['stp', 'stp_state', flag],
  ['priority', 'priority'],
  ['vlanFiltering', 'vlan_filtering', flag],
  ['vlanProtocol', 'vlan_protocol', (text?: string) => text?.toLowerCase()],
  ['groupForwardMask', 'group_fwd_mask', (text?: string) => (text === undefined ? undefined : Number(text))],
  ['rootId', 'root_id', padded],
  ['bridgeId', 'bridge_id', padded],
  ['rootPort', 'root_port'],
  ['rootPathCost', 'root_path_cost'],
  ['topologyChange', 'topology_change', flag],
  ['topologyChangeDetected', 'topology_change_detected', flag],
  ['groupAddress', 'group_addr'],
  ['multicastRouter', 'mcast_router', (value?: number) => (value === undefined ? undefined : routers[value])],
  ['multicastSnooping', 'mcast_snooping', flag],
  ['multicastQueryUseIfaddr', 'mcast_query_use_ifaddr', flag],
  ['multicastQuerier', 'mcast_querier', flag],
  ['multicastHashElasticity', 'mcast_hash_elasticity'],
  ['multicastHashMax', 'mcast_hash_max'],
  ['multicastLastMemberCount', 'mcast_last_member_cnt'],
  ['multicastStartupQueryCount', 'mcast_startup_query_cnt'],
  ['multicastLastMemberInterval', 'mcast_last_member_intvl', milliseconds],
  ['multicastMembershipInterval', 'mcast_membership_intvl', milliseconds],
  ['multicastQuerierInterval', 'mcast_querier_intvl', milliseconds],
  ['multicastQueryInterval', 'mcast_query_intvl', milliseconds],
  ['multicastQueryResponseInterval', 'mcast_query_response_intvl', milliseconds],
  ['multicastStartupQueryInterval', 'mcast_startup_query_intvl', milliseconds],
  ['callIptables', 'nf_call_iptables', flag],
  ['callIp6tables', 'nf_call_ip6tables', flag],
  ['callArptables', 'nf_call_arptables', flag],
  ['defaultPvid', 'vlan_default_pvid'],
  ['vlanStatistics', 'vlan_stats_enabled', flag],
  ['vlanStatisticsPerPort', 'vlan_stats_per_port', flag],
  ['multicastStatistics', 'mcast_stats_enabled', flag],
  ['igmpVersion', 'mcast_igmp_version'],
  ['mldVersion', 'mcast_mld_version'],
]

/** Options of a bridge from the `info_data` of iproute2. */
export function bridgeByIp(data: Json): Shape {
  const options = bridgeOptions.map(([key, theirs, read]) => [
    key,
    read === undefined ? data[theirs] : read(data[theirs]),
  ])
  const { no_linklocal_learn: learn, mcast_vlan_snooping: snooping } = data
  return said({
    ...Object.fromEntries(options),
    booleanOptions: { noLinkLocalLearn: flag(learn), multicastVlanSnooping: flag(snooping) },
  })
}

/** The same of netkit's; what this iproute2 does not show is left out. */
export function bridgeByNetkit(options: Shape): Shape {
  const { noLinkLocalLearn, multicastVlanSnooping } = options.booleanOptions as Shape
  return said({
    ...Object.fromEntries(bridgeOptions.map(([key]) => [key, options[key]])),
    booleanOptions: { noLinkLocalLearn, multicastVlanSnooping },
  })
}

function linkByIp(json: Json, indexes: Map<string, number>): Shape {
  const flags: string[] = json.flags
  const { rx, tx } = json.stats64
  const kind = json.linkinfo?.info_kind
  return said({
    index: json.ifindex,
    name: json.ifname,
    kind,
    mac: json.address ?? '',
    broadcast: json.broadcast,
    mtu: json.mtu,
    // Those two are not the kernel's.
    flags: flags.filter((name) => name !== 'NO-CARRIER' && name !== 'M-DOWN').sort(),
    up: flags.includes('UP'),
    running: flags.includes('UP') && !flags.includes('NO-CARRIER'),
    operationalState: json.operstate,
    linkMode: json.linkmode.toLowerCase(),
    protocolDown: json.proto_down ?? false,
    protocolDownReasons: (json.proto_down_reason ?? []).map(number),
    permanentMac: json.permaddr,
    queueingDiscipline: json.qdisc,
    group: json.group === 'default' ? 0 : number(json.group),
    txQueueLength: json.txqlen ?? 0,
    promiscuity: json.promiscuity,
    allMulticast: json.allmulti,
    minimumMtu: json.min_mtu,
    maximumMtu: json.max_mtu,
    master: json.master === undefined ? undefined : indexes.get(json.master),
    portKind: json.linkinfo?.info_slave_kind,
    parent: json.link_index ?? (json.link === undefined ? undefined : indexes.get(json.link)),
    parentNamespaceId: json.link_netnsid,
    alias: json.ifalias,
    alternativeNames: json.altnames ?? [],
    addressGeneration: json.inet6_addr_gen_mode,
    txQueues: json.num_tx_queues,
    rxQueues: json.num_rx_queues,
    gsoMaxSize: json.gso_max_size,
    gsoMaxSegments: json.gso_max_segs,
    tsoMaxSize: json.tso_max_size,
    tsoMaxSegments: json.tso_max_segs,
    groMaxSize: json.gro_max_size,
    received: [rx.bytes, rx.packets, rx.errors, rx.dropped, rx.over_errors, rx.multicast],
    sent: [tx.bytes, tx.packets, tx.errors, tx.dropped, tx.carrier_errors, tx.collisions],
    bridge: kind === 'bridge' ? bridgeByIp(json.linkinfo.info_data) : undefined,
  })
}

function linkByNetkit(link: Link): Shape {
  const {
    index,
    name,
    kind,
    mac,
    mtu,
    up,
    group,
    txQueueLength,
    alias,
    addressGeneration,
    attributes: all,
    stats,
  } = link
  return said({
    index,
    name,
    kind,
    mac,
    broadcast: link.broadcast === '' ? undefined : link.broadcast,
    mtu,
    flags: link.flags.filter((flag) => flag !== 'RUNNING').sort(),
    up,
    running: up && link.running,
    operationalState: String(link.operationalState).toUpperCase().replaceAll('-', ''),
    linkMode: link.linkMode,
    protocolDown: link.protocolDown,
    protocolDownReasons: link.protocolDownReasons,
    // iproute2 shows it where it is another.
    permanentMac: link.permanentMac === mac ? undefined : link.permanentMac,
    queueingDiscipline: all.queueingDiscipline,
    group,
    txQueueLength,
    promiscuity: link.promiscuity,
    allMulticast: link.allMulticastCount,
    minimumMtu: link.minimumMtu,
    maximumMtu: link.maximumMtu,
    master: link.master,
    portKind: all.info?.portKind,
    // iproute2 does not show a parent of index 0.
    parent: link.parent === 0 ? undefined : link.parent,
    parentNamespaceId: link.parentNamespaceId,
    alias,
    alternativeNames: link.alternativeNames,
    addressGeneration,
    txQueues: all.txQueues,
    rxQueues: all.rxQueues,
    gsoMaxSize: all.gsoMaxSize,
    gsoMaxSegments: all.gsoMaxSegments,
    tsoMaxSize: link.tsoMaxSize,
    tsoMaxSegments: link.tsoMaxSegments,
    groMaxSize: all.groMaxSize,
    received: stats && [
      stats.receivedBytes,
      stats.receivedPackets,
      stats.receiveErrors,
      stats.receiveDropped,
      stats.receiveOverErrors,
      stats.multicast,
    ],
    sent: stats && [
      stats.sentBytes,
      stats.sentPackets,
      stats.sendErrors,
      stats.sendDropped,
      stats.sendCarrierErrors,
      stats.collisions,
    ],
    bridge: kind === 'bridge' ? bridgeByNetkit(link.options) : undefined,
  })
}

const byIndex = (a: Shape, b: Shape) => Number(a.index) - Number(b.index)

export interface Both {
  iproute2: Shape[]
  netkit: Shape[]
}

/**
 * What both say of the same state: netkit is asked before iproute2 and after it, until nothing has changed in between (the
 * kernel sends packets of its own accord, and ends the detection of duplicate addresses).
 */
export async function steady(askIproute2: () => Promise<Shape[]>, askNetkit: () => Promise<Shape[]>): Promise<Both> {
  let netkit = await askNetkit()
  for (let attempt = 0; ; attempt++) {
    const iproute2 = await askIproute2()
    const after = await askNetkit()
    if (isDeepStrictEqual(netkit, after) || attempt === 50) return { iproute2, netkit: after }
    netkit = after
  }
}

/** All links of a namespace: as iproute2 sees them, and as netkit does. */
export function bothLinks(namespace: Namespace): Promise<Both> {
  return steady(
    async () => {
      const json: Json[] = await ip(namespace, '-s', 'link', 'show')
      const indexes = new Map(json.map(({ ifname, ifindex }) => [ifname, ifindex]))
      return json.map((one) => linkByIp(one, indexes)).sort(byIndex)
    },
    async () => (await namespace.links.list()).map(linkByNetkit).sort(byIndex),
  )
}

/** One link, likewise. */
export async function bothOf(namespace: Namespace, name: string): Promise<{ iproute2: Shape; netkit: Shape }> {
  const { iproute2, netkit } = await bothLinks(namespace)
  const found = { iproute2: iproute2.find((one) => one.name === name), netkit: netkit.find((one) => one.name === name) }
  if (found.iproute2 === undefined || found.netkit === undefined) throw new Error(`there is no ${name}`)
  return found as { iproute2: Shape; netkit: Shape }
}

/** Flags of an address that iproute2 prints as words; `dynamic` is the opposite of `permanent`. */
const addressWords = [
  ...['secondary', 'nodad', 'optimistic', 'dadfailed', 'home', 'deprecated', 'tentative'],
  ...['mngtmpaddr', 'noprefixroute', 'autojoin', 'stable-privacy'],
]
const seconds = (value: number) => (value === 0xffff_ffff ? Number.POSITIVE_INFINITY : value * 1000)

function addressByIp(json: Json, index: number): Shape {
  const isFour = json.family === 'inet'
  const peer = json.address !== undefined
  return said({
    family: json.family,
    address: `${json.local}/${peer ? (isFour ? 32 : 128) : json.prefixlen}`,
    peer: peer ? `${json.address}/${json.prefixlen}` : undefined,
    index,
    scope: number(json.scope),
    flags: [...addressWords.filter((word) => json[word]), ...(json.dynamic ? [] : ['permanent'])].sort(),
    label: json.label,
    broadcast: json.broadcast,
    metric: json.metric,
    validLifetime: seconds(json.valid_life_time),
    preferredLifetime: seconds(json.preferred_life_time),
  })
}

function addressByNetkit(address: Address): Shape {
  const { family, address: own, peer, index, scope, flags, ...rest } = address
  return said({
    family,
    address: own,
    peer,
    index,
    scope,
    flags: [...flags].sort(),
    ...inOrder(addressKeys, { ...rest }),
  })
}

const addressKeys = ['label', 'broadcast', 'metric', 'validLifetime', 'preferredLifetime']

/** The keys in this order, so that two shapes have the same text. */
export function inOrder(keys: readonly string[], shape: Shape): Shape {
  return Object.fromEntries(keys.map((key) => [key, shape[key]]))
}

export const byText = (a: Shape, b: Shape) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

/** Finite lifetimes run on between the two looks: they are rounded to 10 s, and the caller chooses them off the edges. */
function rounded(shape: Shape): Shape {
  const round = (value: unknown) => Math.round(Number(value) / 10_000) * 10_000
  return {
    ...shape,
    validLifetime: round(shape.validLifetime),
    preferredLifetime: round(shape.preferredLifetime),
  }
}

/** All addresses of a namespace: as iproute2 sees them, and as netkit does. */
export function bothAddresses(namespace: Namespace): Promise<Both> {
  return steady(
    async () => {
      const json: Json[] = await ip(namespace, 'address', 'show')
      const all = json.flatMap((link) => link.addr_info.map((one: Json) => addressByIp(one, link.ifindex)))
      return all.map(rounded).sort(byText)
    },
    async () => (await namespace.addresses.list()).map(addressByNetkit).map(rounded).sort(byText),
  )
}
