/** Fields of UDP, TCP and ICMP headers, read and written in place: functions on a Buffer and the offset where the header begins in it. */
import { putBits16, swap } from './bytes.js'

/** What UDP and TCP have in common. */
const ports = {
  sourcePort: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset),
  setSourcePort: (buffer: Buffer, offset: number, port: number): void => void buffer.writeUInt16BE(port, offset),
  destinationPort: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 2),
  setDestinationPort: (buffer: Buffer, offset: number, port: number): void =>
    void buffer.writeUInt16BE(port, offset + 2),
  /** Exchanges the ports: for an answer. The sum stays right. */
  swapPorts: (buffer: Buffer, offset: number): void => swap(buffer, offset, offset + 2, 2),
} as const

/** The UDP header (RFC 768). */
export const udp = {
  ...ports,
  headerLength: 8,
  /** The datagram's length, with its header. */
  length: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 4),
  setLength: (buffer: Buffer, offset: number, length: number): void => void buffer.writeUInt16BE(length, offset + 4),
  /** The sum, 0 when there is none; `fillTransportChecksum` makes it. */
  checksum: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 6),
  setChecksum: (buffer: Buffer, offset: number, checksum: number): void =>
    void buffer.writeUInt16BE(checksum, offset + 6),
} as const

/** The TCP header (RFC 9293). */
export const tcp = {
  ...ports,
  /** The length of a header without options. */
  minimumLength: 20,
  sequence: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 4),
  setSequence: (buffer: Buffer, offset: number, sequence: number): void =>
    void buffer.writeUInt32BE(sequence, offset + 4),
  acknowledgement: (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset + 8),
  setAcknowledgement: (buffer: Buffer, offset: number, acknowledgement: number): void =>
    void buffer.writeUInt32BE(acknowledgement, offset + 8),
  /** The header's length in bytes, with its options. */
  headerLength: (buffer: Buffer, offset: number): number => (buffer.readUInt8(offset + 12) >> 4) * 4,
  /** A multiple of 4 from 20 to 60. */
  setHeaderLength: (buffer: Buffer, offset: number, length: number): void =>
    putBits16(buffer, offset + 12, 0xf000, (length >> 2) << 12),
  /** A sum of the flags below: 8 bits. */
  flags: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 13),
  setFlags: (buffer: Buffer, offset: number, flags: number): void => void buffer.writeUInt8(flags, offset + 13),
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
  /** The receive window, before it is scaled. */
  window: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 14),
  setWindow: (buffer: Buffer, offset: number, window: number): void => void buffer.writeUInt16BE(window, offset + 14),
  /** The sum; `fillTransportChecksum` makes it. */
  checksum: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 16),
  setChecksum: (buffer: Buffer, offset: number, checksum: number): void =>
    void buffer.writeUInt16BE(checksum, offset + 16),
  urgentPointer: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 18),
  setUrgentPointer: (buffer: Buffer, offset: number, pointer: number): void =>
    void buffer.writeUInt16BE(pointer, offset + 18),
} as const

/** The header of ICMP (RFC 792) and ICMPv6 (RFC 4443), which differ in their types and in what the sum covers. */
export const icmp = {
  headerLength: 8,
  /** ICMP: 0 echo reply, 3 unreachable, 8 echo, 11 time exceeded. ICMPv6: 1 unreachable, 128 echo, 129 echo reply, 135 neighbor solicitation … */
  type: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset),
  setType: (buffer: Buffer, offset: number, type: number): void => void buffer.writeUInt8(type, offset),
  code: (buffer: Buffer, offset: number): number => buffer.readUInt8(offset + 1),
  setCode: (buffer: Buffer, offset: number, code: number): void => void buffer.writeUInt8(code, offset + 1),
  /** The sum; `fillTransportChecksum` makes it. */
  checksum: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 2),
  setChecksum: (buffer: Buffer, offset: number, checksum: number): void =>
    void buffer.writeUInt16BE(checksum, offset + 2),
  /** Of echoes: who asks. */
  identifier: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 4),
  setIdentifier: (buffer: Buffer, offset: number, identifier: number): void =>
    void buffer.writeUInt16BE(identifier, offset + 4),
  /** Of echoes: which question. */
  sequence: (buffer: Buffer, offset: number): number => buffer.readUInt16BE(offset + 6),
  setSequence: (buffer: Buffer, offset: number, sequence: number): void =>
    void buffer.writeUInt16BE(sequence, offset + 6),
} as const
