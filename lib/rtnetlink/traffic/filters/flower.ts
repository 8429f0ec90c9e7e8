/** flower: looks at the fields of a packet's headers by their names (tc-flower(8)). */
import { headerConstants, headerWords } from '../../../netlink/header-words.js'
import { type AttributesOf, nested } from '../../../netlink/table.js'
import { checkOneOf, checkOptions, checkString, typeError, valueError } from '../../../validate.js'
import { AF_INET, checkPrefix, formatIp, formatPrefix, maskOctets } from '../../../values/ip.js'
import { formatMac, parseMac } from '../../../values/mac.js'
import { checkProtocol, type ProtocolName, protocols, readProtocol } from '../filter.js'
import { checkIpProtocol, type IpProtocol, ipProtocols, readIpProtocol } from '../ip-protocols.js'
import { filterKinds } from '../kinds.js'
import { checkCount } from '../units.js'
import { type WorkPlace, workPlaceFromWire, workPlaceKeys, workPlaceToWire } from './flags.js'
import { flowerAttributes } from './flower-attributes.js'

/** A number, or some of its bits. */
export type Masked = number | { value: number; mask: number }

/** Fields of the packet's headers; all that are given must be as said. The filter's `protocol` says what the packet is. */
export interface FlowerOptions extends WorkPlace {
  /** '02:00:00:00:00:01', or with a mask: '02:00:00:00:00:00/ff:ff:ff:00:00:00'. */
  sourceMac?: string
  destinationMac?: string
  /** Within one tag: the VLAN, 0 to 4095. The filter's protocol is '802.1q' or '802.1ad' then. */
  vlanId?: number
  vlanPriority?: number
  /** What is in the tag. Default: 'ip' or 'ipv6' where an address says so. */
  vlanEthernetType?: ProtocolName | number
  /** The same of a second tag. */
  innerVlanId?: number
  innerVlanPriority?: number
  innerVlanEthernetType?: ProtocolName | number
  ipProtocol?: IpProtocol
  /** A network or an address, of IPv4 or IPv6. */
  source?: string
  destination?: string
  /** Of TCP, UDP or SCTP, which `ipProtocol` says: a port, with a mask, or from the one to the other ('1000-2000'). */
  sourcePort?: Masked | string
  destinationPort?: Masked | string
  /** SYN is 2, ACK 16 …: { value: 2, mask: 18 } is a SYN without ACK. */
  tcpFlags?: Masked
  tos?: Masked
  ttl?: Masked
  /** Of ICMP or ICMPv6, which `ipProtocol` says. */
  icmpType?: Masked
  icmpCode?: Masked
  /** A piece of a packet, or the first ('first') or a later piece. */
  fragment?: boolean | 'first' | 'later'
  /** Of ARP: the addresses in it. */
  arpOperation?: 'request' | 'reply' | Masked
  arpSource?: string
  arpTarget?: string
  arpSourceMac?: string
  arpTargetMac?: string
  mplsLabel?: number
  mplsClass?: number
  mplsBottom?: 0 | 1
  mplsTtl?: number
  /** Of the tunnel that the packet came by (an external VXLAN and its like). */
  tunnelId?: number
  tunnelSource?: string
  tunnelDestination?: string
  tunnelSourcePort?: Masked
  tunnelDestinationPort?: Masked
  tunnelTos?: Masked
  tunnelTtl?: Masked
  /** Of connection tracking, after the action ct: states that hold, and with '-' those that do not: ['tracked', '-new']. */
  ctState?: readonly string[]
  ctZone?: Masked
  ctMark?: Masked
  /** The name of the link that the packet came in by. */
  inputLink?: string
}

type Wire = AttributesOf<typeof flowerAttributes>
type Loose = Record<string, unknown>

const masked8 = { bits: 0xff }
const masked16 = { bits: 0xffff }

/** Options that are a number, perhaps with a mask, under their own name in the table. */
const numbers: Readonly<Record<string, { bits: number }>> = {
  tcpFlags: { bits: 0xfff },
  tos: masked8,
  ttl: masked8,
  tunnelSourcePort: masked16,
  tunnelDestinationPort: masked16,
  tunnelTos: masked8,
  tunnelTtl: masked8,
  ctZone: masked16,
  ctMark: { bits: 0xffff_ffff },
}

/** Options that are a plain number. */
const plain: Readonly<Record<string, number>> = {
  vlanId: 4095,
  vlanPriority: 7,
  innerVlanId: 4095,
  innerVlanPriority: 7,
  mplsLabel: 0xf_ffff,
  mplsClass: 7,
  mplsBottom: 1,
  mplsTtl: 255,
  tunnelId: 0xffff_ffff,
}

