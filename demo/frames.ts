/** Reading and making Ethernet frames with ARP (RFC 826), IPv4 (RFC 791), ICMP echo (RFC 792) and UDP (RFC 768). */

const ARP = 0x0806
const IPV4 = 0x0800
const IPV6 = 0x86dd
const ICMP = 1
const UDP = 17
const BROADCAST = 'ff:ff:ff:ff:ff:ff'

/** What a frame is. Fields are there when the kind has them. */
export interface Reading {
  kind: 'ARP request' | 'ARP reply' | 'echo request' | 'echo reply' | 'UDP' | 'IPv6' | 'other'
  /** All of it in one line. */
  text: string
  /** The sender's MAC address. */
  fromMac?: string
  /** The sender's IPv4 address. */
  from?: string
  /** The IPv4 address that it is meant for, or asks for. */
  to?: string
  /** Of an echo request or reply. */
  sequence?: number
}

const macAt = (frame: Buffer, offset: number) => frame.toString('hex', offset, offset + 6).replace(/..(?=.)/g, '$&:')
const ipAt = (frame: Buffer, offset: number) => frame.subarray(offset, offset + 4).join('.')
const macBytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex')
const ipBytes = (address: string) => Buffer.from(address.split('.').map(Number))

/** Reads a frame. What is too short, or not understood, is 'other'. */
export function readFrame(frame: Buffer): Reading {
  if (frame.length < 14) return { kind: 'other', text: `${frame.length} bytes, too short for Ethernet` }
  const type = frame.readUInt16BE(12)
  if (type === ARP && frame.length >= 42) return readArp(frame)
  if (type === IPV4 && frame.length >= 34) return readIpv4(frame)
  if (type === IPV6) return { kind: 'IPv6', text: `IPv6, ${frame.length - 14} bytes` }
  return { kind: 'other', text: `type 0x${type.toString(16).padStart(4, '0')}, ${frame.length} bytes` }
}

function readArp(frame: Buffer): Reading {
  const fromMac = macAt(frame, 22)
  const [from, to] = [ipAt(frame, 28), ipAt(frame, 38)]
  return frame.readUInt16BE(20) === 1
    ? { kind: 'ARP request', text: `ARP: who has ${to}? ${from} asks`, fromMac, from, to }
    : { kind: 'ARP reply', text: `ARP: ${from} is at ${fromMac}`, fromMac, from, to }
}

function readIpv4(frame: Buffer): Reading {
  const header = (frame.readUInt8(14) & 15) * 4
  const [from, to] = [ipAt(frame, 26), ipAt(frame, 30)]
  const protocol = frame.readUInt8(23)
  const at = 14 + header
  const other: Reading = { kind: 'other', text: `IPv4 protocol ${protocol}: ${from} > ${to}`, from, to }
  // A fragment (RFC 791, 3.1) has only a part of what it carries.
  const fragment = (frame.readUInt16BE(20) & 0x3fff) !== 0
  if (header < 20 || fragment || frame.length < at + 8) return other
  const common = { fromMac: macAt(frame, 6), from, to }
  const icmp = protocol === ICMP ? frame.readUInt8(at) : undefined
  if (icmp === 8 || icmp === 0) {
    const kind = icmp === 8 ? 'echo request' : 'echo reply'
    const sequence = frame.readUInt16BE(at + 6)
    return { kind, text: `ICMP ${kind}: ${from} > ${to}, sequence ${sequence}`, sequence, ...common }
  }
  if (protocol !== UDP) return other
  const ports = [frame.readUInt16BE(at), frame.readUInt16BE(at + 2)]
  return { kind: 'UDP', text: `UDP: ${from} port ${ports[0]} > ${to} port ${ports[1]}`, ...common }
}

/** The checksum of RFC 1071, over bytes in which its own place is 0. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i)
  if (bytes.length % 2 === 1) sum += bytes.readUInt8(bytes.length - 1) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  return Buffer.concat([macBytes(to), macBytes(from), Buffer.from([type >> 8, type & 255]), payload])
}

/** Who sends to whom, as a frame has it. */
interface Ends {
  fromMac: string
  from: string
  toMac: string
  to: string
}

/** An ARP message for Ethernet and IPv4: a request without `toMac`, a reply with it. */
export function makeArp({ fromMac, from, toMac, to }: Omit<Ends, 'toMac'> & { toMac?: string }): Buffer {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, toMac === undefined ? 1 : 2])
  const target = macBytes(toMac ?? '00:00:00:00:00:00')
  const payload = Buffer.concat([head, macBytes(fromMac), ipBytes(from), target, ipBytes(to)])
  return ethernet(toMac ?? BROADCAST, fromMac, ARP, payload)
}

/** An ICMP echo request with 56 bytes of data, as ping(8) sends. */
export function makeEchoRequest(fields: Ends & { id: number; sequence: number }): Buffer {
  const { fromMac, from, toMac, to, id, sequence } = fields
  const icmp = Buffer.alloc(8 + 56, 'netkit ')
  icmp.writeUInt32BE(0x0800_0000, 0)
  icmp.writeUInt16BE(id, 4)
  icmp.writeUInt16BE(sequence, 6)
  icmp.writeUInt16BE(checksum(icmp), 2)
  const ip = Buffer.alloc(20)
  ip.writeUInt8(0x45, 0)
  ip.writeUInt16BE(ip.length + icmp.length, 2)
  ip.writeUInt8(64, 8)
  ip.writeUInt8(ICMP, 9)
  ipBytes(from).copy(ip, 12)
  ipBytes(to).copy(ip, 16)
  ip.writeUInt16BE(checksum(ip), 10)
  return ethernet(toMac, fromMac, IPV4, Buffer.concat([ip, icmp]))
}

/**
 * What answers an echo request or a UDP datagram: the same frame with the two sides exchanged. Neither IPv4's checksum
 * nor UDP's changes by that; ICMP's does, because its type becomes that of a reply. The frame must be one that `readFrame`
 * called 'echo request' or 'UDP'.
 */
export function reflect(frame: Buffer): Buffer {
  const answer = Buffer.from(frame)
  frame.copy(answer, 0, 6, 12)
  frame.copy(answer, 6, 0, 6)
  frame.copy(answer, 26, 30, 34)
  frame.copy(answer, 30, 26, 30)
  const at = 14 + (frame.readUInt8(14) & 15) * 4
  if (frame.readUInt8(23) === UDP) {
    frame.copy(answer, at, at + 2, at + 4)
    frame.copy(answer, at + 2, at, at + 2)
    return answer
  }
  // What follows the packet is padding, which the checksum does not cover.
  const end = 14 + frame.readUInt16BE(16)
  answer.writeUInt8(0, at)
  answer.writeUInt16BE(0, at + 2)
  answer.writeUInt16BE(checksum(answer.subarray(at, end)), at + 2)
  return answer
}
