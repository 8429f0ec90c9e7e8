/** A server for any number of QEMU's `-netdev stream`: an end for each. */
import { handleOf } from '../namespace/internal.js'
import { withLifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { native } from '../native.js'
import { checkFunction, checkInteger, checkOptions } from '../validate.js'
import { QemuStream } from './qemu-stream.js'
import { checkSocketEnd, type SocketEndOptions, socketEndKeys } from './setup.js'
import { StreamLink } from './stream-link.js'
import { checkTarget, StreamListener, shownTarget } from './stream-target.js'

/** Options of `serveQemuStream`: either `path`, or `host` and `port`. */
export interface QemuServerOptions extends SocketEndOptions {
  /** A Unix socket's path; one that begins with a zero byte is an abstract address. A file that a process has left behind is replaced. */
  path?: string
  /** A name or an IP address. Default: 'localhost'. */
  host?: string
  /** The TCP port: 0 to 65535, 0 for one that is free. */
  port?: number
  /** How many connections may wait to be accepted; net.core.somaxconn is a limit to it. Default: 128. */
  backlog?: number
  /** Where a TCP socket, or one with an abstract address, is. Default: the process's own namespace. */
  namespace?: Namespace
  /** Ends the attempt with an AbortError, and closes the server when it fires later. */
  signal?: AbortSignal
}

/** What `serveQemuStream` has begun: it listens, and keeps the process alive, until it is closed, unless `unref()` was called. */
export class QemuStreamServer {
  readonly #ends = new Set<QemuStream>()
  readonly #listener: StreamListener
  #closed: Promise<void> | undefined
  #forget: (() => void) | undefined

  /** @internal */
  constructor(listener: StreamListener) {
    this.#listener = listener
  }

  /** The Unix socket's path. */
  get path(): string | undefined {
    return this.#listener.target.path
  }

  /** The TCP port that it listens on. */
  get port(): number | undefined {
    return this.#listener.target.port
  }

  /** The ends whose connections are there. */
  get ends(): ReadonlySet<QemuStream> {
    return this.#ends
  }

  /** @internal */
  add(end: QemuStream): void {
    this.#ends.add(end)
    end.once('close', () => this.#ends.delete(end))
  }

  /** @internal */
  closeOn(signal: AbortSignal): void {
    const aborted = () => void this.close()
    signal.addEventListener('abort', aborted, { once: true })
    this.#forget = () => signal.removeEventListener('abort', aborted)
  }

  /** Listening keeps the process alive. This is so unless `unref()` was called. */
  ref(): this {
    this.#listener.refer(true)
    return this
  }

  /** The process may end while this listens; its ends have an `unref()` of their own. */
  unref(): this {
    this.#listener.refer(false)
    return this
  }

  /** Listens no more, and closes all ends. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#forget?.()
    await this.#listener.close()
    await Promise.all([...this.#ends].map((end) => end.close()))
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Serves guests whose network is a QEMU `-netdev stream` with `server=off`: each connection becomes an end of its own, which
 * `listener` gets.
 *
 *     qemu-system-x86_64 -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/run/net.sock,reconnect-ms=1000 …
 *     await serveQemuStream({ path: '/run/net.sock' }, (end) => …)
 *
 * An end is closed with its connection. Needs no privilege of its own.
 *
 * @throws NetkitError EADDRINUSE when a process listens there, or the file is no socket; EACCES, ENOENT (bind); EMFILE; what
 * resolving a name throws
 */
export async function serveQemuStream(
  options: QemuServerOptions,
  listener: (end: QemuStream) => void,
): Promise<QemuStreamServer> {
  checkOptions(options, 'options', ['path', 'host', 'port', 'backlog', 'namespace', ...socketEndKeys])
  const { namespace = currentNamespace(), backlog = 128, signal } = options
  handleOf(namespace, 'options.namespace')
  checkTarget(options, true)
  checkInteger(backlog, 'options.backlog', 1, 0x7fff_ffff)
  checkSocketEnd(options)
  checkFunction(listener, 'listener')
  const target = { path: options.path, host: options.host, port: options.port }
  const what = `listening on ${shownTarget(target)}`
  return await withLifetime(namespace, { what, syscall: 'listen', signal }, async (lifetime) => {
    let number = 0
    const accepted = (fd: number) => {
      number++
      let end: QemuStream
      try {
        end = new QemuStream(StreamLink.over(fd, `${shownTarget(target)}#${number}`, options), options)
      } catch {
        // No descriptor left for it: it is closed, and the peer may try again.
        native.closeDescriptorNow(fd)
        return
      }
      server.add(end)
      listener(end)
    }
    const listening = await StreamListener.open(namespace, target, backlog, lifetime, accepted)
    const server = new QemuStreamServer(listening)
    listening.start()
    if (signal !== undefined) {
      server.closeOn(signal)
    }
    return server
  })
}
