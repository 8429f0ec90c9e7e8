/** The settings of links that are needed now and then: how each is checked, sent, and compared with what a link has. */
import { checkBoolean, checkInteger, checkOneOf, checkOptions, rangeError, typeError, valueError } from '../validate.js'
import { AF_INET6, checkIp, familyOf, formatIp } from '../values/ip.js'
import { checkMac, normalMac } from '../values/mac.js'
import type { operationalStates } from './constants.js'
import { type Ipv4Parameters, ipv4Parameters, readOnlyIpv4Parameters } from './device-configuration.js'
import type { Link } from './link.js'
import { type LinkAttributes, linkModes } from './link-attributes.js'

/** Settings of a link beyond the usual ones. */
export interface LinkDetails {
  /** The address that frames for everybody have; ff:ff:ff:ff:ff:ff on Ethernet. */
  broadcast?: string
  /** Whether there is a carrier, for kinds that let it be said (dummy, tun and tap; EOPNOTSUPP for others). */
  carrier?: boolean
  /**
   * What RFC 2863 calls the operational state, for a program that brings a link up in steps (802.1X): 'up' and 'testing' from
   * 'dormant', 'dormant' from 'up'. The kernel passes over what does not follow from the state that the link has.
   */
  operationalState?: Extract<keyof typeof operationalStates, 'up' | 'dormant' | 'testing'>
  /** Where the kernel stops by itself when the link comes up: 'dormant' leaves the last step to `operationalState`. Default: 'default'. */
  linkMode?: keyof typeof linkModes
  /** Holds the link down whatever its lower layer does, for kinds that can (macvlan, vxlan; EOPNOTSUPP). */
  protocolDown?: boolean
  /**
   * Why: numbers from 0 to 31 that programs agree on (/etc/iproute2/protodown_reasons.d). Exactly these are set. A link that
   * has any cannot have `protocolDown: false`: EBUSY.
   */
  protocolDownReasons?: readonly number[]
  /** The interface's addresses come and go (IFF_DYNAMIC). Linux keeps the flag and makes nothing of it. */
  dynamic?: boolean
  /** Trailers in frames (the opposite of IFF_NOTRAILERS). Linux keeps the flag and makes nothing of it. */
  trailers?: boolean
  /**
   * The lower half of the addresses that router advertisements lead to ("tokenized" addresses, ip-token(8)): '::1'; '::' for
   * none. The link must accept advertisements and not have `arp: false`: EINVAL.
   */
  ipv6Token?: string
  /**
   * Parameters of IPv4 for this link, by the names of net.ipv4.conf in our spelling: `{ rpFilter: 2, proxyArp: true }`. Those
   * of IPv6 can be read here (`link.ipv6`) but not set through rtnetlink: use
   * `namespace.sysctl.set('net.ipv6.conf.eth0.accept_ra', 0)`.
   */
  ipv4?: Ipv4Parameters
}

/** What can be given with the creation itself; all else is set afterwards. */
const early = ['broadcast', 'linkMode', 'dynamic', 'trailers'] as const
const late = [
  'carrier',
  'operationalState',
  'protocolDown',
  'protocolDownReasons',
  'ipv6Token',
  'ipv4',
] as const satisfies readonly (keyof LinkDetails)[]

export const detailKeys = [...early, ...late] as const

export type LateDetails = Pick<LinkDetails, (typeof late)[number]>

/** Those that are set after a link was made; undefined when there are none. */
export function lateDetails(options: LinkDetails): LateDetails | undefined {
  const given = late.filter((key) => options[key] !== undefined).map((key) => [key, options[key]])
  return given.length === 0 ? undefined : Object.fromEntries(given)
}

/** Takes them out of the options of the creation. */
export const withoutLateDetails: Record<(typeof late)[number], undefined> = Object.fromEntries(
  late.map((key) => [key, undefined]),
) as Record<(typeof late)[number], undefined>

export function checkDetails(options: LinkDetails, path: string): void {
  const { broadcast, operationalState, linkMode, protocolDownReasons: reasons, ipv6Token, ipv4 } = options
  if (broadcast !== undefined) checkMac(broadcast, `${path}.broadcast`)
  for (const key of ['carrier', 'protocolDown', 'dynamic', 'trailers'] as const) {
    if (options[key] !== undefined) checkBoolean(options[key], `${path}.${key}`)
  }
  if (operationalState !== undefined) {
    checkOneOf(operationalState, `${path}.operationalState`, ['up', 'dormant', 'testing'])
  }
  if (linkMode !== undefined) {
    checkOneOf(linkMode, `${path}.linkMode`, Object.keys(linkModes) as (keyof typeof linkModes)[])
  }
  if (reasons !== undefined) {
    if (!Array.isArray(reasons)) throw typeError(`${path}.protocolDownReasons`, 'an array of numbers', reasons)
    reasons.forEach((reason, i) => {
      checkInteger(reason, `${path}.protocolDownReasons[${i}]`, 0, 31)
    })
  }
  if (ipv6Token !== undefined) checkToken(ipv6Token, `${path}.ipv6Token`)
  if (ipv4 !== undefined) checkIpv4(ipv4, `${path}.ipv4`)
}

