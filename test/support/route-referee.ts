/** Routes as iproute2 says them (`ip -j -d route`) and as netkit does, brought into one shape. */
import type { Encapsulation, EncapsulationRow, Namespace, Route, RouteMetrics } from '../../dist/index.js'
import { type Both, byText, inOrder, number, type Shape, said, steady } from './referee.js'
import { ip } from './scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

/** The metrics that iproute2 shows: netkit's name and iproute2's. It does not show in JSON which are locked. */
const metrics: [keyof RouteMetrics, string][] = [
  ['mtu', 'mtu'],
  ['window', 'window'],
  ['rtt', 'rtt'],
  ['rttVariance', 'rttvar'],
  ['slowStartThreshold', 'ssthresh'],
  ['congestionWindow', 'cwnd'],
  ['advertisedMss', 'advmss'],
  ['reordering', 'reordering'],
  ['hopLimit', 'hoplimit'],
  ['initialCongestionWindow', 'initcwnd'],
  ['minimumRto', 'rto_min'],
  ['initialReceiveWindow', 'initrwnd'],
  ['congestionControl', 'congestion'],
]

function metricsByIp(json: Json): Shape | undefined {
  const [all] = json.metrics ?? []
  if (all === undefined) return undefined
  return said({
    ...Object.fromEntries(metrics.map(([ours, theirs]) => [ours, all[theirs]])),
    features: 'ecn' in all ? ['ecn'] : undefined,
    quickAck: all.quickack === 1 ? true : undefined,
    fastOpenNoCookie: all.fastopen_no_cookie === 1 ? true : undefined,
  })
}

function metricsByNetkit(own: RouteMetrics | undefined): Shape | undefined {
  if (own === undefined) return undefined
  const { features, quickAck, fastOpenNoCookie } = own
  return said({
    ...Object.fromEntries(metrics.map(([ours]) => [ours, own[ours]])),
    ...{ features, quickAck, fastOpenNoCookie },
  })
}

/** Of segments that are inserted iproute2 shows the place for the packet's destination too. */
const withoutPlace = (segments: string[]) => (segments.at(-1) === '::' ? segments.slice(0, -1) : segments)

function encapsulationByIp(json: Json, indexes: Map<string, number>): Shape | undefined {
  const some = (value: Json) => (value === 0 || value === '0.0.0.0' || value === '::' ? undefined : value)
  switch (json.encap) {
    case undefined:
      return undefined
    case 'mpls':
      return said({ type: 'mpls', labels: labels(json.encap_dst), ttl: json.ttl || undefined })
    case 'ip':
    case 'ip6': {
      const flags = ['csum', 'key', 'seq'].filter((name) => json[name])
      const words: Record<string, string> = { csum: 'checksum', key: 'key', seq: 'sequence' }
      return said({
        type: json.encap,
        id: some(json.id),
        destination: some(json.encap_dst),
        source: some(json.src),
        ttl: some(json.ttl ?? json.hoplimit),
        tos: some(json.tos ?? json.tc),
        flags: flags.length > 0 ? flags.map((name) => words[name]) : undefined,
      })
    }
    case 'seg6':
      return { type: 'seg6', mode: json.mode, segments: json.mode === 'inline' ? withoutPlace(json.segs) : json.segs }
    case 'seg6local':
      return said({
        type: 'seg6local',
        action: json.action,
        segments: json.action === 'End.B6' ? withoutPlace(json.srh.segs) : json.srh?.segs,
        table: json.encap_table === undefined ? undefined : number(json.encap_table),
        vrfTable: json.vrftable === undefined ? undefined : number(json.vrftable),
        nexthop4: json.nh4,
        nexthop6: json.nh6,
        inputLink: indexes.get(json.iif),
        outputLink: indexes.get(json.oif),
      })
    default:
      return { type: json.encap }
  }
}

const labels = (text: string) => text.split('/').map(Number)

const encapsulationKeys = [
  ...['type', 'labels', 'ttl', 'id', 'destination', 'source', 'tos', 'flags', 'mode', 'action', 'segments', 'table'],
  ...['vrfTable', 'nexthop4', 'nexthop6', 'inputLink', 'outputLink', 'interfaceId', 'link'],
]

function encapsulationShape(own: Shape | EncapsulationRow | Encapsulation | undefined): Shape | undefined {
  return own === undefined ? undefined : said(inOrder(encapsulationKeys, { ...own }))
}

