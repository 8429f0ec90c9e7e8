/** Conditions on IP packets: addresses, protocols and ports, for IPv4 (RFC 791) and IPv6 (RFC 8200) at the same time. */
import { protocols } from '../../rtnetlink/traffic/filter.js'
import { checkIpProtocol, type IpProtocol, ipProtocols } from '../../rtnetlink/traffic/ip-protocols.js'
import { typeError, valueError } from '../../validate.js'
import { checkPrefix, type IpPrefix } from '../../values/ip.js'
import { ipOffset, type Place, typeIs } from './ethernet-tests.js'
import { all, any, choice, type Expression, equals, isAtLeast, type Load, not, test } from './expression.js'
import { bpf, step } from './instructions.js'
import { load } from './loads.js'

/** A port, or from the one to the other ('6000-6063'). */
export type PortCondition = number | string

/** Conditions on IP packets. One of them makes that a frame must be one. */
export interface IpConditions {
  /**
   * The protocol in the IP header: a name or a number; or 'arp', as `arp: true`. 'icmp' and 'igmp' are of IPv4 only, 'icmpv6' of IPv6.
   * Of IPv6, this is the next header of the fixed header: what is behind extension headers is not found.
   */
  protocol?: IpProtocol | 'arp'
  /** The address or network that it comes from, or several of them: '10.0.0.1', 'fd00::/8'. Bits behind the prefix do not matter. */
  source?: string | readonly string[]
  /** The address or network that it goes to. */
  destination?: string | readonly string[]
  /** One that it comes from or goes to. */
  host?: string | readonly string[]
  /**
   * Ports, or several of them, of TCP, UDP or SCTP, or of the protocol that `protocol` names. Of a fragmented IPv4 packet only the first fragment has them,
   * and none of those behind is one that meets this.
   */
  sourcePort?: PortCondition | readonly PortCondition[]
  destinationPort?: PortCondition | readonly PortCondition[]
  /** The one or the other. */
  port?: PortCondition | readonly PortCondition[]
}

export const ipKeys = ['protocol', 'source', 'destination', 'host', 'sourcePort', 'destinationPort', 'port'] as const

type Side = 'source' | 'destination'

/** Where things lie in the header of a version. */
interface Version {
  readonly type: number
  /** How many bytes an address has. */
  readonly octets: number
  /** How many the fixed header has. */
  readonly header: number
  readonly protocol: number
  readonly addresses: Readonly<Record<Side, number>>
}

const versions: readonly Version[] = [
  { type: protocols.ip, octets: 4, header: 20, protocol: 9, addresses: { source: 12, destination: 16 } },
  { type: protocols.ipv6, octets: 16, header: 40, protocol: 6, addresses: { source: 8, destination: 24 } },
]

/** Protocols that one version has of its own. */
const ownProtocols: Readonly<Record<string, number>> = {
  icmp: protocols.ip,
  igmp: protocols.ip,
  icmpv6: protocols.ipv6,
}
/** DCCP and UDP-Lite have no names here, but have ports at the same place. */
const withPorts: readonly number[] = [ipProtocols.tcp, ipProtocols.udp, ipProtocols.sctp, 33, 136]
const PORTS = { source: 0, destination: 2, size: 4 } as const

const addressKeys = [
  ['source', ['source']],
  ['destination', ['destination']],
  ['host', ['source', 'destination']],
] as const
const portKeys = [
  ['sourcePort', ['source']],
  ['destinationPort', ['destination']],
  ['port', ['source', 'destination']],
] as const

/** What was asked, checked. */
interface Asked {
  readonly protocol: number | undefined
  /** The type of the version that the protocol belongs to, if to one only. */
  readonly only: number | undefined
  readonly addresses: { readonly sides: readonly Side[]; readonly prefixes: readonly IpPrefix[] }[]
  readonly ports: { readonly sides: readonly Side[]; readonly ranges: readonly Ports[] }[]
}

interface Ports {
  readonly least: number
  readonly most: number
}

/** The tests of these conditions: nothing when there are none. */
export function ipConditions(conditions: IpConditions, name: string, place: Place): Expression[] {
  if (ipKeys.every((key) => conditions[key] === undefined)) return []
  if (conditions.protocol === 'arp') {
    const other = ipKeys.find((key) => key !== 'protocol' && conditions[key] !== undefined)
    if (other !== undefined)
      throw valueError(`${name}.${other}`, conditions[other], 'is a condition on IP packets, which ARP is not')
    if (place.layer3) throw valueError(`${name}.protocol`, 'arp', 'packets of a tun have no Ethernet header')
    return [typeIs(protocols.arp, place)]
  }
  const asked = check(conditions, name)
  const able = versions.filter((version) => isPossible(asked, version))
  const [one, other] = able.map((version) => {
    const isVersion = typeIs(version.type, place)
    const tests = all(...testsOf(asked, version, ipOffset(place)))
    return { isVersion, tests, whole: all(isVersion, tests) }
  })
  if (one === undefined) throw valueError(name, conditions, 'no packet is of IPv4 and IPv6 at the same time')
  return [other === undefined ? one.whole : choice(one.isVersion, one.tests, other.whole)]
}

