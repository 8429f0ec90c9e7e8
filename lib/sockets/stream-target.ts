/** Where a stream goes to or listens: a Unix path, or a host and a port. Connecting and listening there. */
import { errnoNumber } from '../errno.js'
import { systemError } from '../errors.js'
import { connectTo } from '../namespace/connecting.js'
import { descriptorOf, handleOf } from '../namespace/internal.js'
import type { Lifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { checkHost, resolveHost } from '../namespace/resolve.js'
import { encodeSocketAddress, formatSocketAddress, type SocketAddress } from '../namespace/sockaddr.js'
import { RawSocket, SO_REUSEADDR } from '../namespace/sockets.js'
import { native, type Poller } from '../native.js'
import { encodeInt } from '../netlink/bytes.js'
import { checkUnixPath, encodeUnixAddress, shownPath, unixConstants } from '../packets/unix.js'
import { checkInteger, typeError, valueError } from '../validate.js'
import { socketConstants } from './constants.js'
import { decodeEndpoint, formatEndpoint } from './endpoint.js'
import { openUnixSocket } from './setup.js'
import { bindUnixPath } from './unix-path.js'

/** A Unix socket's path, or a host and a port of TCP. */
export interface StreamTarget {
  path?: string | undefined
  host?: string | undefined
  port?: number | undefined
}

const { SOCK_STREAM } = unixConstants
const EAGAIN = -errnoNumber('EAGAIN')
const READABLE = 1
/** How long a listener rests that has no descriptor left for a connection, in milliseconds. */
const REST = 100

export function checkTarget({ path, host, port }: StreamTarget, listens: boolean): void {
  if (path !== undefined) {
    checkUnixPath(path, 'options.path')
    if (host !== undefined || port !== undefined) throw valueError('options.path', path, 'is given beside host or port')
    return
  }
  if (host !== undefined) checkHost(host, 'options.host')
  else if (port === undefined) throw typeError('options.path', "a Unix socket's path, or `port` a number", path)
  checkInteger(port, 'options.port', listens ? 0 : 1, 65_535)
}

export function shownTarget({ path, host = 'localhost', port = 0 }: StreamTarget): string {
  return path === undefined ? formatEndpoint({ address: host, port }) : shownPath(path)
}

/** Sends small frames at once. */
function withoutDelay(fd: number): void {
  native.setSocketOption(fd, socketConstants.IPPROTO_TCP, socketConstants.TCP_NODELAY, encodeInt(1))
}

/** A connected socket: a descriptor of the environment's. */
export async function connectStream(namespace: Namespace, target: StreamTarget, lifetime: Lifetime): Promise<number> {
  if (target.path !== undefined) {
    const fd = await openUnixSocket(namespace, SOCK_STREAM)
    try {
      lifetime.check()
      await connected(fd, encodeUnixAddress(target.path), shownPath(target.path), lifetime)
      return fd
    } catch (error) {
      native.closeDescriptorNow(fd)
      throw error
    }
  }
  const { host = 'localhost', port = 0 } = target
  const addresses = await lifetime.until(resolveHost(namespace, host, port))
  let first: unknown
  for (const address of addresses) {
    const raw = await RawSocket.open(namespace, SOCK_STREAM, address)
    try {
      lifetime.check()
      withoutDelay(raw.fd)
      await connected(raw.fd, encodeSocketAddress(address), formatSocketAddress(address), lifetime)
      return raw.fd
    } catch (error) {
      raw.close()
      lifetime.check()
      first ??= error
    }
  }
  throw first
}

async function connected(fd: number, address: Uint8Array, shown: string, lifetime: Lifetime): Promise<void> {
  const result = await connectTo(fd, address, lifetime)
  if (result !== 0) throw systemError(result, 'connect', `cannot connect to ${shown}`)
}

/** A listening socket. Accepts while it is started. */
export class StreamListener {
  readonly #poller: Poller
  #timer: NodeJS.Timeout | undefined
  #started = false
  #closed: Promise<void> | undefined

  private constructor(
    readonly fd: number,
    /** Where it listens. */
    readonly target: StreamTarget,
    readonly unlink: () => void,
    accepted: (fd: number) => void,
  ) {
    this.#poller = native.createPoller(fd, () => {
      // One a turn, so that a stop in between is heard.
      const connection = native.acceptSocket(this.fd)
      if (connection >= 0) {
        if (target.path === undefined) withoutDelay(connection)
        accepted(connection)
      } else if (connection !== EAGAIN) this.#rest()
      if (this.#started) this.#poller.start(READABLE)
    })
  }

  static async open(
    namespace: Namespace,
    target: StreamTarget,
    backlog: number,
    lifetime: Lifetime,
    accepted: (fd: number) => void,
  ): Promise<StreamListener> {
    const { fd, unlink, address } = await bound(namespace, target, lifetime)
    const result = native.listenSocket(fd, backlog)
    if (result === 0) {
      const port = address === undefined ? {} : { port: portOf(fd) }
      return new StreamListener(fd, { ...target, ...port }, unlink, accepted)
    }
    unlink()
    native.closeDescriptorNow(fd)
    throw systemError(result, 'listen', `cannot listen on ${shownTarget(target)}`)
  }

  start(): void {
    if (this.#closed !== undefined) return
    this.#started = true
    this.#poller.start(READABLE)
  }

  stop(): void {
    this.#started = false
    clearTimeout(this.#timer)
    if (this.#closed === undefined) this.#poller.stop()
  }

  /** Whether the process may not end while it waits. It may not at first. */
  refer(isReferenced: boolean): void {
    if (this.#closed !== undefined) return
    if (isReferenced) this.#poller.ref()
    else this.#poller.unref()
  }

  /** EMFILE and the like: the connection goes on waiting, and would wake this at once. */
  #rest(): void {
    if (!this.#started) return
    this.stop()
    this.#timer = setTimeout(() => this.start(), REST)
    this.#timer.unref()
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.stop()
      this.#poller.close()
      this.unlink()
      this.#closed = native.closeDescriptor(this.fd).then(() => {})
    }
    return this.#closed
  }
}

interface Bound {
  fd: number
  unlink: () => void
  address?: SocketAddress
}

async function bound(namespace: Namespace, target: StreamTarget, lifetime: Lifetime): Promise<Bound> {
  if (target.path !== undefined) {
    const fd = await openUnixSocket(namespace, SOCK_STREAM)
    try {
      lifetime.check()
      return { fd, unlink: await bindUnixPath(fd, namespace, target.path, SOCK_STREAM) }
    } catch (error) {
      native.closeDescriptorNow(fd)
      throw error
    }
  }
  handleOf(namespace).check()
  descriptorOf(namespace)
  const [address] = await lifetime.until(resolveHost(namespace, target.host ?? 'localhost', target.port ?? 0))
  const raw = await RawSocket.open(namespace, SOCK_STREAM, address)
  try {
    lifetime.check()
    raw.set(SO_REUSEADDR, true)
    raw.bind(address)
    return { fd: raw.fd, unlink: () => {}, address }
  } catch (error) {
    raw.close()
    throw error
  }
}

function portOf(fd: number): number {
  const bytes = new Uint8Array(128)
  return decodeEndpoint(bytes.subarray(0, Math.max(0, native.socketName(fd, bytes))))?.port ?? 0
}
