/** How a packet socket is opened so that nothing is read that should not be: protocol 0, options, filter, and only then the link. */
import { release } from 'node:os'
import { isDenied, systemError } from '../errors.js'
import { native } from '../native.js'
import { decodeInt, encodeInt, LITTLE_ENDIAN } from '../netlink/bytes.js'
import { tunConstants } from '../tuntap/constants.js'
import { packetConstants } from './packet-constants.js'
import type { CheckedOptions, PacketSocketOptions, Program } from './packet-options.js'

const {
  AF_PACKET,
  SOCK_RAW,
  SOL_SOCKET,
  SO_SNDBUF,
  SO_RCVBUF,
  SO_ATTACH_FILTER,
  SO_DETACH_FILTER,
  SO_SNDBUFFORCE,
  SO_RCVBUFFORCE,
  SO_TIMESTAMPNS,
  SO_ATTACH_BPF,
  SOL_PACKET,
  PACKET_ADD_MEMBERSHIP,
  PACKET_RX_RING,
  PACKET_AUXDATA,
  PACKET_VERSION,
  PACKET_VNET_HDR,
  PACKET_FANOUT,
  PACKET_QDISC_BYPASS,
  PACKET_FANOUT_DATA,
  PACKET_IGNORE_OUTGOING,
  PACKET_OUTGOING,
  PACKET_MR_PROMISC,
  PACKET_MR_ALLMULTI,
  PACKET_FANOUT_FLAG_ROLLOVER,
  PACKET_FANOUT_FLAG_UNIQUEID,
  PACKET_FANOUT_FLAG_DEFRAG,
  TPACKET_V3,
} = packetConstants

const RECEIVE_BUFFER = 4 * 1024 * 1024
/** Some frames of 64 KiB under way. */
const SEND_BUFFER = 1024 * 1024
/** A ring's frames have no length of their own in TPACKET_V3; the kernel wants the number all the same. */
const RING_FRAME = 2048
const BLOCK_ALIGNMENT = RING_FRAME

const { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_USO4, TUN_F_USO6 } = tunConstants
const [major = 0, minor = 0] = release().split('.').map(Number)
/** What the kernel finishes of frames that are written: UDP since Linux 6.2. */
export const WRITTEN_OFFLOADS =
  TUN_F_CSUM |
  TUN_F_TSO4 |
  TUN_F_TSO6 |
  TUN_F_TSO_ECN |
  (major > 6 || (major === 6 && minor >= 2) ? TUN_F_USO4 | TUN_F_USO6 : 0)

/** A descriptor, and what messages call it. */
export interface RawPacketSocket {
  fd: number
  name: string
  hint: () => string | undefined
}

/** A packet socket that receives nothing yet, because it is of protocol 0. */
export async function openSocket(
  namespace: number,
  name: string,
  hint: () => string | undefined,
): Promise<RawPacketSocket> {
  const fd = await native.openSocket(namespace, AF_PACKET, SOCK_RAW, 0)
  if (fd >= 0) return { fd, name, hint }
  throw failure({ fd, name, hint }, fd, 'socket', 'open a packet socket on')
}

function failure({ name, hint }: RawPacketSocket, result: number, syscall: string, what: string, more?: string): Error {
  return systemError(result, syscall, `cannot ${what} ${name}`, { hint: isDenied(-result) ? hint() : more })
}

function set(socket: RawPacketSocket, level: number, option: number, name: string, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? encodeInt(value) : value
  const result = native.setSocketOption(socket.fd, level, option, bytes)
  if (result < 0) throw failure(socket, result, 'setsockopt', `set ${name} of a packet socket on`)
}

