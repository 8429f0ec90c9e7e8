/** What a caller says about a route. */
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, valueError } from '../validate.js'
import {
  AF_INET,
  AF_INET6,
  checkIp,
  checkPrefix,
  familyOf,
  formatPrefix,
  type IpPrefix,
  maskOctets,
} from '../values/ip.js'
import { routeProtocols, routeTables, routeTypes, scopes } from './constants.js'
import type { LinkReference } from './link-options.js'

export interface NewRoute {
  /** The destination: '10.0.2.0/24', one address, or 'default'. */
  to: string
  /** The next hop's address. */
  via?: string
  /** The link that it leads out of; the kernel finds it by `via` when it is not given. */
  link?: LinkReference
  /** Default: 'main'; 'local' for the types 'local', 'broadcast', 'anycast' and 'nat', as `ip route` has it. */
  table?: keyof typeof routeTables | number
  /** Default: 'unicast'. Those of 'blackhole', 'unreachable', 'prohibit' and 'throw' have neither `via` nor `link`. */
  type?: keyof typeof routeTypes
  /** Default: 'link' without `via`, 'global' with it, 'host' for local routes (IPv4). */
  scope?: keyof typeof scopes
  /** Who made it. Default: 'static', where `ip route add` has 'boot'. */
  protocol?: keyof typeof routeProtocols | number
  /** The smaller goes first. Default: 0 for IPv4, 1024 for IPv6. */
  metric?: number
  /** The address to send from. */
  source?: string
  /** Maximum transmission unit in bytes. */
  mtu?: number
  /** Take the next hop to be on the link, whatever the addresses say. */
  onlink?: boolean
}

/** Which route to remove or to look for. The table's default is that of a new route; without `type`, any type matches. */
export interface RouteMatch extends Pick<NewRoute, 'to' | 'via' | 'link' | 'table' | 'metric' | 'type'> {
  /** Default: that of `to`; for 'default' that of `via`, and IPv4 without it. */
  family?: 'inet' | 'inet6'
}

export interface RouteFilter {
  family?: 'inet' | 'inet6'
  /** A table, or 'all'. Default: 'main' whatever the type, as `ip route` has it. */
  table?: keyof typeof routeTables | 'all' | number
  link?: LinkReference
  /** The destination, exactly. 'default' alone is that of both families. */
  to?: string
  via?: string
  protocol?: keyof typeof routeProtocols | number
  type?: keyof typeof routeTypes
}

export const routeKeys = [
  'to',
  'via',
  'link',
  'table',
  'type',
  'scope',
  'protocol',
  'metric',
  'source',
  'mtu',
  'onlink',
] as const satisfies readonly (keyof NewRoute)[]

export const matchKeys = [
  'to',
  'via',
  'link',
  'table',
  'metric',
  'type',
  'family',
] as const satisfies readonly (keyof RouteMatch)[]

/** Route types that have no next hop. */
const withoutNexthop = ['blackhole', 'unreachable', 'prohibit', 'throw']

/** Route types that go into the table 'local' unless another is named (iproute_modify in iproute2's ip/iproute.c). */
const inLocalTable = ['local', 'broadcast', 'anycast', 'nat']

export interface CheckedRoute {
  prefix: IpPrefix
  route: NewRoute
}

/** 'default' needs its family, or another address to tell it; alone it is IPv4's. */
export function checkDestination(
  to: unknown,
  hints: (string | undefined)[],
  name: string,
  family?: RouteMatch['family'],
): IpPrefix {
  checkString(to, name)
  if (to === 'default') {
    const isSix = family === undefined ? hints.find((text) => text !== undefined)?.includes(':') : family === 'inet6'
    return { family: isSix ? AF_INET6 : AF_INET, octets: new Uint8Array(isSix ? 16 : 4), prefixLength: 0 }
  }
  const prefix = checkPrefix(to, name, true)
  const masked = maskOctets(prefix.octets, prefix.prefixLength)
  if (masked.some((octet, i) => octet !== prefix.octets[i])) {
    const network = formatPrefix(masked, prefix.prefixLength)
    throw valueError(name, to, `has bits set after its prefix; the network is '${network}'`)
  }
  return prefix
}

