/** The Internet checksum (RFC 1071), of any bytes, and of TCP, UDP and ICMP with the pseudo header of their IP packet. */
import { native } from '../../native.js'
import { ipProtocols } from '../../rtnetlink/traffic/ip-protocols.js'
import { check } from './bytes.js'

/** From so many bytes on, the addon is faster. */
const LONG = 384

/** A sum of up to 32 bits in 16, what went over being added below. */
function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16)
  return (once & 0xffff) + (once >>> 16)
}

/** The sum of 16-bit words, folded, not inverted; a last odd byte counts as the upper half of one. */
function sumOf(buffer: Buffer, start: number, end: number, initial: number): number {
  if (end <= start) return initial
  check(buffer, start, end - start)
  if (end - start >= LONG) return native.internetSum(fold(initial), buffer.subarray(start, end))
  let sum = fold(initial)
  const even = end - ((end - start) & 1)
  for (let i = start; i < even; i += 2) sum += ((buffer[i] as number) << 8) | (buffer[i + 1] as number)
  if (even < end) sum += (buffer[even] as number) << 8
  return fold(sum)
}

/**
 * The Internet checksum of the bytes from `start` up to `end`: the number to write into a checksum field that was 0 meanwhile. Over
 * bytes that contain a right one, it is 0. `initial` is a sum to go on from, not inverted, as the complement of an earlier result is.
 *
 * @throws RangeError when the Buffer has not these bytes
 */
export function rangeChecksum(buffer: Buffer, start = 0, end = buffer.length, initial = 0): number {
  return ~fold(sumOf(buffer, start, end, initial)) & 0xffff
}

/** Where a sum is, and whether it covers a pseudo header, by the protocol's number; and the IP version that it is not for. */
const sums = new Map<number, { at: number; header: number; pseudo: boolean; never?: 4 | 6 }>([
  [ipProtocols.icmp, { at: 2, header: 8, pseudo: false, never: 6 }],
  [ipProtocols.tcp, { at: 16, header: 20, pseudo: true }],
  [ipProtocols.udp, { at: 6, header: 8, pseudo: true }],
  [ipProtocols.icmpv6, { at: 2, header: 8, pseudo: true, never: 4 }],
])

/** What the sum of a packet covers: the bytes from `start` up to `end`, and `initial`, the pseudo header. */
interface Covered {
  readonly protocol: number
  readonly at: number
  readonly start: number
  readonly end: number
  readonly initial: number
}

/** Undefined when the packet is a fragment, or has a protocol without a sum that is known here. */
function covered(buffer: Buffer, offset: number): Covered | undefined {
  const isIpv4 = buffer.readUInt8(offset) >> 4 === 4
  // A fragment's sum is that of the whole packet.
  if (isIpv4 && (buffer.readUInt16BE(offset + 6) & 0x3fff) !== 0) return undefined
  const protocol = buffer.readUInt8(offset + (isIpv4 ? 9 : 6))
  const sum = sums.get(protocol)
  if (sum === undefined || sum.never === (isIpv4 ? 4 : 6)) return undefined
  const header = isIpv4 ? (buffer.readUInt8(offset) & 15) * 4 : 40
  const start = offset + header
  const end = offset + buffer.readUInt16BE(offset + (isIpv4 ? 2 : 4)) + (isIpv4 ? 0 : 40)
  if (header < 20 || end - start < sum.header) {
    throw Object.assign(new RangeError(`the packet is shorter than its headers: ${end - offset} bytes`), {
      code: 'ERR_OUT_OF_RANGE',
    })
  }
  check(buffer, offset, end - offset)
  const addresses = isIpv4 ? offset + 12 : offset + 8
  // The pseudo header (RFC 768, RFC 8200 section 8.1) has the addresses, the length and the protocol.
  const rest = end - start + protocol
  const initial = sum.pseudo
    ? sumOf(buffer, addresses, addresses + (isIpv4 ? 8 : 32), (rest & 0xffff) + (rest >>> 16))
    : 0
  return { protocol, at: start + sum.at, start, end, initial }
}

/**
 * Computes the sum of the TCP, UDP, ICMP or ICMPv6 packet in the IP packet at `offset`, and writes it. The IP header's lengths and
 * addresses must be right by then; what follows the packet in the Buffer does not matter.
 *
 * Returns false, and writes nothing, for a fragment, for any other protocol, and behind IPv6 extension headers.
 *
 * @throws RangeError when the Buffer ends before the packet, or the packet before its headers
 */
export function fillTransportChecksum(buffer: Buffer, offset: number): boolean {
  const of = covered(buffer, offset)
  if (of === undefined) return false
  buffer.writeUInt16BE(0, of.at)
  const checksum = rangeChecksum(buffer, of.start, of.end, of.initial)
  // For UDP, 0 would say that there is none; the other zero is as right.
  buffer.writeUInt16BE(checksum === 0 && of.protocol === ipProtocols.udp ? 0xffff : checksum, of.at)
  return true
}

/**
 * Whether the sum of the TCP, UDP, ICMP or ICMPv6 packet in the IP packet at `offset` is right; undefined where `fillTransportChecksum`
 * returns false, and for UDP over IPv4 that has none.
 *
 * @throws RangeError as `fillTransportChecksum`
 */
export function isTransportChecksumRight(buffer: Buffer, offset: number): boolean | undefined {
  const of = covered(buffer, offset)
  if (of === undefined) return undefined
  const isIpv4 = buffer.readUInt8(offset) >> 4 === 4
  if (of.protocol === ipProtocols.udp && buffer.readUInt16BE(of.at) === 0) return isIpv4 ? undefined : false
  return rangeChecksum(buffer, of.start, of.end, of.initial) === 0
}
