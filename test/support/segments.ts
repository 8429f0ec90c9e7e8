/** Frames of TCP and UDP, made byte by byte from what they should say, and what they should become when they are cut. */
import { checksum } from './packets.js'

export const FIN = 1
export const SYN = 2
export const RST = 4
export const PSH = 8
export const ACK = 16
export const URG = 32
export const ECE = 64
export const CWR = 128

export interface FrameSpec {
  readonly version: 4 | 6
  readonly protocol: 'tcp' | 'udp'
  readonly payload: Buffer
  /** Tag protocol identifiers of VLAN tags, outermost first. 'none': no Ethernet at all. */
  readonly tags?: readonly number[] | 'none'
  readonly macs?: string
  readonly source?: string
  readonly destination?: string
  readonly ports?: readonly [number, number]
  readonly sequence?: number
  readonly acknowledgement?: number
  readonly flags?: number
  readonly window?: number
  readonly urgent?: number
  /** TCP options, in hexadecimal: a multiple of 4 bytes. */
  readonly options?: string
  /** IPv4 options, in hexadecimal. */
  readonly ipOptions?: string
  readonly id?: number
  /** The 16 bits of IPv4 flags and fragment offset. */
  readonly fragment?: number
  readonly hops?: number
  readonly trafficClass?: number
  readonly flowLabel?: number
  /** IPv6 extension headers: type, and contents behind the byte that says the next one, in hexadecimal. */
  readonly extensions?: readonly (readonly [number, string])[]
  /** The checksum is the pseudo header's sum only. */
  readonly partial?: boolean
  /** Bytes behind the packet. */
  readonly padding?: number
}

export interface MadeFrame {
  readonly frame: Buffer
  readonly network: number
  readonly transport: number
  readonly payload: number
}

const hex = (text: string) => Buffer.from(text.replaceAll(/[:\s]/g, ''), 'hex')
const usual = {
  macs: '020000000002 020000000001',
  source: { 4: '0a000107', 6: 'fd000001000000000000000000000007' },
  destination: { 4: '0a000207', 6: 'fd000002000000000000000000000007' },
} as const

/** The sum of 16-bit words, folded. */
export const wordSum = (bytes: Buffer): number => ~checksum(bytes) & 0xffff

function transportOf(spec: FrameSpec, pseudo: (length: number) => Buffer): { bytes: Buffer; header: number } {
  const { protocol, payload, ports = [5001, 5002] } = spec
  const options = hex(spec.options ?? '')
  const header = Buffer.alloc(protocol === 'tcp' ? 20 : 8)
  header.writeUInt16BE(ports[0], 0)
  header.writeUInt16BE(ports[1], 2)
  if (protocol === 'tcp') {
    header.writeUInt32BE((spec.sequence ?? 0x01020304) >>> 0, 4)
    header.writeUInt32BE(spec.acknowledgement ?? 0x0a0b0c0d, 8)
    header[12] = ((20 + options.length) / 4) << 4
    header[13] = spec.flags ?? ACK
    header.writeUInt16BE(spec.window ?? 501, 14)
    header.writeUInt16BE(spec.urgent ?? 0, 18)
  } else {
    header.writeUInt16BE(8 + payload.length, 4)
  }
  const bytes = Buffer.concat([header, protocol === 'tcp' ? options : Buffer.alloc(0), payload])
  const start = pseudo(bytes.length)
  const sum = spec.partial ? wordSum(start) : checksum(Buffer.concat([start, bytes])) || 0xffff
  bytes.writeUInt16BE(sum, protocol === 'tcp' ? 16 : 6)
  return { bytes, header: bytes.length - payload.length }
}