function checkToken(value: unknown, name: string): void {
  const octets = checkIp(value, name)
  if (familyOf(octets) !== AF_INET6) throw valueError(name, value, 'is not an IPv6 address')
  if (octets.subarray(0, 8).some((octet) => octet !== 0)) {
    throw valueError(name, value, "has more than its last 64 bits, as in '::1:2:3:4'")
  }
}

const numberTypes = new Map(ipv4Parameters.attributes.map(({ key, type }) => [key, type]))

function checkIpv4(value: Ipv4Parameters, name: string): void {
  const keys = [...numberTypes.keys()].filter((key) => !readOnlyIpv4Parameters.includes(key))
  checkOptions(value, name, keys)
  for (const [key, wanted] of Object.entries(value)) {
    if (wanted === undefined) continue
    const isBoolean = typeof numberTypes.get(key)?.decode(zero, 0, 4, nothing) === 'boolean'
    if (isBoolean) checkBoolean(wanted, `${name}.${key}`)
    else if (typeof wanted !== 'number' || !Number.isInteger(wanted))
      throw typeError(`${name}.${key}`, 'an integer', wanted)
    else if (Math.abs(wanted) > 0x7fff_ffff) throw rangeError(`${name}.${key}`, -0x7fff_ffff, 0x7fff_ffff, wanted)
  }
}

const zero = { bytes: new Uint8Array(4), view: new DataView(new ArrayBuffer(4)) }
const nothing = { header: {}, siblings: {} }

/** Adds the attributes for what is given. */
export function addDetails(attributes: LinkAttributes, options: LinkDetails): void {
  const { broadcast, carrier, operationalState, linkMode, protocolDown, protocolDownReasons, ipv6Token, ipv4 } = options
  if (broadcast !== undefined) attributes.broadcast = normalMac(broadcast)
  if (carrier !== undefined) attributes.carrier = carrier
  if (operationalState !== undefined) attributes.operationalState = operationalState
  if (linkMode !== undefined) attributes.linkMode = linkMode
  if (protocolDown !== undefined) attributes.protocolDown = protocolDown
  if (protocolDownReasons !== undefined) {
    attributes.protocolDownReason = { mask: 0xffff_ffff, value: bitsOf(protocolDownReasons) }
  }
  if (ipv4 === undefined && ipv6Token === undefined) return
  const { inet6 } = (attributes.families ?? {}) as { inet6?: object }
  attributes.families = {
    ...(ipv4 === undefined ? {} : { inet: { configuration: ipv4 } }),
    ...(inet6 === undefined && ipv6Token === undefined
      ? {}
      : { inet6: { ...inet6, ...(ipv6Token === undefined ? {} : { token: ipv6Token }) } }),
  }
}

function bitsOf(numbers: readonly number[]): number {
  return numbers.reduce((bits, number) => bits | (1 << number), 0) >>> 0
}

/** Whether a link has what is asked for one of these; undefined for any other key. */
export function isDetailAsAsked(link: Link, key: string, value: unknown): boolean | undefined {
  switch (key as keyof LinkDetails) {
    case 'broadcast':
      return link.broadcast === normalMac(String(value))
    case 'carrier':
    case 'operationalState':
    case 'linkMode':
    case 'protocolDown':
      return link[key as 'carrier' | 'operationalState' | 'linkMode' | 'protocolDown'] === value
    case 'protocolDownReasons':
      return bitsOf(link.protocolDownReasons) === bitsOf(value as number[])
    case 'dynamic':
      return link.flags.includes('DYNAMIC') === value
    case 'trailers':
      return !link.flags.includes('NOTRAILERS') === value
    case 'ipv6Token':
      return (link.ipv6Token ?? '::') === formatIp(checkIp(value, 'ipv6Token'))
    case 'ipv4':
      return Object.entries(value as Ipv4Parameters).every(
        ([name, wanted]) =>
          wanted === undefined || (link.ipv4 as Record<string, unknown> | undefined)?.[name] === wanted,
      )
    default:
      return undefined
  }
}