/** Everything that is set before the socket is bound. */
export function setUpPacketSocket(
  socket: RawPacketSocket,
  options: PacketSocketOptions,
  checked: CheckedOptions,
): void {
  set(socket, SOL_PACKET, PACKET_VNET_HDR, 'PACKET_VNET_HDR', 1)
  set(socket, SOL_PACKET, PACKET_AUXDATA, 'PACKET_AUXDATA', 1)
  if (options.timestamps !== false) set(socket, SOL_SOCKET, SO_TIMESTAMPNS, 'SO_TIMESTAMPNS', 1)
  if (options.bypassQdisc === true) set(socket, SOL_PACKET, PACKET_QDISC_BYPASS, 'PACKET_QDISC_BYPASS', 1)
  // Of a group, the kernel looks at the group's own setting.
  if (checked.direction === 'inbound' && checked.fanout === undefined) {
    set(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 'PACKET_IGNORE_OUTGOING', 1)
  }
  const sending = encodeInt(SEND_BUFFER)
  if (native.setSocketOption(socket.fd, SOL_SOCKET, SO_SNDBUFFORCE, sending) < 0) {
    set(socket, SOL_SOCKET, SO_SNDBUF, 'SO_SNDBUF', sending)
  }
  const size = encodeInt(options.receiveBuffer ?? RECEIVE_BUFFER)
  if (native.setSocketOption(socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, size) < 0) {
    set(socket, SOL_SOCKET, SO_RCVBUF, 'SO_RCVBUF', size)
  }
  if (checked.ring !== undefined) {
    const { blocks, blockSize, timeout } = checked.ring
    set(socket, SOL_PACKET, PACKET_VERSION, 'PACKET_VERSION', TPACKET_V3)
    // struct tpacket_req3
    const frames = (blockSize / BLOCK_ALIGNMENT) * blocks
    const request = numbers(blockSize, blocks, RING_FRAME, frames, timeout, 0, 0)
    const result = native.setSocketOption(socket.fd, SOL_PACKET, PACKET_RX_RING, request)
    if (result < 0) {
      const hint = `it takes ${blocks} times ${blockSize} bytes of the kernel's memory`
      throw failure(socket, result, 'PACKET_RX_RING', 'make the ring of a packet socket on', hint)
    }
  }
}

/** Binds the socket, lets it join its group, and gives it its filter. Returns the group's number. */
export function bindPacketSocket(
  socket: RawPacketSocket,
  index: number,
  options: PacketSocketOptions,
  { protocol, direction, filter, fanout }: CheckedOptions,
): number | undefined {
  const wanted = withDirection(filter, direction, fanout !== undefined)
  // What comes in before the group shares it is nobody's.
  setFilter(socket, fanout === undefined ? wanted : program([RETURN, 0, 0, 0]))
  // struct sockaddr_ll
  const address = new Uint8Array(20)
  const view = new DataView(address.buffer)
  view.setUint16(0, AF_PACKET, LITTLE_ENDIAN)
  view.setUint16(2, protocol)
  view.setInt32(4, index, LITTLE_ENDIAN)
  const bound = native.bindSocket(socket.fd, address)
  if (bound < 0) throw failure(socket, bound, 'bind', 'bind a packet socket to')
  if (options.promiscuous === true) addMembership(socket, index, PACKET_MR_PROMISC, 'make promiscuous:')
  if (options.allMulticast === true) addMembership(socket, index, PACKET_MR_ALLMULTI, 'receive all multicast on')
  if (fanout === undefined) return undefined
  const group = joinGroup(socket, fanout)
  setFilter(socket, wanted)
  return group
}

