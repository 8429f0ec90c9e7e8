/** TCP sockets that are connected inside a namespace. */
import { Socket } from 'node:net'
import { NetkitError, systemError } from '../errors.js'
import { checkBoolean, checkInteger, checkOptions, checkSignal, typeError, valueError } from '../validate.js'
import { connectTo } from './connecting.js'
import { handleOf } from './internal.js'
import { type Lifetime, withLifetime } from './lifetime.js'
import type { Namespace } from './namespace.js'
import { checkHost, familyOfHost, parseHost, resolveHost } from './resolve.js'
import { encodeSocketAddress, formatSocketAddress, type SocketAddress } from './sockaddr.js'
import { RawSocket, SO_REUSEADDR, SOCK_STREAM } from './sockets.js'

/** Options of `Namespace#connect`. */
export interface ConnectOptions {
  /** 0 to 65535. */
  port: number
  /** A name or an IP address. Default: 'localhost'. */
  host?: string
  /** Take only the IPv4 or the IPv6 addresses of a name. Default: both, in the resolver's order. */
  family?: 4 | 6
  /** The local IP address. Default: the kernel's choice. */
  localAddress?: string
  /** The local port. Default: the kernel's choice. */
  localPort?: number
  /** Milliseconds for everything, name resolution and all addresses. Default: the kernel's own limit (about two minutes). */
  timeout?: number
  /** Ends the attempt with an AbortError, and destroys the socket when it fires later. */
  signal?: AbortSignal
  /** As in `net.connect`: whether the writable side stays open when the other side ends. Default: false. */
  allowHalfOpen?: boolean
}

function checkConnect(options: ConnectOptions): void {
  checkOptions(options, 'options', [
    'port',
    'host',
    'family',
    'localAddress',
    'localPort',
    'timeout',
    'signal',
    'allowHalfOpen',
  ])
  const { port, host, family, localAddress, localPort, timeout, allowHalfOpen } = options
  checkInteger(port, 'options.port', 0, 65535)
  if (host !== undefined) checkHost(host, 'options.host')
  if (family !== undefined) checkFamily(family, host)
  if (localAddress !== undefined) {
    checkHost(localAddress, 'options.localAddress')
    if (familyOfHost(localAddress) === undefined) {
      throw valueError('options.localAddress', localAddress, 'is not an IP address')
    }
  }
  if (localPort !== undefined) checkInteger(localPort, 'options.localPort', 0, 65535)
  if (timeout !== undefined) checkInteger(timeout, 'options.timeout', 1, 0x7fffffff)
  checkSignal(options.signal, 'options.signal')
  if (allowHalfOpen !== undefined) checkBoolean(allowHalfOpen, 'options.allowHalfOpen')
}

function checkFamily(family: unknown, host: string | undefined): void {
  if (family !== 4 && family !== 6) throw typeError('options.family', '4 or 6', family)
  const literal = host === undefined ? undefined : familyOfHost(host)
  if (literal !== undefined && literal !== family)
    throw valueError('options.host', host, `is not an IPv${family} address`)
}

/** See `Namespace#connect`. */
export function connect(namespace: Namespace, options: ConnectOptions): Promise<Socket> {
  checkConnect(options)
  const { port, host = 'localhost', family, signal, timeout, allowHalfOpen = false } = options
  const { label } = handleOf(namespace)
  const what = `connecting to ${host} port ${port} in ${label}`
  handleOf(namespace).check()
  return withLifetime(namespace, { what, syscall: 'connect', signal, timeout }, async (lifetime) => {
    const addresses = await lifetime.until(resolveHost(namespace, host, port, family))
    const errors: unknown[] = []
    for (const address of addresses) {
      try {
        const raw = await attempt(namespace, address, options, lifetime)
        return raw.handOver((fd) => {
          lifetime.check()
          return new Socket({ fd, readable: true, writable: true, allowHalfOpen, signal })
        })
      } catch (error) {
        lifetime.check()
        errors.push(error)
      }
    }
    throw errors.length === 1 ? errors[0] : allFailed(errors, host, port, addresses, label)
  })
}

/** The first address's error, with the others' as its cause. */
function allFailed(errors: unknown[], host: string, port: number, addresses: SocketAddress[], label: string): unknown {
  const [first] = errors
  if (!(first instanceof NetkitError)) return first
  const tried = addresses.map(formatSocketAddress).join(', ')
  return new NetkitError({
    message: `cannot connect to ${host} port ${port} in ${label} (tried ${tried})`,
    errno: -first.errno,
    syscall: first.syscall,
    hint: first.hint,
    cause: new AggregateError(errors, `no address of ${host} answers`),
  })
}

async function attempt(
  namespace: Namespace,
  address: SocketAddress,
  { localAddress, localPort = 0 }: ConnectOptions,
  lifetime: Lifetime,
): Promise<RawSocket> {
  const raw = await RawSocket.open(namespace, SOCK_STREAM, address)
  try {
    lifetime.check()
    if (localAddress !== undefined || localPort !== 0) {
      raw.set(SO_REUSEADDR, true)
      raw.bind(localSocketAddress(namespace, localAddress, localPort, address))
    }
    const error = await connectTo(raw.fd, encodeSocketAddress(address), lifetime)
    if (error !== 0) {
      const { label } = handleOf(namespace)
      throw systemError(error, 'connect', `cannot connect to ${formatSocketAddress(address)} in ${label}`)
    }
    return raw
  } catch (error) {
    raw.close()
    throw error
  }
}

function localSocketAddress(
  namespace: Namespace,
  host: string | undefined,
  port: number,
  remote: SocketAddress,
): SocketAddress {
  const given = host === undefined ? undefined : parseHost(namespace, host, port)
  return given ?? { octets: new Uint8Array(remote.octets.length), port, scope: 0 }
}
