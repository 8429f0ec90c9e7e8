/**
 * Fields of Ethernet frames, VLAN tags and ARP, read and written in place: functions on a Buffer and the offset where the header
 * begins in it (default 0). No object is made. What lies beyond the Buffer's end is a RangeError, as of Buffer's own methods.
 */
import { tagTypes } from '../filter/ethernet-tests.js'
import { check, macNumber, putBits16, readIp, readMac, swap, writeIp, writeMac } from './bytes.js'

/** The Ethernet header (IEEE 802.3): destination, source, type. */
export const ethernet = {
  /** Its length in bytes, without VLAN tags. */
  headerLength: 14,
  /** Where the frame goes: 'ff:ff:ff:ff:ff:ff' is everybody. */
  destination: (buffer: Buffer, offset = 0): string => readMac(buffer, offset),
  setDestination: (buffer: Buffer, offset: number, mac: string): void => writeMac(buffer, offset, mac),
  /** As a number of 48 bits. */
  destinationNumber: (buffer: Buffer, offset = 0): number => macNumber(buffer, offset),
  /** Where it comes from. */
  source: (buffer: Buffer, offset = 0): string => readMac(buffer, offset + 6),
  setSource: (buffer: Buffer, offset: number, mac: string): void => writeMac(buffer, offset + 6, mac),
  sourceNumber: (buffer: Buffer, offset = 0): number => macNumber(buffer, offset + 6),
  /** The type: 0x0800 IPv4, 0x0806 ARP, 0x86dd IPv6, 0x8100 a VLAN tag … (linux/if_ether.h). */
  type: (buffer: Buffer, offset = 0): number => buffer.readUInt16BE(offset + 12),
  setType: (buffer: Buffer, offset: number, type: number): void => void buffer.writeUInt16BE(type, offset + 12),
  /** Whether it goes to everybody. */
  isBroadcast: (buffer: Buffer, offset = 0): boolean => macNumber(buffer, offset) === 0xffff_ffff_ffff,
  /** Whether it goes to a group: everybody is one. */
  isMulticast: (buffer: Buffer, offset = 0): boolean => (buffer.readUInt8(offset) & 1) === 1,
  /** Where the payload begins: behind the type that follows all VLAN tags. */
  payloadOffset: (buffer: Buffer, offset = 0): number => {
    let at = offset + 12
    while (tagTypes.includes(buffer.readUInt16BE(at))) at += vlan.length
    return at + 2
  },
  /** The type that follows all VLAN tags: what the payload is. */
  payloadType: (buffer: Buffer, offset = 0): number => buffer.readUInt16BE(ethernet.payloadOffset(buffer, offset) - 2),
  /** Exchanges source and destination: for an answer. */
  swap: (buffer: Buffer, offset = 0): void => swap(buffer, offset, offset + 6, 6),
} as const

/** A VLAN tag (IEEE 802.1Q): its type, which stands where a frame without tags has its own, and what it says. */
export const vlan = {
  /** Its length in bytes. */
  length: 4,
  /** Where the first tag of a frame is, from the frame's beginning. */
  first: 12,
  /** The tag's type: 0x8100, or 0x88a8 for an outer one (IEEE 802.1ad). */
  type: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset),
  setType: (buffer: Buffer, offset: number, type: number): void => void buffer.writeUInt16BE(type, offset),
  /** The number of the VLAN, from 1 to 4,094; 0 when the tag has a priority only. */
  id: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 2) & 0xfff,
  setId: (buffer: Buffer, offset: number, id: number): void => putBits16(buffer, offset + 2, 0xfff, id),
  /** The priority, from 0 to 7. */
  priority: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 2) >> 5,
  setPriority: (buffer: Buffer, offset: number, priority: number): void =>
    putBits16(buffer, offset + 2, 0xe000, priority << 13),
  /** Whether the frame may be dropped before others. */
  dropEligible: (buffer: Buffer, offset: number): boolean => (buffer.readUInt8(offset + 2) & 0x10) !== 0,
  setDropEligible: (buffer: Buffer, offset: number, eligible: boolean): void =>
    putBits16(buffer, offset + 2, 0x1000, eligible ? 0x1000 : 0),
} as const

/** ARP for IPv4 over Ethernet (RFC 826). */
export const arp = {
  /** Its length in bytes. */
  length: 28,
  request: 1,
  reply: 2,
  /** Whether it is about Ethernet and IPv4, which all else here takes for granted. */
  isIpv4: (buffer: Buffer, offset: number): boolean =>
    buffer.readUInt32BE(offset) === 0x0001_0800 && buffer.readUInt16BE(offset + 4) === 0x0604,
  /** Says that it is. */
  setIpv4: (buffer: Buffer, offset: number): void => {
    check(buffer, offset, 6)
    buffer.writeUInt32BE(0x0001_0800, offset)
    buffer.writeUInt16BE(0x0604, offset + 4)
  },
  /** 1 is a request, 2 a reply. */
  operation: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 6),
  setOperation: (buffer: Buffer, offset: number, operation: number): void =>
    void buffer.writeUInt16BE(operation, offset + 6),
  senderMac: (buffer: Buffer, offset: number): string => readMac(buffer, offset + 8),
  setSenderMac: (buffer: Buffer, offset: number, mac: string): void => writeMac(buffer, offset + 8, mac),
  senderMacNumber: (buffer: Buffer, offset: number): number => macNumber(buffer, offset + 8),
  senderIp: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 14, 4),
  setSenderIp: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 14, 4, address),
  senderIpNumber: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 14),
  targetMac: (buffer: Buffer, offset: number): string => readMac(buffer, offset + 18),
  setTargetMac: (buffer: Buffer, offset: number, mac: string): void => writeMac(buffer, offset + 18, mac),
  targetMacNumber: (buffer: Buffer, offset: number): number => macNumber(buffer, offset + 18),
  targetIp: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 24, 4),
  setTargetIp: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 24, 4, address),
  targetIpNumber: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 24),
  /** Exchanges sender and target: for an answer. */
  swap: (buffer: Buffer, offset: number): void => swap(buffer, offset + 8, offset + 18, 10),
} as const