const macs = ['sourceMac', 'destinationMac', 'arpSourceMac', 'arpTargetMac'] as const
/** Addresses, and how their attributes are called for each family. */
const addresses = {
  source: ['source4', 'source6'],
  destination: ['destination4', 'destination6'],
  arpSource: ['arpSource', undefined],
  arpTarget: ['arpTarget', undefined],
  tunnelSource: ['tunnelSource4', 'tunnelSource6'],
  tunnelDestination: ['tunnelDestination4', 'tunnelDestination6'],
} as const

const arpOperations = headerWords('ARPOP_', { request: 1, reply: 2 })
const arpOperationWords = Object.keys(arpOperations) as (keyof typeof arpOperations)[]

const ctStates = headerWords('TCA_FLOWER_KEY_CT_FLAGS_', {
  new: 1,
  established: 2,
  related: 4,
  tracked: 8,
  invalid: 16,
  reply: 32,
})

const { TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT: FRAGMENT, TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST: FIRST } = headerConstants({
  TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT: 1,
  TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST: 2,
})

function checkMasked(value: unknown, bits: number, name: string): { value: number; mask: number } {
  if (typeof value !== 'object' || value === null) return { value: checkCount(value, name, 0, bits), mask: bits }
  checkOptions(value, name, ['value', 'mask'])
  const { value: number, mask } = value as { value: unknown; mask: unknown }
  return { value: checkCount(number, `${name}.value`, 0, bits), mask: checkCount(mask, `${name}.mask`, 0, bits) }
}

const readMasked = (value: number, mask: number | undefined, bits: number): Masked =>
  mask === undefined || mask === bits ? value : { value, mask }

function checkMac(value: unknown, name: string): { value: Uint8Array; mask: Uint8Array } {
  checkString(value, name)
  const [mac = '', mask = 'ff:ff:ff:ff:ff:ff', ...more] = value.split('/')
  const [octets, bits] = [parseMac(mac), parseMac(mask)]
  if (octets === undefined || bits === undefined || more.length > 0)
    throw valueError(name, value, 'is not a MAC address')
  return { value: octets.map((octet, i) => octet & (bits[i] ?? 0)), mask: bits }
}

function readMac(value: Uint8Array, mask: Uint8Array | undefined): string {
  return mask === undefined || mask.every((octet) => octet === 0xff)
    ? formatMac(value)
    : `${formatMac(value)}/${formatMac(mask)}`
}

/** The bits of a mask; undefined when they are no prefix. */
function prefixOf(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, '0')).join('')
  return /^1*0*$/.test(bits) ? bits.replace(/0/g, '').length : undefined
}

function addAddresses(options: FlowerOptions, wire: Loose, name: string): Set<number> {
  const families = new Set<number>()
  for (const [option, [four, six]] of Object.entries(addresses)) {
    const value = options[option as keyof typeof addresses]
    if (value === undefined) continue
    const { family, octets, prefixLength } = checkPrefix(value, `${name}.${option}`, true)
    const key = family === AF_INET ? four : six
    if (key === undefined) throw valueError(`${name}.${option}`, value, 'is not IPv4, and ARP has no other')
    if (option === 'source' || option === 'destination') families.add(family)
    wire[key] = maskOctets(octets, prefixLength)
    wire[`${key}Mask`] = maskOctets(new Uint8Array(octets.length).fill(0xff), prefixLength)
  }
  return families
}

/** Ports are called by the protocol; ranges are not. */
function addPort(
  wire: Loose,
  way: 'source' | 'destination',
  value: unknown,
  transport: string | undefined,
  name: string,
): void {
  if (transport === undefined) throw valueError(name, value, "needs an ipProtocol: 'tcp', 'udp' or 'sctp'")
  if (typeof value === 'string') {
    const [, least, most] = /^(\d{1,5})-(\d{1,5})$/.exec(value) ?? []
    if (least === undefined || most === undefined || Number(least) >= Number(most) || Number(most) > 0xffff) {
      throw valueError(name, value, "expected two ports, the smaller first, as in '1000-2000'")
    }
    wire[`${way}PortLeast`] = Number(least)
    wire[`${way}PortMost`] = Number(most)
    return
  }
  const { value: port, mask } = checkMasked(value, 0xffff, name)
  const key = transport + (way === 'source' ? 'Source' : 'Destination')
  wire[key] = port
  wire[`${key}Mask`] = mask
}

