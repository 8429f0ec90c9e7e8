/** The options of packet sockets: what they are, and whether they are right. */
import { isNamespace } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { LITTLE_ENDIAN } from '../netlink/bytes.js'
import type { PacketCondition } from '../packets/filter/conditions.js'
import { A_FILTER, packetFilter } from '../packets/filter.js'
import { checkLinkReference, type LinkReference } from '../rtnetlink/link-options.js'
import { checkProtocol, type ProtocolName } from '../rtnetlink/traffic/filter.js'
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  typeError,
  valueError,
} from '../validate.js'

/** How the sockets of a group share the frames, by the kernel's number (PACKET_FANOUT_… in linux/if_packet.h). */
export const fanoutModes = {
  /** By flow: all frames of one come to the same socket. */
  hash: 0,
  /** In turns. */
  lb: 1,
  /** By the processor that received the frame. */
  cpu: 2,
  /** To the first socket that has room. */
  rollover: 3,
  /** At random. */
  rnd: 4,
  /** By the receive queue of the hardware. */
  qm: 5,
  /** As a classic BPF program says: its result, modulo the number of sockets. */
  cbpf: 6,
  /** The same with an eBPF program. */
  ebpf: 7,
} as const

/** A group of sockets that share the frames of their link (packet(7), PACKET_FANOUT). */
export interface FanoutOptions {
  /**
   * The group's number in this namespace, from 0 to 65,535; sockets that name the same are together, and must agree in all else.
   * Default: a new group, whose number is the socket's `fanoutGroup`.
   */
  group?: number
  mode: keyof typeof fanoutModes
  /** For 'cbpf': instructions, as those of `filter`. For 'ebpf': the descriptor of a program, which stays the caller's. */
  program?: FilterProgram | number
  /** True puts fragments of IPv4 packets together before, so that all of a flow are alike (PACKET_FANOUT_FLAG_DEFRAG). Default: false. */
  defragment?: boolean
  /** True takes the next socket when the chosen one has no room (PACKET_FANOUT_FLAG_ROLLOVER). Default: false. */
  rollover?: boolean
}

/** One instruction of classic BPF: struct sock_filter of linux/filter.h. */
export interface FilterCode {
  code: number
  jt: number
  jf: number
  k: number
}

/** A classic BPF program: an array of struct sock_filter, an object that has one, or the instructions. */
export type FilterProgram = Uint8Array | { readonly bytes: Uint8Array } | readonly FilterCode[]

/** The memory that a ring takes (TPACKET_V3; Documentation/networking/packet_mmap.rst). */
export interface RingOptions {
  /** How many blocks, from 2 to 1,024. Default: 8. */
  blocks?: number
  /** Bytes of each: a power of two from 131,072 to 16,777,216. Default: 524,288. */
  blockSize?: number
  /** Milliseconds after which a block is handed over that is not full, from 1 to 1,000. Default: 4. */
  timeout?: number
}

/** Options of `openPacketSocket`. */
export interface PacketSocketOptions {
  /** The link: a Link, a name or an index. */
  link?: LinkReference
  /** True instead of `link`: the frames of all links, which cannot be told apart. Such a socket cannot be written. */
  allLinks?: boolean
  /** The namespace of the link. Default: that of the Link, or the process's own. */
  namespace?: Namespace
  /** An Ethernet protocol, by name or number (linux/if_ether.h). Other than 'all', which is the default, it has inbound frames only. */
  protocol?: ProtocolName | number
  /**
   * Which frames are read: what comes in through the link, what is sent through it by others than this socket, or both. What the
   * socket itself has sent is never read back. Default: 'inbound'.
   */
  direction?: 'inbound' | 'outbound' | 'both'
  /**
   * Only frames that pass are read, and at most as many bytes of them as it says: conditions (`{ protocol: 'tcp', port: 80 }`) about
   * Ethernet frames, a classic BPF program, or the descriptor of an eBPF program (BPF_PROG_TYPE_SOCKET_FILTER), which stays the
   * caller's. For the link of a tun: `packetFilter(conditions, { layer3: true })`.
   */
  filter?: PacketCondition | FilterProgram | number
  /** Shares the frames of the link with other sockets. */
  fanout?: FanoutOptions
  /** True makes the link receive frames for any MAC address as long as the socket is open. Default: false. */
  promiscuous?: boolean
  /** The same for all multicast frames. Default: false. */
  allMulticast?: boolean
  /**
   * True hands over frames with offload headers, uncut, as `offload` of `openTap`. Default: false: what the kernel has not cut yet, and not
   * given its checksum, is finished by netkit. Writing takes such frames in both cases.
   */
  offload?: boolean
  /** The kernel's time of each frame (`batch.time(i)`). Default: true. */
  timestamps?: boolean
  /** True reads through a ring of shared memory: for captures, a fraction of the work, and later by up to its timeout. Default: false. */
  ring?: boolean | RingOptions
  /** True sends past the queueing discipline of the link (PACKET_QDISC_BYPASS), which others see less of. Default: false. */
  bypassQdisc?: boolean
  /** Bytes of the receive buffer (SO_RCVBUF); the kernel counts about 800 for a small frame. Default: 4 MiB, or what the kernel allows. */
  receiveBuffer?: number
  /** How many frames the stream reads ahead. Default: 256. */
  readableHighWaterMark?: number
  /** How many frames may wait in the stream before `write` returns false. Default: 256. */
  writableHighWaterMark?: number
  /** Gives up opening, with an AbortError. */
  signal?: AbortSignal
}

