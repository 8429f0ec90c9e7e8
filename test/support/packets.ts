/** The other end of the cable: builds and answers Ethernet frames and IPv4 packets, as a host on it would. */

export const hostMac = '02:00:00:00:00:07'
const macOctets = Buffer.from(hostMac.replaceAll(':', ''), 'hex')

const ARP = 0x0806
const IPV4 = 0x0800

/** The Internet checksum (RFC 1071). */
export function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** The echo reply (RFC 792) to an IPv4 packet that is an echo request. */
export function answerPacket(packet: Buffer): Buffer | undefined {
  const header = ((packet[0] ?? 0) & 15) * 4
  if ((packet[0] ?? 0) >> 4 !== 4 || packet[9] !== 1 || packet[header] !== 8) return undefined
  const reply = Buffer.from(packet)
  packet.copy(reply, 12, 16, 20)
  packet.copy(reply, 16, 12, 16)
  reply[header] = 0
  reply.writeUInt16BE(0, header + 2)
  reply.writeUInt16BE(checksum(reply.subarray(header)), header + 2)
  return reply
}

/** What the host `hostMac`, which has every IPv4 address, answers to a frame: ARP (RFC 826) and ping. */
export function answerFrame(frame: Buffer): Buffer | undefined {
  const type = frame.readUInt16BE(12)
  if (type === ARP && frame.readUInt16BE(20) === 1) {
    const reply = Buffer.alloc(42)
    frame.copy(reply, 0, 6, 12)
    macOctets.copy(reply, 6)
    frame.copy(reply, 12, 12, 20)
    reply.writeUInt16BE(2, 20)
    macOctets.copy(reply, 22)
    frame.copy(reply, 28, 38, 42)
    frame.copy(reply, 32, 22, 32)
    return reply
  }
  const packet = type === IPV4 ? answerPacket(frame.subarray(14)) : undefined
  if (packet === undefined) return undefined
  return Buffer.concat([frame.subarray(6, 12), macOctets, frame.subarray(12, 14), packet])
}

/** A broadcast frame of an Ethernet type that nothing listens to (0x88b5, IEEE 802 local experiments), with a number in it. */
export function numberedFrame(number: number, length = 60): Buffer {
  const frame = Buffer.alloc(length)
  frame.fill(0xff, 0, 6)
  macOctets.copy(frame, 6)
  frame.writeUInt16BE(0x88b5, 12)
  frame.writeUInt32BE(number, 14)
  return frame
}

/** The number in such a frame, undefined for any other. */
export function numberOf(frame: Buffer): number | undefined {
  return frame.length >= 18 && frame.readUInt16BE(12) === 0x88b5 ? frame.readUInt32BE(14) : undefined
}