function joinGroup(socket: RawPacketSocket, fanout: NonNullable<CheckedOptions['fanout']>): number {
  const flags =
    (fanout.flags.has('defragment') ? PACKET_FANOUT_FLAG_DEFRAG : 0) |
    (fanout.flags.has('rollover') ? PACKET_FANOUT_FLAG_ROLLOVER : 0) |
    (fanout.group === undefined ? PACKET_FANOUT_FLAG_UNIQUEID : 0)
  const argument = encodeInt((fanout.group ?? 0) | ((fanout.mode | flags) << 16))
  const joined = native.setSocketOption(socket.fd, SOL_PACKET, PACKET_FANOUT, argument)
  if (joined < 0) {
    const hint = 'the group exists with another mode, other flags or another protocol, or the link is down'
    throw failure(socket, joined, 'PACKET_FANOUT', 'join the fanout group of', hint)
  }
  const { program: chosen } = fanout
  const result =
    chosen === undefined
      ? 0
      : typeof chosen === 'number'
        ? native.setSocketOption(socket.fd, SOL_PACKET, PACKET_FANOUT_DATA, encodeInt(chosen))
        : native.setSocketProgram(socket.fd, SOL_PACKET, PACKET_FANOUT_DATA, chosen)
  if (result < 0) throw failure(socket, result, 'PACKET_FANOUT_DATA', 'set the program of the fanout group of')
  const value = new Uint8Array(4)
  const length = native.getSocketOption(socket.fd, SOL_PACKET, PACKET_FANOUT, value)
  if (length < 0) throw failure(socket, length, 'PACKET_FANOUT', 'read the fanout group of')
  return decodeInt(value) & 0xffff
}

function addMembership(socket: RawPacketSocket, index: number, type: number, what: string): void {
  // struct packet_mreq
  const request = new Uint8Array(16)
  const view = new DataView(request.buffer)
  view.setInt32(0, index, LITTLE_ENDIAN)
  view.setUint16(4, type, LITTLE_ENDIAN)
  const result = native.setSocketOption(socket.fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
  if (result < 0) throw failure(socket, result, 'PACKET_ADD_MEMBERSHIP', what)
}

// Classic BPF (linux/bpf_common.h): BPF_RET | BPF_K, BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K.
const RETURN = 0x06
const LOAD = 0x20
const JUMP_EQUAL = 0x15
/** SKF_AD_OFF + SKF_AD_PKTTYPE (linux/filter.h). */
const PACKET_TYPE = 0xffff_f004
const WHOLE = 0xffff_ffff

type Instruction = readonly [code: number, jt: number, jf: number, k: number]

function program(...instructions: Instruction[]): Uint8Array {
  const bytes = new Uint8Array(8 * instructions.length)
  const view = new DataView(bytes.buffer)
  instructions.forEach(([code, jt, jf, k], i) => {
    view.setUint16(8 * i, code, LITTLE_ENDIAN)
    view.setUint8(8 * i + 2, jt)
    view.setUint8(8 * i + 3, jf)
    view.setUint32(8 * i + 4, k, LITTLE_ENDIAN)
  })
  return bytes
}

/** The filter, with a test of the direction before it where no option of the socket makes that. */
function withDirection(
  filter: Program | undefined,
  direction: CheckedOptions['direction'],
  inGroup: boolean,
): Program | undefined {
  if (typeof filter === 'number' || direction === 'both' || (direction === 'inbound' && !inGroup)) return filter
  const [jt, jf] = direction === 'outbound' ? [1, 0] : [0, 1]
  const test = program([LOAD, 0, 0, PACKET_TYPE], [JUMP_EQUAL, jt, jf, PACKET_OUTGOING], [RETURN, 0, 0, 0])
  return Buffer.concat([test, filter ?? program([RETURN, 0, 0, WHOLE])])
}

function setFilter(socket: RawPacketSocket, filter: Program | undefined): void {
  if (filter === undefined) {
    // There may be none.
    native.setSocketOption(socket.fd, SOL_SOCKET, SO_DETACH_FILTER, encodeInt(0))
    return
  }
  if (typeof filter === 'number') {
    set(socket, SOL_SOCKET, SO_ATTACH_BPF, 'SO_ATTACH_BPF', filter)
    return
  }
  const result = native.setSocketProgram(socket.fd, SOL_SOCKET, SO_ATTACH_FILTER, filter)
  if (result < 0) throw failure(socket, result, 'SO_ATTACH_FILTER', 'set the filter of a packet socket on')
}

function numbers(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    view.setUint32(4 * i, value, LITTLE_ENDIAN)
  })
  return bytes
}