const keys = [
  ...['link', 'allLinks', 'namespace', 'protocol', 'direction', 'filter', 'fanout', 'promiscuous', 'allMulticast'],
  ...['offload', 'timestamps', 'ring', 'bypassQdisc', 'receiveBuffer'],
  ...['readableHighWaterMark', 'writableHighWaterMark', 'signal'],
]
const flags = ['allLinks', 'promiscuous', 'allMulticast', 'offload', 'timestamps', 'bypassQdisc'] as const

/** A program, as the kernel takes it: instructions, or a descriptor. */
export type Program = Uint8Array | number

/** What the options come to. */
export interface CheckedOptions {
  protocol: number
  direction: 'inbound' | 'outbound' | 'both'
  filter: Program | undefined
  fanout:
    | { group: number | undefined; mode: number; flags: Set<'defragment' | 'rollover'>; program: Program | undefined }
    | undefined
  ring: Required<RingOptions> | undefined
}

const INSTRUCTION = 8
const MOST_INSTRUCTIONS = 4096

function checkDescriptor(value: number, name: string): number {
  checkInteger(value, name, 0, 0x7fff_ffff)
  return value
}

function checkProgram(value: unknown, name: string): Uint8Array {
  if (Array.isArray(value)) {
    const bytes = new Uint8Array(INSTRUCTION * value.length)
    const view = new DataView(bytes.buffer)
    value.forEach((instruction, i) => {
      checkOptions(instruction, `${name}[${i}]`, ['code', 'jt', 'jf', 'k'])
      const limits = { code: 0xffff, jt: 0xff, jf: 0xff, k: 0xffff_ffff }
      for (const [key, most] of Object.entries(limits)) checkInteger(instruction[key], `${name}[${i}].${key}`, 0, most)
      view.setUint16(INSTRUCTION * i, instruction.code, LITTLE_ENDIAN)
      bytes[INSTRUCTION * i + 2] = instruction.jt
      bytes[INSTRUCTION * i + 3] = instruction.jf
      view.setUint32(INSTRUCTION * i + 4, instruction.k, LITTLE_ENDIAN)
    })
    return checkLength(bytes, value, name)
  }
  const bytes = value instanceof Uint8Array ? value : (value as { bytes?: unknown } | null | undefined)?.bytes
  if (!(bytes instanceof Uint8Array))
    throw typeError(name, 'a BPF program: a Uint8Array, a filter, or instructions', value)
  return checkLength(bytes, value, name)
}

function checkLength(bytes: Uint8Array, value: unknown, name: string): Uint8Array {
  if (bytes.length > 0 && bytes.length % INSTRUCTION === 0 && bytes.length <= INSTRUCTION * MOST_INSTRUCTIONS)
    return bytes
  throw valueError(name, value, `a program has from 1 to ${MOST_INSTRUCTIONS} instructions of ${INSTRUCTION} bytes`)
}

function checkFilter(value: unknown, name: string): Program {
  if (typeof value === 'number') return checkDescriptor(value, name)
  if (typeof value !== 'object' || value === null) throw typeError(name, A_FILTER, value)
  const isProgram = Array.isArray(value) || [value, (value as FilterObject).bytes].some(isBytes)
  return isProgram ? checkProgram(value, name) : packetFilter(value).bytes
}

/** An object that has a program, unless its `bytes` are a condition. */
interface FilterObject {
  bytes?: unknown
}

function isBytes(value: unknown): boolean {
  return value instanceof Uint8Array
}