function check(conditions: IpConditions, name: string): Asked {
  const { protocol } = conditions
  const number = protocol === undefined ? undefined : checkIpProtocol(protocol, `${name}.protocol`)
  const addresses = addressKeys.flatMap(([key, sides]) => {
    const prefixes = several(conditions[key], `${name}.${key}`, (value, path) => checkPrefix(value, path, true))
    return prefixes === undefined ? [] : [{ sides, prefixes }]
  })
  const ports = portKeys.flatMap(([key, sides]) => {
    const ranges = several(conditions[key], `${name}.${key}`, checkPorts)
    if (ranges !== undefined && number !== undefined && !withPorts.includes(number))
      throw valueError(`${name}.${key}`, conditions[key], `the protocol ${protocol} has no ports`)
    return ranges === undefined ? [] : [{ sides, ranges }]
  })
  const only =
    typeof protocol === 'string' && Object.hasOwn(ownProtocols, protocol) ? ownProtocols[protocol] : undefined
  return { protocol: number, only, addresses, ports }
}

/** One value or an array of them. */
function several<T>(value: unknown, name: string, check: (value: unknown, name: string) => T): T[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) return [check(value, name)]
  if (value.length === 0) throw valueError(name, value, 'expected one or more')
  return value.map((one, i) => check(one, `${name}[${i}]`))
}

function checkPorts(value: unknown, name: string): Ports {
  if (typeof value !== 'number' && typeof value !== 'string')
    throw typeError(name, "a port, or two as in '6000-6063'", value)
  const [, first, , last = first] = /^(\d{1,5})(-(\d{1,5}))?$/.exec(String(value)) ?? []
  const [least, most] = [Number(first), Number(last)]
  // What is no number is not at most anything.
  if (!(least <= most && most <= 0xffff))
    throw valueError(name, value, "expected a port from 0 to 65535, or two, the smaller first, as in '6000-6063'")
  return { least, most }
}

function isPossible({ only, addresses }: Asked, { type, octets }: Version): boolean {
  const has = (prefixes: readonly IpPrefix[]) => prefixes.some((prefix) => prefix.octets.length === octets)
  return (only === undefined || only === type) && addresses.every(({ prefixes }) => has(prefixes))
}

function testsOf({ protocol, addresses, ports }: Asked, version: Version, base: number): Expression[] {
  const isIpv4 = version.type === protocols.ip
  const parts: Expression[] = [isAtLeast(base + version.header + (ports.length > 0 && !isIpv4 ? PORTS.size : 0))]
  const number = load(base + version.protocol, 1)
  if (protocol !== undefined) parts.push(equals(number, protocol))
  else if (ports.length > 0) parts.push(any(...withPorts.slice(0, 3).map((one) => equals(number, one))))
  for (const { sides, prefixes } of addresses) {
    const own = prefixes.filter(({ octets }) => octets.length === version.octets)
    const either = (side: Side) => own.map((prefix) => addressIs(prefix, base + version.addresses[side]))
    parts.push(any(...sides.flatMap(either)))
  }
  if (ports.length === 0) return parts
  const of = isIpv4 ? portsOf4(base) : portsOf6(base)
  parts.push(...of.before)
  for (const { sides, ranges } of ports) {
    const either = (side: Side) => ranges.map((range) => isWithin(of.load(side), range))
    parts.push(any(...sides.flatMap(either)))
  }
  return parts
}

/** An address or a network, 32 bits at a time. */
function addressIs({ octets, prefixLength }: IpPrefix, at: number): Expression {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
  const words = Array.from({ length: Math.ceil(prefixLength / 32) }, (_, i) => {
    const bits = Math.min(32, prefixLength - 32 * i)
    const mask = (0xffff_ffff << (32 - bits)) >>> 0
    return equals(load(at + 4 * i, 4, mask), (view.getUint32(4 * i) & mask) >>> 0)
  })
  return all(...words)
}

function isWithin(port: Load, { least, most }: Ports): Expression {
  if (least === most) return equals(port, least)
  return all(test(port, 'BPF_JGE', least), not(test(port, 'BPF_JGT', most)))
}

/** Behind an IPv4 header of any length, in the first fragment, as far as the frame goes. */
function portsOf4(base: number) {
  const index = { key: `4 * [${base}] & 15`, code: step(bpf.BPF_LDX | bpf.BPF_B | bpf.BPF_MSH, base) }
  // The index register has the header's length: the ports are there when the frame's length without the rest is no less.
  const rest: Load = {
    key: `length - ${base + PORTS.size}`,
    code: [step(bpf.BPF_LD | bpf.BPF_W | bpf.BPF_LEN), step(bpf.BPF_ALU | bpf.BPF_SUB | bpf.BPF_K, base + PORTS.size)],
    index,
    needs: base + 20,
  }
  return {
    before: [not(test(load(base + 6, 2), 'BPF_JSET', 0x1fff)), test(rest, 'BPF_JGE', 'x')],
    load: (side: Side): Load => ({
      key: `x of ${base}, ${side} port`,
      code: [step(bpf.BPF_LD | bpf.BPF_H | bpf.BPF_IND, base + PORTS[side])],
      index,
      needs: base + 20,
    }),
  }
}

/** Right behind the fixed IPv6 header. */
function portsOf6(base: number) {
  return { before: [], load: (side: Side) => load(base + 40 + PORTS[side], 2) }
}