const realms = (flow: Json) => (flow === undefined ? undefined : Number(flow.from ?? 0) * 65_536 + Number(flow.to))

/** Those that run are rounded: the two looks are some time apart. */
const tens = (seconds: number | undefined) => (seconds === undefined ? undefined : Math.round(seconds / 10) * 10_000)

function routeByIp(json: Json, indexes: Map<string, number>): Shape {
  const six = json.family === 'inet6'
  const to = String(json.dst)
  const network = (text: string) => (text === 'default' || text.includes('/') ? text : `${text}/${six ? 128 : 32}`)
  const hop = ({ gateway, via }: Json) => gateway ?? via?.host
  return said({
    family: json.family,
    to: json.family === 'mpls' ? to : network(to),
    via: hop(json),
    index: indexes.get(json.dev),
    table: number(json.table ?? 'main'),
    type: json.type ?? 'unicast',
    scope: number(json.scope ?? 'global'),
    protocol: number(json.protocol),
    metric: json.metric,
    source: json.prefsrc,
    from: json.from === undefined ? undefined : network(json.from),
    tos: json.tos === undefined || json.encap === 'ip' ? undefined : Number(json.tos),
    metrics: metricsByIp(json),
    flow: realms(json.flow),
    preference: json.pref,
    expires: tens(json.expires),
    nexthopId: json.nhid,
    encapsulation: encapsulationShape(encapsulationByIp(json, indexes)),
    as: json.to === undefined ? undefined : labels(json.to),
    ttlPropagate: json['ttl-propogate'] ?? json['ttl-propagate'],
    flags: json.flags,
    nexthops: json.nexthops?.map((one: Json) =>
      said({
        via: hop(one),
        index: indexes.get(one.dev),
        weight: one.weight ?? 1,
        flags: one.flags,
        flow: realms(one.flow),
        encapsulation: encapsulationShape(encapsulationByIp(one, indexes)),
        as: one.to === undefined ? undefined : labels(one.to),
      }),
    ),
  })
}

const routeKeys = [
  ...['family', 'to', 'via', 'index', 'table', 'type', 'scope', 'protocol', 'metric', 'source', 'from', 'tos'],
  ...['metrics', 'flow', 'preference', 'expires', 'nexthopId', 'encapsulation', 'as', 'ttlPropagate', 'flags'],
  'nexthops',
]

function routeByNetkit(route: Route): Shape {
  const nexthops = route.nexthops?.map(({ via, index, weight, flags, flow, encapsulation, as }) =>
    said({ via, index, weight, flags, flow, encapsulation: encapsulationShape(encapsulation), as }),
  )
  const { encapsulation, expires, metrics: own } = route
  return said({
    ...inOrder(routeKeys, {
      ...route,
      metrics: metricsByNetkit(own),
      expires: tens(expires === undefined ? undefined : expires / 1000),
      encapsulation: encapsulationShape(encapsulation),
      nexthops,
    }),
  })
}

/** What iproute2 prints: two things of an encapsulation have the names of the route's own, which JSON does not survive. */
async function shown(namespace: Namespace, family: string): Promise<Json[]> {
  const args = family === 'mpls' ? ['-f', 'mpls', 'route', 'show'] : ['-f', family, 'route', 'show', 'table', 'all']
  const { stdout } = await namespace.exec('ip', ['-j', '-d', ...args], { check: true })
  const text = stdout
    .replace(/("encap":"ip6?","id":\d+,"src":"[^"]*",)"dst"/g, '$1"encap_dst"')
    .replace(/("encap":"mpls",)"dst"/g, '$1"encap_dst"')
    .replace(/("encap":"seg6local","action":"[^"]*",)"table"/g, '$1"encap_table"')
  return text.trim() === '' ? [] : JSON.parse(text)
}

/** All routes of all tables of a namespace: as iproute2 sees them, and as netkit does. */
export function bothRoutes(namespace: Namespace, families: Route['family'][] = ['inet', 'inet6']): Promise<Both> {
  return steady(
    async () => {
      const links: Json[] = await ip(namespace, 'link', 'show')
      const indexes = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]))
      const lists = await Promise.all(
        families.map(async (family) =>
          (await shown(namespace, family)).map((one) => routeByIp({ ...one, family }, indexes)),
        ),
      )
      return lists.flat().sort(byText)
    },
    async () => {
      const lists = await Promise.all(families.map((family) => namespace.routes.list({ family, table: 'all' })))
      return lists.flat().map(routeByNetkit).sort(byText)
    },
  )
}
