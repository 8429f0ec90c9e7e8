/** UDP sockets that are bound inside a namespace. */
import { createSocket, type Socket } from 'node:dgram'
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  valueError,
} from '../validate.js'
import { fromSystemError } from './failure.js'
import { handleOf } from './internal.js'
import { withLifetime } from './lifetime.js'
import type { Namespace } from './namespace.js'
import { checkHost, resolveHost } from './resolve.js'
import type { SocketAddress } from './sockaddr.js'
import { IPV6_V6ONLY, RawSocket, SO_BINDTODEVICE, SO_BROADCAST, SO_REUSEADDR, SOCK_DGRAM } from './sockets.js'

/** Options of `Namespace#bindDatagram`. */
export interface DatagramOptions {
  type: 'udp4' | 'udp6'
  /** 0 to 65535. Default: 0, one that is free (`socket.address().port`). */
  port?: number
  /** A name or an IP address of the socket's family. Default: all addresses. */
  address?: string
  /** The name of the only interface to send and receive on (SO_BINDTODEVICE, socket(7)). Default: any. */
  device?: string
  /** Whether broadcasts may be sent (SO_BROADCAST). Default: false. */
  broadcast?: boolean
  /** SO_REUSEADDR: whether other sockets with the same option may be bound to the same address and port. Default: false. */
  reuseAddress?: boolean
  /** On 'udp6': whether to take IPv6 only. Default: false. */
  ipv6Only?: boolean
  /** Ends the attempt with an AbortError, and closes the socket when it fires later. */
  signal?: AbortSignal
}

const IFNAMSIZ = 16

function checkDatagram(options: DatagramOptions): void {
  checkOptions(options, 'options', [
    'type',
    'port',
    'address',
    'device',
    'broadcast',
    'reuseAddress',
    'ipv6Only',
    'signal',
  ])
  const { type, port, address, device, broadcast, reuseAddress, ipv6Only } = options
  checkOneOf(type, 'options.type', ['udp4', 'udp6'])
  if (port !== undefined) checkInteger(port, 'options.port', 0, 65535)
  if (address !== undefined) checkHost(address, 'options.address')
  if (device !== undefined) checkDevice(device)
  if (broadcast !== undefined) checkBoolean(broadcast, 'options.broadcast')
  if (reuseAddress !== undefined) checkBoolean(reuseAddress, 'options.reuseAddress')
  if (ipv6Only !== undefined) checkBoolean(ipv6Only, 'options.ipv6Only')
  checkSignal(options.signal, 'options.signal')
}

/** An interface's name: dev_valid_name of net/core/dev.c. */
function checkDevice(value: unknown): void {
  checkString(value, 'options.device')
  const bytes = Buffer.byteLength(value)
  if (bytes === 0 || bytes >= IFNAMSIZ || /[\s\0/:]/.test(value) || value === '.' || value === '..') {
    throw valueError(
      'options.device',
      value,
      `an interface's name has 1 to ${IFNAMSIZ - 1} bytes, without spaces, '/' and ':'`,
    )
  }
}

/** See `Namespace#bindDatagram`. */
export function bindDatagram(namespace: Namespace, options: DatagramOptions): Promise<Socket> {
  checkDatagram(options)
  const { type, port = 0, address, device, broadcast = false, reuseAddress = false, ipv6Only = false, signal } = options
  const { label } = handleOf(namespace)
  handleOf(namespace).check()
  const what = `binding a UDP socket to port ${port} in ${label}`
  return withLifetime(namespace, { what, syscall: 'bind', signal }, async (lifetime) => {
    const local: SocketAddress =
      address === undefined
        ? { octets: new Uint8Array(type === 'udp4' ? 4 : 16), port, scope: 0 }
        : (await lifetime.until(resolveHost(namespace, address, port, type === 'udp4' ? 4 : 6)))[0]
    if ((local.octets.length === 4) !== (type === 'udp4')) {
      throw valueError('options.address', address, `is not an address of a ${type} socket`)
    }
    const raw = await RawSocket.open(namespace, SOCK_DGRAM, local)
    try {
      lifetime.check()
      if (reuseAddress) raw.set(SO_REUSEADDR, true)
      if (device !== undefined) raw.set(SO_BINDTODEVICE, Buffer.from(`${device}\0`))
      if (broadcast) raw.set(SO_BROADCAST, true)
      if (type === 'udp6') raw.set(IPV6_V6ONLY, ipv6Only)
      raw.bind(local)
      const socket = raw.handOver((fd) => adopt(fd, type, signal))
      // libuv sets it on every descriptor that it adopts.
      try {
        if (!reuseAddress) raw.set(SO_REUSEADDR, false)
      } catch (error) {
        socket.close()
        throw error
      }
      return socket
    } catch (error) {
      raw.close()
      throw fromSystemError(error, `cannot use a UDP socket in ${label}`)
    }
  })
}

function adopt(fd: number, type: 'udp4' | 'udp6', signal: AbortSignal | undefined): Socket {
  const socket = createSocket({ type, ...(signal === undefined ? {} : { signal }) })
  try {
    // Exclusive: in a cluster worker, the descriptor is this process's and not the primary's.
    return socket.bind({ fd, exclusive: true })
  } catch (error) {
    socket.close()
    throw error
  }
}