function checkStates(states: unknown, name: string): { value: number; mask: number } {
  if (!Array.isArray(states)) throw typeError(name, 'an array of states', states)
  let [value, mask] = [0, 0]
  states.forEach((state, i) => {
    checkString(state, `${name}[${i}]`)
    const word = state.replace(/^-/, '')
    checkOneOf(word, `${name}[${i}]`, Object.keys(ctStates) as (keyof typeof ctStates)[])
    mask |= ctStates[word]
    if (word === state) value |= ctStates[word]
  })
  return { value, mask }
}

const fragments = [true, false, 'first', 'later'] as const

/** The packet's type: said by the filter's protocol, or by that in the tag. */
function addTypes(options: FlowerOptions, wire: Loose, families: Set<number>, name: string, protocol: number): void {
  const isTag = (type: number) => type === protocols['802.1q'] || type === protocols['802.1ad']
  const address = families.size === 0 ? undefined : families.has(AF_INET) ? protocols.ip : protocols.ipv6
  const type = protocol === protocols.all ? address : protocol
  if (type !== undefined) wire.ethernetType = type
  const { vlanEthernetType, innerVlanEthernetType } = options
  if (vlanEthernetType !== undefined)
    wire.vlanEthernetType = checkProtocol(vlanEthernetType, `${name}.vlanEthernetType`)
  else if (type !== undefined && isTag(type) && address !== undefined) wire.vlanEthernetType = address
  if (innerVlanEthernetType !== undefined) {
    wire.innerVlanEthernetType = checkProtocol(innerVlanEthernetType, `${name}.innerVlanEthernetType`)
  }
}

function toWire(options: FlowerOptions, name: string, protocol: number): Wire {
  const given = options as Loose
  const wire: Loose = {}
  const families = addAddresses(options, wire, name)
  if (families.size > 1) throw valueError(`${name}.source`, options.source, "is not of the destination's family")
  addTypes(options, wire, families, name, protocol)
  const ipProtocol =
    options.ipProtocol === undefined ? undefined : checkIpProtocol(options.ipProtocol, `${name}.ipProtocol`)
  if (ipProtocol !== undefined) wire.ipProtocol = ipProtocol
  for (const key of macs) {
    if (options[key] === undefined) continue
    const { value, mask } = checkMac(options[key], `${name}.${key}`)
    wire[key] = value
    wire[`${key}Mask`] = mask
  }
  for (const [key, { bits }] of Object.entries(numbers)) {
    if (given[key] === undefined) continue
    const { value, mask } = checkMasked(given[key], bits, `${name}.${key}`)
    wire[key] = value
    wire[`${key}Mask`] = mask
  }
  for (const [key, most] of Object.entries(plain)) {
    if (given[key] !== undefined) wire[key] = checkCount(given[key], `${name}.${key}`, 0, most)
  }
  const transport = (['tcp', 'udp', 'sctp'] as const).find((word) => ipProtocols[word] === ipProtocol)
  for (const way of ['source', 'destination'] as const) {
    const port = options[`${way}Port`]
    if (port !== undefined) addPort(wire, way, port, transport, `${name}.${way}Port`)
  }
  const icmp = ipProtocol === ipProtocols.icmp ? 'icmp4' : ipProtocol === ipProtocols.icmpv6 ? 'icmp6' : undefined
  for (const part of ['Type', 'Code'] as const) {
    const value = options[`icmp${part}`]
    if (value === undefined) continue
    if (icmp === undefined) throw valueError(`${name}.icmp${part}`, value, "needs an ipProtocol: 'icmp' or 'icmpv6'")
    const { value: number, mask } = checkMasked(value, 0xff, `${name}.icmp${part}`)
    wire[icmp + part] = number
    wire[`${icmp}${part}Mask`] = mask
  }
  const { arpOperation, fragment, ctState, inputLink } = options
  if (arpOperation !== undefined) {
    if (typeof arpOperation === 'string') checkOneOf(arpOperation, `${name}.arpOperation`, arpOperationWords)
    const number = typeof arpOperation === 'string' ? arpOperations[arpOperation] : arpOperation
    const { value, mask } = checkMasked(number, 0xff, `${name}.arpOperation`)
    Object.assign(wire, { arpOperation: value, arpOperationMask: mask })
  }
  if (fragment !== undefined) {
    if (!fragments.includes(fragment)) throw typeError(`${name}.fragment`, "true, false, 'first' or 'later'", fragment)
    const value = fragment === false ? 0 : fragment === 'first' ? FRAGMENT | FIRST : FRAGMENT
    Object.assign(wire, { keyFlags: value, keyFlagsMask: typeof fragment === 'string' ? FRAGMENT | FIRST : FRAGMENT })
  }
  if (ctState !== undefined) {
    const { value, mask } = checkStates(ctState, `${name}.ctState`)
    Object.assign(wire, { ctState: value, ctStateMask: mask })
  }
  if (inputLink !== undefined) {
    checkString(inputLink, `${name}.inputLink`)
    wire.inputLink = inputLink
  }
  const flags = workPlaceToWire(options, name)
  if (flags !== undefined) wire.flags = flags
  return wire as Wire
}