function checkFanout(value: FanoutOptions, name: string): CheckedOptions['fanout'] {
  checkOptions(value, name, ['group', 'mode', 'program', 'defragment', 'rollover'])
  const { group, mode, program } = value
  checkOneOf(mode, `${name}.mode`, Object.keys(fanoutModes) as (keyof typeof fanoutModes)[])
  if (group !== undefined) checkInteger(group, `${name}.group`, 0, 0xffff)
  const set = new Set<'defragment' | 'rollover'>()
  for (const flag of ['defragment', 'rollover'] as const) {
    if (value[flag] !== undefined) checkBoolean(value[flag], `${name}.${flag}`)
    if (value[flag] === true) set.add(flag)
  }
  const takes = mode === 'cbpf' || mode === 'ebpf'
  if (takes !== (program !== undefined)) {
    throw valueError(`${name}.program`, program, takes ? `mode '${mode}' needs one` : `mode '${mode}' takes none`)
  }
  let checked: Program | undefined
  if (mode === 'cbpf') checked = checkProgram(program, `${name}.program`)
  if (mode === 'ebpf') {
    if (typeof program !== 'number') throw typeError(`${name}.program`, 'the descriptor of an eBPF program', program)
    checked = checkDescriptor(program, `${name}.program`)
  }
  return { group, mode: fanoutModes[mode], flags: set, program: checked }
}

function checkRing(value: unknown, name: string): CheckedOptions['ring'] {
  if (value === false || value === undefined) return undefined
  const ring: RingOptions = value === true ? {} : (value as RingOptions)
  checkOptions(ring, name, ['blocks', 'blockSize', 'timeout'])
  const { blocks = 8, blockSize = 524_288, timeout = 4 } = ring
  checkInteger(blocks, `${name}.blocks`, 2, 1024)
  checkInteger(blockSize, `${name}.blockSize`, 131_072, 16_777_216)
  if ((blockSize & (blockSize - 1)) !== 0) throw valueError(`${name}.blockSize`, blockSize, 'must be a power of two')
  checkInteger(timeout, `${name}.timeout`, 1, 1000)
  if (blocks * blockSize > 0x7fff_ffff) throw valueError(name, ring, 'a ring has less than 2 GiB')
  return { blocks, blockSize, timeout }
}

/** Everything that can be told without the kernel. */
export function checkPacketSocketOptions(options: PacketSocketOptions): CheckedOptions {
  checkOptions(options, 'options', keys)
  const { link, namespace, protocol = 'all', direction = 'inbound', filter, fanout, receiveBuffer } = options
  for (const flag of flags) if (options[flag] !== undefined) checkBoolean(options[flag], `options.${flag}`)
  if (options.allLinks === true && link !== undefined) {
    throw valueError('options.allLinks', true, 'cannot be combined with a link')
  }
  if (options.allLinks !== true) checkLinkReference(link, 'options.link')
  if (namespace !== undefined && !isNamespace(namespace)) throw typeError('options.namespace', 'a Namespace', namespace)
  checkOneOf(direction, 'options.direction', ['inbound', 'outbound', 'both'])
  for (const mark of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[mark] !== undefined) checkInteger(options[mark], `options.${mark}`, 1, 65_536)
  }
  if (receiveBuffer !== undefined) checkInteger(receiveBuffer, 'options.receiveBuffer', 2048, 0x3fff_ffff)
  for (const flag of ['promiscuous', 'allMulticast'] as const) {
    if (options[flag] === true && options.allLinks === true) {
      throw valueError(`options.${flag}`, true, 'is about one link: it cannot be combined with allLinks')
    }
  }
  checkSignal(options.signal, 'options.signal')
  const number = checkProtocol(protocol, 'options.protocol')
  if (number === 0) throw valueError('options.protocol', protocol, 'stands for no frames at all')
  const checked: CheckedOptions = {
    protocol: number,
    direction,
    filter: filter === undefined ? undefined : checkFilter(filter, 'options.filter'),
    fanout: fanout === undefined ? undefined : checkFanout(fanout, 'options.fanout'),
    ring: checkRing(options.ring, 'options.ring'),
  }
  if (direction === 'outbound' && number !== checkProtocol('all', 'protocol')) {
    throw valueError(
      'options.direction',
      direction,
      "goes with protocol 'all' only: the kernel shows others what comes in",
    )
  }
  if (
    typeof checked.filter === 'number' &&
    (direction === 'outbound' || (direction === 'inbound' && fanout !== undefined))
  ) {
    const why = direction === 'outbound' ? '' : ' and a fanout'
    throw valueError('options.filter', filter, `an eBPF program cannot be combined with direction '${direction}'${why}`)
  }
  return checked
}
