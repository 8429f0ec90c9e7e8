/** TCP servers that listen inside a namespace. */
import cluster from 'node:cluster'
import { Server, type Socket } from 'node:net'
import { AbortError, hasCode, namedError } from '../errors.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOptions,
  checkSignal,
  typeError,
  valueError,
} from '../validate.js'
import { fromSystemError } from './failure.js'
import { handleOf } from './internal.js'
import { type Lifetime, withLifetime } from './lifetime.js'
import type { Namespace } from './namespace.js'
import { checkHost, resolveHost } from './resolve.js'
import { formatSocketAddress, type SocketAddress } from './sockaddr.js'
import { IPV6_V6ONLY, RawSocket, SO_REUSEADDR, SOCK_STREAM } from './sockets.js'

/** Options of `Namespace#listen`. */
export interface ListenOptions {
  /** 0 to 65535. Default: 0, one that is free (`server.address().port`). */
  port?: number
  /** A name or an IP address. Default: '::', which takes IPv4 too; '0.0.0.0' where there is no IPv6. */
  host?: string
  /** How many connections may wait to be accepted; net.core.somaxconn is a limit to it. Default: 511. */
  backlog?: number
  /** On an IPv6 address: whether to take IPv6 only. Default: false. */
  ipv6Only?: boolean
  /** SO_REUSEADDR: whether an address is free while old connections of it are in TIME_WAIT. Default: true. */
  reuseAddress?: boolean
  /** Ends the attempt with an AbortError, and closes the server when it fires later. */
  signal?: AbortSignal
  /** The server that is to listen: an `http.Server`, an `https.Server`, a `net.Server`. Default: a new `net.Server`. */
  server?: Server
}

const DEFAULT_BACKLOG = 511

function checkListen(options: ListenOptions, listener: unknown): void {
  checkOptions(options, 'options', ['port', 'host', 'backlog', 'ipv6Only', 'reuseAddress', 'signal', 'server'])
  const { port, host, backlog, ipv6Only, reuseAddress, server } = options
  if (port !== undefined) checkInteger(port, 'options.port', 0, 65535)
  if (host !== undefined) checkHost(host, 'options.host')
  if (backlog !== undefined) checkInteger(backlog, 'options.backlog', 1, 0x7fffffff)
  if (ipv6Only !== undefined) checkBoolean(ipv6Only, 'options.ipv6Only')
  if (reuseAddress !== undefined) checkBoolean(reuseAddress, 'options.reuseAddress')
  checkSignal(options.signal, 'options.signal')
  if (server !== undefined) {
    if (!(server instanceof Server)) throw typeError('options.server', 'a net.Server', server)
    if (server.listening) throw valueError('options.server', server, 'listens already')
  }
  if (listener !== undefined) checkFunction(listener, 'listener')
}

/** See `Namespace#listen`. */
export function listen(
  namespace: Namespace,
  options: ListenOptions,
  listener?: (socket: Socket) => void,
): Promise<Server> {
  checkListen(options, listener)
  const { port = 0, host, backlog = DEFAULT_BACKLOG, signal } = options
  const { label } = handleOf(namespace)
  handleOf(namespace).check()
  if (cluster.isWorker) {
    // Node would ask the primary process to listen on its descriptor of this number.
    throw namedError('EOPNOTSUPP', 'listen', `cannot listen in ${label} from a cluster worker`)
  }
  const what = `listening on port ${port} in ${label}`
  return withLifetime(namespace, { what, syscall: 'listen', signal }, async (lifetime) => {
    const [raw, address] = await openBound(namespace, host, port, options, lifetime)
    const server = options.server ?? new Server()
    let started = false
    try {
      raw.handOver((fd) => server.listen({ fd, ...(signal === undefined ? {} : { signal }) }, backlog))
      started = true
      await untilListening(server, lifetime, what)
    } catch (error) {
      if (started && server.listening) server.close()
      throw fromSystemError(error, `cannot listen on ${formatSocketAddress(address)} in ${label}`)
    }
    if (listener !== undefined) server.on('connection', listener)
    return server
  })
}

/** Waits for what comes of `Server#listen`, which tells it in a later turn. */
async function untilListening(server: Server, lifetime: Lifetime, what: string): Promise<void> {
  let listeners: [event: string, listener: (error: Error) => void][] = []
  const listening = new Promise<void>((resolve, reject) => {
    listeners = [
      ['listening', () => resolve()],
      ['error', reject],
      ['close', () => reject(new AbortError(`${what} was aborted: the server was closed`))],
    ]
  })
  for (const [event, listener] of listeners) server.on(event, listener)
  try {
    await lifetime.until(listening)
  } finally {
    for (const [event, listener] of listeners) server.off(event, listener)
  }
}

async function openBound(
  namespace: Namespace,
  host: string | undefined,
  port: number,
  options: ListenOptions,
  lifetime: Lifetime,
): Promise<[RawSocket, SocketAddress]> {
  if (host !== undefined) {
    const [address] = await lifetime.until(resolveHost(namespace, host, port))
    return [await bound(namespace, address, options, lifetime), address]
  }
  const any6 = { octets: new Uint8Array(16), port, scope: 0 }
  const any4 = { octets: new Uint8Array(4), port, scope: 0 }
  try {
    return [await bound(namespace, any6, options, lifetime), any6]
  } catch (error) {
    // No IPv6 in this kernel (ipv6.disable=1), or in this namespace (disable_ipv6).
    if (!hasCode(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL')) throw error
    return [await bound(namespace, any4, options, lifetime), any4]
  }
}

async function bound(
  namespace: Namespace,
  address: SocketAddress,
  { ipv6Only = false, reuseAddress = true }: ListenOptions,
  lifetime: Lifetime,
): Promise<RawSocket> {
  const raw = await RawSocket.open(namespace, SOCK_STREAM, address)
  try {
    lifetime.check()
    if (reuseAddress) raw.set(SO_REUSEADDR, true)
    // Always set: the default is a sysctl of the namespace (net.ipv6.bindv6only).
    if (address.octets.length === 16) raw.set(IPV6_V6ONLY, ipv6Only)
    raw.bind(address)
    return raw
  } catch (error) {
    raw.close()
    throw error
  }
}