function readAddresses(wire: Loose, read: Loose): void {
  for (const [option, keys] of Object.entries(addresses)) {
    for (const key of keys) {
      const value = key === undefined ? undefined : (wire[key] as Uint8Array | undefined)
      if (value === undefined) continue
      const mask = (wire[`${key}Mask`] as Uint8Array | undefined) ?? new Uint8Array(value.length).fill(0xff)
      const prefix = prefixOf(mask)
      read[option] = prefix === undefined ? `${formatIp(value)}/${formatIp(mask)}` : formatPrefix(value, prefix)
    }
  }
}

function fromWire(own: Wire): object {
  const wire = own as Loose
  const read: Loose = {}
  for (const key of macs) {
    if (own[key] !== undefined) read[key] = readMac(own[key], wire[`${key}Mask`] as Uint8Array | undefined)
  }
  for (const key of ['vlanEthernetType', 'innerVlanEthernetType'] as const) {
    if (own[key] !== undefined) read[key] = readProtocol(own[key])
  }
  if (own.ethernetType !== undefined) read.ethernetType = readProtocol(own.ethernetType)
  if (own.ipProtocol !== undefined) read.ipProtocol = readIpProtocol(own.ipProtocol)
  readAddresses(wire, read)
  const masked = (option: string, key: string, bits: number) => {
    const value = wire[key] as number | undefined
    if (value !== undefined) read[option] = readMasked(value, wire[`${key}Mask`] as number | undefined, bits)
  }
  for (const [key, { bits }] of Object.entries(numbers)) masked(key, key, bits)
  for (const key of Object.keys(plain)) if (wire[key] !== undefined) read[key] = wire[key]
  for (const way of ['source', 'destination'] as const) {
    for (const transport of ['tcp', 'udp', 'sctp']) {
      masked(`${way}Port`, transport + (way === 'source' ? 'Source' : 'Destination'), 0xffff)
    }
    const [least, most] = [own[`${way}PortLeast`], own[`${way}PortMost`]]
    if (least !== undefined && most !== undefined) read[`${way}Port`] = `${least}-${most}`
  }
  for (const icmp of ['icmp4', 'icmp6']) {
    masked('icmpType', `${icmp}Type`, 0xff)
    masked('icmpCode', `${icmp}Code`, 0xff)
  }
  masked('arpOperation', 'arpOperation', 0xff)
  const word = arpOperationWords.find((name) => arpOperations[name] === read.arpOperation)
  if (word !== undefined) read.arpOperation = word
  const { keyFlags = 0, keyFlagsMask = 0, ctState = 0, ctStateMask = 0 } = own
  if ((keyFlagsMask & FIRST) !== 0) read.fragment = (keyFlags & FIRST) !== 0 ? 'first' : 'later'
  else if ((keyFlagsMask & FRAGMENT) !== 0) read.fragment = (keyFlags & FRAGMENT) !== 0
  if (ctStateMask !== 0) {
    const named = Object.entries(ctStates).filter(([, bit]) => (ctStateMask & bit) !== 0)
    read.ctState = named.map(([state, bit]) => ((ctState & bit) !== 0 ? state : `-${state}`))
  }
  if (own.inputLink !== undefined) read.inputLink = own.inputLink
  return { ...read, ...workPlaceFromWire(own.flags) }
}

declare module '../filter.js' {
  interface FilterKinds {
    flower: FlowerOptions
  }
}

filterKinds.define({
  kind: 'flower',
  wire: nested(flowerAttributes),
  keys: [
    ...macs,
    ...['vlanEthernetType', 'innerVlanEthernetType', 'ipProtocol'],
    ...Object.keys(addresses),
    ...Object.keys(numbers),
    ...Object.keys(plain),
    ...['sourcePort', 'destinationPort', 'icmpType', 'icmpCode', 'arpOperation', 'fragment', 'ctState', 'inputLink'],
    ...workPlaceKeys,
  ],
  toWire: (options: FlowerOptions, name, about) => toWire(options, name, about?.protocol ?? protocols.all),
  fromWire,
})
