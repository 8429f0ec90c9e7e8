/** Opening of netlink sockets with the options that netkit wants, and the receive buffers that they share. */
import { errnoNumber } from '../errno.js'
import { systemError } from '../errors.js'
import { native } from '../native.js'
import { decodeInt, encodeInt, LITTLE_ENDIAN } from './bytes.js'
import { netlinkConstants } from './message.js'

const { SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK } =
  netlinkConstants

const AF_NETLINK = 16
const SOCK_RAW = 3
// asm-generic/socket.h; the FORCE variants pass net.core.rmem_max and need CAP_NET_ADMIN in the initial user namespace.
export const SOL_SOCKET = 1
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33

export interface SocketOptions {
  /** Multicast groups to join, by number (RTNLGRP_LINK is 1). */
  groups?: readonly number[]
  /** Bytes of the receive buffer to ask for. */
  receiveBuffer?: number
}

const protocolNames = new Map<number, string>(
  Object.entries(netlinkConstants)
    .filter(([name]) => /^NETLINK_(ROUTE|NETFILTER|GENERIC|SOCK_DIAG)$/.test(name))
    .map(([name, number]) => [number, name]),
)

const losses: readonly number[] = [-errnoNumber('ENOBUFS'), -errnoNumber('EMSGSIZE')]

/**
 * True for a negated errno of receiving after which the next datagram can be received: some were dropped, or one did not fit.
 * After ENOBUFS the kernel drops every other, and does not say so again, until the socket's queue is empty.
 */
export function isLoss(result: number): boolean {
  return losses.includes(result)
}

/** Opens a netlink socket inside a namespace (-1: the environment's own) and returns its descriptor, owned by the environment. */
export async function openNetlinkSocket(
  namespace: number,
  protocol: number,
  { groups = [], receiveBuffer = 1 << 20 }: SocketOptions = {},
): Promise<number> {
  const name = protocolNames.get(protocol) ?? `protocol ${protocol}`
  const fd = await native.openSocket(namespace, AF_NETLINK, SOCK_RAW, protocol)
  if (fd < 0) throw systemError(fd, 'socket', `cannot open a netlink socket (${name})`)
  const set = (level: number, option: number, value: number) =>
    native.setSocketOption(fd, level, option, encodeInt(value))
  // Each of these three is missing on some kernel: answers are then less precise, and nothing else is lost.
  set(SOL_NETLINK, NETLINK_EXT_ACK, 1)
  set(SOL_NETLINK, NETLINK_CAP_ACK, 1)
  set(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
  if (set(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer) < 0) set(SOL_SOCKET, SO_RCVBUF, receiveBuffer)
  if (set(SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20) < 0) set(SOL_SOCKET, SO_SNDBUF, 1 << 20)
  // sockaddr_nl of zeros but the family: the kernel picks the port.
  const address = new Uint8Array(12)
  new DataView(address.buffer).setUint16(0, AF_NETLINK, LITTLE_ENDIAN)
  let status = native.bindSocket(fd, address)
  let failed = 'bind'
  for (const group of groups) {
    if (status < 0) break
    status = joinGroup(fd, group)
    failed = 'setsockopt'
  }
  if (status < 0) {
    await native.closeDescriptor(fd)
    throw systemError(status, failed, `cannot set up a netlink socket (${name})`)
  }
  return fd
}

/** Makes a socket hear what is sent to a multicast group. Returns 0 or a negated errno; joining twice does no harm. */
export function joinGroup(fd: number, group: number): number {
  return native.setSocketOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, encodeInt(group))
}

/** The bytes that the socket's receive buffer really got (half of what the kernel reports, which doubles it: socket(7)). */
export function receiveBufferOf(fd: number): number {
  const value = new Uint8Array(4)
  if (native.getSocketOption(fd, SOL_SOCKET, SO_RCVBUF, value) < 0) return 106_496
  return decodeInt(value) / 2
}

/** The kernel sends dumps in datagrams of up to 32 KiB: eight or more fit. */
const SLAB_SIZE = 256 * 1024
const spare: Uint8Array[] = []

/** A receive buffer, from those that are not in use: sockets are many, and few receive at the same time. */
export function takeSlab(): Uint8Array {
  return spare.pop() ?? new Uint8Array(SLAB_SIZE)
}

export function returnSlab(slab: Uint8Array): void {
  if (spare.length < 4) spare.push(slab)
}