export function familyName({ family }: IpPrefix): 'inet' | 'inet6' {
  return family === AF_INET ? 'inet' : 'inet6'
}

/** Checks a route, or with the keys of one what tells a route from others. */
export function checkRoute(
  route: NewRoute & Pick<RouteMatch, 'family'>,
  name: string,
  keys: readonly string[] = routeKeys,
): CheckedRoute {
  checkOptions(route, name, keys)
  const { family, link, via, source, table, type, scope, protocol, metric, mtu, onlink } = route
  const gateway = via === undefined ? undefined : checkIp(via, `${name}.via`)
  const from = source === undefined ? undefined : checkIp(source, `${name}.source`)
  if (family !== undefined) checkOneOf(family, `${name}.family`, ['inet', 'inet6'])
  const prefix = checkDestination(route.to, [via, source], `${name}.to`, family)
  if (family !== undefined && family !== familyName(prefix)) {
    throw valueError(`${name}.family`, family, "is not the destination's")
  }
  if (gateway !== undefined && gateway.length < prefix.octets.length) {
    throw valueError(`${name}.via`, via, 'is IPv4, and leads to no IPv6 destination')
  }
  if (from !== undefined && familyOf(from) !== prefix.family) {
    throw valueError(`${name}.source`, source, "is not of the destination's family")
  }
  checkTable(table, `${name}.table`)
  if (type !== undefined) checkOneOf(type, `${name}.type`, Object.keys(routeTypes))
  if (type !== undefined && withoutNexthop.includes(type)) {
    const why = `a ${type} route has no next hop`
    if (via !== undefined) throw valueError(`${name}.via`, via, why)
    if (link !== undefined) throw valueError(`${name}.link`, typeof link === 'object' ? link?.name : link, why)
  }
  if (scope !== undefined) checkOneOf(scope, `${name}.scope`, Object.keys(scopes))
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  if (metric !== undefined) checkInteger(metric, `${name}.metric`, 0, 0xffff_ffff)
  if (mtu !== undefined) checkInteger(mtu, `${name}.mtu`, 1, 0xffff_ffff)
  if (onlink !== undefined) checkBoolean(onlink, `${name}.onlink`)
  return { prefix, route }
}

export function checkProtocol(protocol: unknown, name: string): void {
  if (typeof protocol === 'number') checkInteger(protocol, name, 0, 255)
  else checkOneOf(protocol, name, Object.keys(routeProtocols))
}

export function checkTable(table: unknown, name: string): void {
  if (typeof table === 'number') checkInteger(table, name, 0, 0xffff_ffff)
  else if (table !== undefined) checkOneOf(table, name, Object.keys(routeTables))
}

export function tableNumber(table: keyof typeof routeTables | number | undefined): number {
  return typeof table === 'number' ? table : routeTables[table ?? 'main']
}

export function tableOf({ table, type }: Pick<NewRoute, 'table' | 'type'>): keyof typeof routeTables | number {
  return table ?? (type !== undefined && inLocalTable.includes(type) ? 'local' : 'main')
}

export function protocolNumber(protocol: NewRoute['protocol']): number {
  return typeof protocol === 'number' ? protocol : routeProtocols[protocol ?? 'static']
}

/** The scope that `ip route add` chooses. */
export function defaultScope({ type = 'unicast', via }: NewRoute, family: number): keyof typeof scopes {
  if (family === AF_INET6) return 'global'
  if (type === 'local' || type === 'nat') return 'host'
  if (type === 'broadcast' || type === 'multicast' || type === 'anycast') return 'link'
  return type === 'unicast' && via === undefined ? 'link' : 'global'
}
