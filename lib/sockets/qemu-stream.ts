/** QEMU's `-netdev stream`: frames after their lengths, over Unix and TCP streams. */
import { AbortError, type NetkitError, systemError, throwIfAborted } from '../errors.js'
import { handleOf } from '../namespace/internal.js'
import { withLifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { native } from '../native.js'
import { decodeInt } from '../netlink/bytes.js'
import { SOL_SOCKET } from '../netlink/socket.js'
import { PacketEnd } from '../packets/end.js'
import { hangUp } from '../packets/hang-up.js'
import { takeOver } from '../packets/received.js'
import { unixConstants } from '../packets/unix.js'
import { checkBoolean, checkInteger, checkOptions, valueError } from '../validate.js'
import { checkSocketEnd, closeOnAbort, type SocketEndOptions, socketEndKeys } from './setup.js'
import { StreamLink, type StreamOwner } from './stream-link.js'
import { checkTarget, connectStream, StreamListener, type StreamTarget, shownTarget } from './stream-target.js'

/** Options of `openQemuStream`: either `path`, or `host` and `port`, or `fd`. */
export interface QemuStreamOptions extends SocketEndOptions {
  /** A Unix socket's path; one that begins with a zero byte is an abstract address. */
  path?: string
  /** A name or an IP address. Default: 'localhost'. */
  host?: string
  /** The TCP port: 1 to 65535; 0 with `server`, for one that is free. */
  port?: number
  /** A connected stream socket. The end takes it over, and closes it. */
  fd?: number
  /**
   * True listens, as for QEMU's `server=off`, and takes one connection after the other; others wait until it ends. A socket file
   * that a process has left behind is replaced. `serveQemuStream` takes any number at a time. Default: false.
   */
  server?: boolean
  /**
   * Milliseconds from the end of a connection, or from an attempt that failed, to the next attempt: the end then outlives its
   * connections, and opens without one. 1 to 86,400,000. Default: the end is closed with its connection.
   */
  reconnect?: number
  /** Where a TCP socket, or one with an abstract address, is. Default: the process's own namespace. */
  namespace?: Namespace
}

const streamKeys = ['path', 'host', 'port', 'fd', 'server', 'reconnect', 'namespace', ...socketEndKeys]

function checkQemuStream(options: QemuStreamOptions): void {
  checkOptions(options, 'options', streamKeys)
  const { path, host, port, fd, server, reconnect, namespace } = options
  if (namespace !== undefined) handleOf(namespace, 'options.namespace')
  if (server !== undefined) checkBoolean(server, 'options.server')
  if (reconnect !== undefined) checkInteger(reconnect, 'options.reconnect', 1, 86_400_000)
  if (server === true && reconnect !== undefined) {
    throw valueError('options.reconnect', reconnect, 'a server takes the next connection by itself')
  }
  checkSocketEnd(options)
  if (fd === undefined) {
    checkTarget({ path, host, port }, server === true)
    return
  }
  checkInteger(fd, 'options.fd', 0, 0x7fff_ffff)
  for (const key of ['path', 'host', 'port', 'server', 'reconnect'] as const) {
    if (options[key] !== undefined) throw valueError(`options.${key}`, options[key], 'is given beside fd')
  }
}

/**
 * An end that speaks as QEMU's `-netdev stream` does (and the older `-netdev socket`): each frame after its length, in 32 bits of
 * network order.
 *
 * What the peer does is never an error: when the connection ends, iterations end quietly, and `reason` says why: EPIPE when the
 * peer closed it, EPROTO when it announced a frame of no bytes or of more than 65,600, ECONNRESET and others as the kernel has
 * them. While there is no connection, what is written is dropped and counted (ENOTCONN).
 *
 * Events beside a stream's: 'connect' when there is a connection, with `server` and `reconnect` each time; 'disconnect' when it has
 * ended, with a NetkitError that says why. Without `server` and `reconnect`, 'close' follows.
 *
 * Frames of less than 14 bytes are dropped in both directions, and counted in `stats().refused`.
 */
export class QemuStream extends PacketEnd implements StreamOwner {
  readonly #link: StreamLink
  #reason: NetkitError | undefined
  readonly #target: StreamTarget | undefined

  /** @internal */
  constructor(link: StreamLink, options: SocketEndOptions, target?: StreamTarget) {
    super({ ...options, device: link.device, mtu: 1500 })
    this.#link = link
    this.#target = target
    link.owner = this
  }

  /** Whether there is a connection now. */
  get connected(): boolean {
    return this.#link.connected && !this.destroyed
  }

  /** Why the latest connection has ended. */
  get reason(): NetkitError | undefined {
    return this.#reason
  }

  /** With `server`: the TCP port that it listens on. */
  get port(): number | undefined {
    return this.#target?.port
  }

  /** @internal */
  up(): void {
    this.emit('connect')
  }

  /** @internal */
  down(reason: NetkitError, last: boolean): void {
    this.#reason = reason
    this.emit('disconnect', reason)
    if (last) hangUp(this)
  }
}

/** Takes over a descriptor that is a connected stream socket. */
function adopt(fd: number): void {
  const type = new Uint8Array(4)
  const result = native.getSocketOption(fd, SOL_SOCKET, unixConstants.SO_TYPE, type)
  if (result < 0) throw systemError(result, 'getsockopt', `descriptor ${fd} cannot be used as a socket`)
  if (decodeInt(type) !== unixConstants.SOCK_STREAM) throw valueError('options.fd', fd, 'is no stream socket')
  takeOver(fd, true)
}

/**
 * Opens the other side of a QEMU `-netdev stream`:
 *
 *     qemu-system-x86_64 -netdev stream,id=n0,server=on,addr.type=unix,addr.path=/run/vm.sock …
 *     await openQemuStream({ path: '/run/vm.sock', reconnect: 1000 })
 *
 * Without `server` and `reconnect` this resolves when it is connected. With `reconnect` one attempt is made before it resolves:
 * see `connected`. With `server` it resolves when it listens.
 *
 * Needs no privilege of its own. A server's socket file is removed when the end is closed.
 *
 * @throws NetkitError ECONNREFUSED, ENOENT, EACCES, ETIMEDOUT (connect); EADDRINUSE when a process listens on the path, or the
 * file there is no socket; EMFILE; what resolving a name throws
 */
export async function openQemuStream(options: QemuStreamOptions): Promise<QemuStream> {
  checkQemuStream(options)
  const { signal, fd, server, reconnect, namespace = currentNamespace() } = options
  const target: StreamTarget = { path: options.path, host: options.host, port: options.port }
  const shown = fd === undefined ? shownTarget(target) : `descriptor ${fd}`
  throwIfAborted(signal, `opening ${shown}`)
  let end: QemuStream
  if (fd !== undefined) {
    adopt(fd)
    end = new QemuStream(StreamLink.over(fd, shown, options), options)
  } else {
    const what = `${server === true ? 'listening on' : 'connecting to'} ${shown}`
    const syscall = server === true ? 'listen' : 'connect'
    end = await withLifetime(namespace, { what, syscall, signal }, async (lifetime) => {
      if (server === true) {
        // The listener may accept only when the link is there.
        const late: { link?: StreamLink } = {}
        const listener = await StreamListener.open(namespace, target, 1, lifetime, (connection) => {
          listener.stop()
          late.link?.take(connection)
        })
        try {
          late.link = StreamLink.lasting(shownTarget(listener.target), { how: 'accept', listener }, options)
        } catch (error) {
          await listener.close()
          throw error
        }
        const made = new QemuStream(late.link, options, listener.target)
        late.link.seek()
        return made
      }
      if (reconnect === undefined) {
        const connection = await connectStream(namespace, target, lifetime)
        return new QemuStream(StreamLink.over(connection, shown, options), options)
      }
      const successor = { how: 'connect', namespace, target, delay: reconnect } as const
      const link = StreamLink.lasting(shown, successor, options)
      const made = new QemuStream(link, options)
      try {
        link.take(await connectStream(namespace, target, lifetime))
      } catch (error) {
        if (error instanceof AbortError) {
          await made.close()
          throw error
        }
        link.seek()
      }
      return made
    })
  }
  closeOnAbort(end, signal)
  return end
}
