/**
 * IP addresses between their text and their octets. Reading is strict (four decimal parts without leading zeros, RFC 4291 for
 * IPv6); writing follows RFC 5952, so that what netkit shows is what iproute2 shows.
 */
import { isIPv6 } from 'node:net'
import { checkString, valueError } from '../validate.js'

/** AF_INET and AF_INET6 of sys/socket.h. */
export const AF_UNSPEC = 0
export const AF_INET = 2
export const AF_INET6 = 10

export type IpFamily = typeof AF_INET | typeof AF_INET6

/** An address with a prefix length: '10.0.1.1/24'. */
export interface IpPrefix {
  family: IpFamily
  /** 4 or 16 octets. */
  octets: Uint8Array
  prefixLength: number
}

/** The octets of an IPv4 or IPv6 address, or undefined when it is neither. A zone ('%eth0') is not part of an address here. */
export function parseIp(text: string): Uint8Array | undefined {
  const quad = parseQuad(text)
  if (quad !== undefined) return quad
  if (!isIPv6(text) || text.includes('%')) return undefined
  const octets = new Uint8Array(16)
  const [head = '', tail] = text.split('::')
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  front.forEach((group, i) => write16(octets, 2 * i, group))
  back.forEach((group, i) => write16(octets, 16 - 2 * (back.length - i), group))
  return octets
}

/** Four decimal numbers; a loop, as addresses are read by the thousand. */
function parseQuad(text: string): Uint8Array | undefined {
  const octets = new Uint8Array(4)
  let part = 0
  let digits = 0
  let value = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT
    if (code === DOT) {
      if (digits === 0 || part > 3) return undefined
      octets[part++] = value
      digits = 0
      value = 0
    } else {
      // Leading zeros are refused: some read them as octal.
      if (code < ZERO || code > ZERO + 9 || (digits > 0 && value === 0)) return undefined
      value = value * 10 + code - ZERO
      if (value > 255) return undefined
      digits++
    }
  }
  return part === 4 ? octets : undefined
}

const DOT = 46
const ZERO = 48

function write16(octets: Uint8Array, offset: number, value: number): void {
  octets[offset] = value >> 8
  octets[offset + 1] = value & 0xff
}

/** The 16-bit groups of one side of '::'; a dotted quad at the end makes two. */
function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  })
}

/** The text of 4 or 16 octets. */
export function formatIp(octets: Uint8Array, offset = 0, length = octets.length - offset): string {
  if (length === 4) return `${octets[offset]}.${octets[offset + 1]}.${octets[offset + 2]}.${octets[offset + 3]}`
  const words: number[] = []
  for (let i = 0; i < 16; i += 2) words.push(((octets[offset + i] ?? 0) << 8) | (octets[offset + i + 1] ?? 0))
  // RFC 5952 section 4.2: the longest run of two or more zero groups is shortened, the first of equals.
  let start = -1
  let longest = 1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && words[end] === 0) end++
    if (end - i > longest) {
      start = i
      longest = end - i
    }
    if (end > i) i = end
  }
  // IPv4-mapped and IPv4-compatible addresses end in a dotted quad (RFC 5952 section 5, and inet_ntop(3)).
  if (start === 0 && longest === 5 && words[5] === 0xffff) return `::ffff:${formatIp(octets, offset + 12, 4)}`
  if (start === 0 && longest === 6) return `::${formatIp(octets, offset + 12, 4)}`
  const hex = words.map((word) => word.toString(16))
  if (start < 0) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + longest).join(':')}`
}

export function familyOf(octets: Uint8Array): IpFamily {
  return octets.length === 4 ? AF_INET : AF_INET6
}

/** The octets of an address that a caller passed. */
export function checkIp(value: unknown, name: string): Uint8Array {
  checkString(value, name)
  const octets = parseIp(value)
  if (octets === undefined) throw valueError(name, value, reasonNotIp(value))
  return octets
}

/** An address with its prefix length; without one, all bits (a host) when `hostByDefault`, otherwise an error. */
export function checkPrefix(value: unknown, name: string, hostByDefault = false): IpPrefix {
  checkString(value, name)
  const slash = value.indexOf('/')
  const octets = parseIp(slash < 0 ? value : value.slice(0, slash))
  if (octets === undefined) throw valueError(name, value, reasonNotIp(slash < 0 ? value : value.slice(0, slash)))
  const bits = octets.length * 8
  if (slash < 0) {
    if (!hostByDefault)
      throw valueError(name, value, `the prefix length is missing, as in '${value}/${bits === 32 ? 24 : 64}'`)
    return { family: familyOf(octets), octets, prefixLength: bits }
  }
  const digits = value.slice(slash + 1)
  const prefixLength = /^\d{1,3}$/.test(digits) ? Number(digits) : -1
  if (prefixLength < 0 || prefixLength > bits) {
    throw valueError(name, value, `the prefix length must be a number from 0 to ${bits}`)
  }
  return { family: familyOf(octets), octets, prefixLength }
}

function reasonNotIp(text: string): string {
  if (/^[\d.]+$/.test(text)) return 'an IPv4 address is four numbers from 0 to 255, without leading zeros'
  if (text.includes('%')) return 'an address has no zone here; name the link instead'
  return 'is not an IPv4 or IPv6 address'
}

/** The text of a prefix: '10.0.1.0/24'. */
export function formatPrefix(octets: Uint8Array, prefixLength: number): string {
  return `${formatIp(octets)}/${prefixLength}`
}

/** The octets with all bits after the prefix cleared: the network of an address. */
export function maskOctets(octets: Uint8Array, prefixLength: number): Uint8Array {
  return octets.map((octet, i) => octet & (0xff00 >> Math.min(8, Math.max(0, prefixLength - 8 * i))))
}

/** The last address of an IPv4 network. */
export function broadcastOf(octets: Uint8Array, prefixLength: number): Uint8Array {
  return octets.map((octet, i) => octet | (0xff >> Math.min(8, Math.max(0, prefixLength - 8 * i))))
}