/** The frame that a specification describes. */
export function makeFrame(spec: FrameSpec): MadeFrame {
  const { version, tags = [], trafficClass = 0, hops = 64 } = spec
  const number = spec.protocol === 'tcp' ? 6 : 17
  const addresses = Buffer.concat([
    hex(spec.source ?? usual.source[version]),
    hex(spec.destination ?? usual.destination[version]),
  ])
  const pseudo = (length: number) => Buffer.concat([addresses, Buffer.from([0, number, length >> 8, length & 255])])
  const { bytes, header } = transportOf(spec, pseudo)

  let ip: Buffer
  if (version === 4) {
    const options = hex(spec.ipOptions ?? '')
    const fixed = Buffer.alloc(12)
    fixed[0] = 0x40 | ((20 + options.length) / 4)
    fixed[1] = trafficClass
    fixed.writeUInt16BE(20 + options.length + bytes.length, 2)
    fixed.writeUInt16BE((spec.id ?? 0x1234) & 0xffff, 4)
    fixed.writeUInt16BE(spec.fragment ?? 0x4000, 6)
    fixed[8] = hops
    fixed[9] = number
    ip = Buffer.concat([fixed, addresses, options])
    ip.writeUInt16BE(checksum(ip), 10)
  } else {
    const extensions = spec.extensions ?? []
    const types = [...extensions.map(([type]) => type), number]
    const chain = extensions.map(([, contents], i) => Buffer.concat([Buffer.from([types[i + 1] ?? 0]), hex(contents)]))
    const fixed = Buffer.alloc(8)
    fixed.writeUInt32BE(((6 << 28) | (trafficClass << 20) | (spec.flowLabel ?? 0)) >>> 0, 0)
    fixed.writeUInt16BE(Buffer.concat(chain).length + bytes.length, 4)
    fixed[6] = types[0] ?? 0
    fixed[7] = hops
    ip = Buffer.concat([fixed, addresses, ...chain])
  }

  let ethernet = Buffer.alloc(0)
  if (tags !== 'none') {
    const words = [...tags.flatMap((tag, i) => [tag, 100 + i]), version === 4 ? 0x0800 : 0x86dd]
    const types = Buffer.alloc(2 * words.length)
    for (const [i, word] of words.entries()) types.writeUInt16BE(word, 2 * i)
    ethernet = Buffer.concat([hex(spec.macs ?? usual.macs), types])
  }
  const transport = ethernet.length + ip.length
  const frame = Buffer.concat([ethernet, ip, bytes, Buffer.alloc(spec.padding ?? 0, 0xee)])
  return { frame, network: ethernet.length, transport, payload: transport + header }
}

export const GSO = { none: 0, tcp4: 1, fragments: 3, tcp6: 4, udp: 5, ecn: 0x80 } as const

export interface HeaderSpec {
  readonly flags?: number
  readonly type?: number
  readonly headerLength?: number
  readonly size?: number
  readonly start?: number
  readonly offset?: number
}

/** A struct virtio_net_hdr (linux/virtio_net.h). */
export function makeHeader({ flags = 1, type = 0, headerLength = 0, size = 0, start = 0, offset = 0 }: HeaderSpec) {
  const header = Buffer.alloc(10)
  header[0] = flags
  header[1] = type
  for (const [i, value] of [headerLength, size, start, offset].entries()) header.writeUInt16LE(value, 2 + 2 * i)
  return header
}

/** A large frame of a specification, with the header that has it cut to `size`. */
export function makeLarge(spec: FrameSpec, size: number, changes: HeaderSpec = {}) {
  const made = makeFrame({ partial: true, ...spec })
  const tcp = spec.version === 4 ? GSO.tcp4 : GSO.tcp6
  const header = makeHeader({
    type: spec.protocol === 'tcp' ? tcp : GSO.udp,
    headerLength: made.payload,
    size,
    start: made.transport,
    offset: spec.protocol === 'tcp' ? 16 : 6,
    ...changes,
  })
  return { ...made, header }
}

/** What it is to become: each segment a specification of its own. */
export function segmentsOf(spec: FrameSpec, size: number): FrameSpec[] {
  const { payload, flags = ACK, sequence = 0x01020304, id = 0x1234 } = spec
  const count = Math.max(1, Math.ceil(payload.length / size))
  return Array.from({ length: count }, (_, i) => {
    const not = (i < count - 1 ? FIN | PSH : 0) | (i > 0 ? CWR : 0)
    return {
      ...spec,
      payload: payload.subarray(i * size, (i + 1) * size),
      sequence: (sequence + i * size) >>> 0,
      id: id + i,
      flags: flags & ~not,
      partial: false,
      padding: 0,
    }
  })
}

/** Random numbers that the same seed repeats (xorshift32), from 0 to `bound` - 1. */
export function seeded(seed: number): (bound: number) => number {
  let x = seed >>> 0 || 1
  return (bound) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    x >>>= 0
    return x % bound
  }
}

/** Bytes that are not the same twice in a row. */
export function bytesOf(length: number, seed = 1): Buffer {
  const random = seeded(seed)
  const bytes = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(random(0x1_0000_0000), i)
  for (let i = length & ~3; i < length; i++) bytes[i] = random(256)
  return bytes
}
