/** What the views share: octets and texts at a place of a Buffer, which throws a RangeError beyond its end as Buffer's own methods do. */

import { valueError } from '../../validate.js'
import { AF_INET, checkIp, familyOf, formatIp } from '../../values/ip.js'
import { checkMac, formatMac } from '../../values/mac.js'

/** Throws what Buffer throws unless these bytes are there. */
export function check(buffer: Buffer, offset: number, size: number): void {
  buffer.readUInt8(offset)
  buffer.readUInt8(offset + size - 1)
}

/** Nothing is written when not all of it fits. */
export function put(buffer: Buffer, offset: number, octets: Uint8Array): void {
  check(buffer, offset, octets.length)
  buffer.set(octets, offset)
}

export function readMac(buffer: Buffer, offset: number): string {
  check(buffer, offset, 6)
  return formatMac(buffer, offset, 6)
}

export function writeMac(buffer: Buffer, offset: number, mac: string): void {
  put(buffer, offset, checkMac(mac, 'mac'))
}

export function readIp(buffer: Buffer, offset: number, size: 4 | 16): string {
  check(buffer, offset, size)
  return formatIp(buffer, offset, size)
}

export function writeIp(buffer: Buffer, offset: number, size: 4 | 16, address: string): void {
  const octets = checkIp(address, 'address')
  if (octets.length !== size)
    throw valueError('address', address, `is an IPv${familyOf(octets) === AF_INET ? 4 : 6} address`)
  put(buffer, offset, octets)
}

/** The bits of a mask within a 16-bit number, which stay what they are outside of it. */
export function putBits16(buffer: Buffer, offset: number, mask: number, value: number): void {
  buffer.writeUInt16BE((buffer.readUInt16BE(offset) & ~mask) | (value & mask), offset)
}

/** Exchanges two pieces of the same length, which do not overlap. */
export function swap(buffer: Buffer, one: number, other: number, size: number): void {
  check(buffer, one, size)
  check(buffer, other, size)
  for (let i = 0; i < size; i++) {
    const byte = buffer[one + i] as number
    buffer[one + i] = buffer[other + i] as number
    buffer[other + i] = byte
  }
}

/** A MAC address as a number of 48 bits: as the key of a Map, it is found three times as fast as the text. */
export function macNumber(buffer: Buffer, offset: number): number {
  return buffer.readUInt16BE(offset) * 0x1_0000_0000 + buffer.readUInt32BE(offset + 2)
}
