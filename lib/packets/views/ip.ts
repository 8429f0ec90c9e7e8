/** Fields of IPv4 and IPv6 headers, read and written in place: functions on a Buffer and the offset where the header begins in it. */
import { check, putBits16, readIp, swap, writeIp } from './bytes.js'
import { rangeChecksum } from './checksum.js'

/** The version of an IP packet: 4 or 6, or what else the first four bits are. */
export const ipVersion = (buffer: Buffer, offset: number): number => buffer.readUInt8(offset) >> 4

/** The IPv4 header (RFC 791). Offsets and lengths are in bytes. */
export const ipv4 = {
  /** The length of a header without options. */
  minimumLength: 20,
  /** The header's length, with its options. */
  headerLength: (buffer: Buffer, offset: number): number => (buffer.readUInt8(offset) & 15) * 4,
  /** Sets the version 4, and the length: a multiple of 4 from 20 to 60. */
  setHeaderLength: (buffer: Buffer, offset: number, length: number): void =>
    void buffer.writeUInt8(0x40 | ((length >> 2) & 15), offset),
  /** Differentiated services, 6 bits (RFC 2474). */
  dscp: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 1) >> 2,
  setDscp: (buffer: Buffer, offset: number, dscp: number): void => putBits16(buffer, offset, 0xfc, dscp << 2),
  /** Explicit congestion notification, 2 bits (RFC 3168). */
  ecn: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 1) & 3,
  setEcn: (buffer: Buffer, offset: number, ecn: number): void => putBits16(buffer, offset, 3, ecn),
  /** The packet's length, with its header. */
  totalLength: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 2),
  setTotalLength: (buffer: Buffer, offset: number, length: number): void =>
    void buffer.writeUInt16BE(length, offset + 2),
  identification: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 4),
  setIdentification: (buffer: Buffer, offset: number, identification: number): void =>
    void buffer.writeUInt16BE(identification, offset + 4),
  dontFragment: (buffer: Buffer, offset: number): boolean => (buffer.readUInt8(offset + 6) & 0x40) !== 0,
  setDontFragment: (buffer: Buffer, offset: number, value: boolean): void =>
    putBits16(buffer, offset + 6, 0x4000, value ? 0x4000 : 0),
  moreFragments: (buffer: Buffer, offset: number): boolean => (buffer.readUInt8(offset + 6) & 0x20) !== 0,
  setMoreFragments: (buffer: Buffer, offset: number, value: boolean): void =>
    putBits16(buffer, offset + 6, 0x2000, value ? 0x2000 : 0),
  /** Where this fragment's payload begins in that of the whole packet. */
  fragmentOffset: (buffer: Buffer, offset: number): number => (buffer.readUInt16BE(offset + 6) & 0x1fff) * 8,
  setFragmentOffset: (buffer: Buffer, offset: number, fragmentOffset: number): void =>
    putBits16(buffer, offset + 6, 0x1fff, fragmentOffset >> 3),
  /** Whether this is not the whole packet. */
  isFragment: (buffer: Buffer, offset: number): boolean => (buffer.readUInt16BE(offset + 6) & 0x3fff) !== 0,
  timeToLive: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 8),
  setTimeToLive: (buffer: Buffer, offset: number, hops: number): void => void buffer.writeUInt8(hops, offset + 8),
  /** What the payload is: 1 ICMP, 6 TCP, 17 UDP … (IPPROTO_…, linux/in.h). */
  protocol: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 9),
  setProtocol: (buffer: Buffer, offset: number, protocol: number): void => void buffer.writeUInt8(protocol, offset + 9),
  /** The sum of the header. */
  checksum: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 10),
  setChecksum: (buffer: Buffer, offset: number, checksum: number): void =>
    void buffer.writeUInt16BE(checksum, offset + 10),
  /** Computes the header's sum, and writes it. */
  fillChecksum: (buffer: Buffer, offset: number): void => {
    const length = ipv4.headerLength(buffer, offset)
    check(buffer, offset, Math.max(length, ipv4.minimumLength))
    buffer.writeUInt16BE(0, offset + 10)
    buffer.writeUInt16BE(rangeChecksum(buffer, offset, offset + length), offset + 10)
  },
  /** Whether the header's sum is right. */
  isChecksumRight: (buffer: Buffer, offset: number): boolean => {
    const length = ipv4.headerLength(buffer, offset)
    return length >= ipv4.minimumLength && rangeChecksum(buffer, offset, offset + length) === 0
  },
  source: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 12, 4),
  setSource: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 12, 4, address),
  /** As a number of 32 bits. */
  sourceNumber: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 12),
  destination: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 16, 4),
  setDestination: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 16, 4, address),
  destinationNumber: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 16),
  /** Exchanges source and destination: for an answer. The sums stay right. */
  swap: (buffer: Buffer, offset: number): void => swap(buffer, offset + 12, offset + 16, 4),
} as const

/** The fixed IPv6 header (RFC 8200). What extension headers are in between is said by `nextHeader`, and for you to walk. */
export const ipv6 = {
  headerLength: 40,
  /** Sets the version 6, and with it the traffic class and the flow label to 0. */
  setVersion: (buffer: Buffer, offset: number): void => void buffer.writeUInt32BE(0x6000_0000, offset),
  /** Differentiated services and congestion notification: 8 bits. */
  trafficClass: (buffer: Buffer, offset: number): number => (buffer.readUInt16BE(offset) >> 4) & 0xff,
  setTrafficClass: (buffer: Buffer, offset: number, value: number): void =>
    putBits16(buffer, offset, 0xff0, value << 4),
  /** 20 bits. */
  flowLabel: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset) & 0xf_ffff,
  setFlowLabel: (buffer: Buffer, offset: number, label: number): void =>
    void buffer.writeUInt32BE(((buffer.readUInt32BE(offset) & 0xfff0_0000) | (label & 0xf_ffff)) >>> 0, offset),
  /** How many bytes follow the fixed header. */
  payloadLength: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 4),
  setPayloadLength: (buffer: Buffer, offset: number, length: number): void =>
    void buffer.writeUInt16BE(length, offset + 4),
  /** What follows: 6 TCP, 17 UDP, 58 ICMPv6, or an extension header. */
  nextHeader: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 6),
  setNextHeader: (buffer: Buffer, offset: number, header: number): void => void buffer.writeUInt8(header, offset + 6),
  hopLimit: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 7),
  setHopLimit: (buffer: Buffer, offset: number, hops: number): void => void buffer.writeUInt8(hops, offset + 7),
  source: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 8, 16),
  setSource: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 8, 16, address),
  destination: (buffer: Buffer, offset: number): string => readIp(buffer, offset + 24, 16),
  setDestination: (buffer: Buffer, offset: number, address: string): void => writeIp(buffer, offset + 24, 16, address),
  /** Exchanges source and destination: for an answer. The sums stay right. */
  swap: (buffer: Buffer, offset: number): void => swap(buffer, offset + 8, offset + 24, 16),
} as const
