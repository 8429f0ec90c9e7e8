/** What opening a socket for frames takes: buffers, closing on a signal, the names of what went wrong. */
import { systemError } from '../errors.js'
import { hintIfDenied } from '../namespace/failure.js'
import { capabilityHint, handleOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { native } from '../native.js'
import { encodeInt } from '../netlink/bytes.js'
import { SOL_SOCKET } from '../netlink/socket.js'
import type { PacketEnd } from '../packets/end.js'
import { unixConstants } from '../packets/unix.js'
import { checkInteger, checkSignal } from '../validate.js'
import { socketConstants } from './constants.js'

/** What the options of all socket ends have in common. */
export interface SocketEndOptions {
  /**
   * Room for frames that wait to be read, in bytes of kernel memory, of which a frame takes more than its length. Beyond
   * net.core.rmem_max it takes CAP_NET_ADMIN; without, it is as much as allowed. Default: 4 MiB.
   */
  receiveBuffer?: number
  /** The same for frames on their way out (net.core.wmem_max). Default: 4 MiB. */
  sendBuffer?: number
  /** How many frames the stream reads ahead. Default: 256. */
  readableHighWaterMark?: number
  /** How many frames may wait in the stream before `write` returns false. Default: 256. */
  writableHighWaterMark?: number
  /** Ends the attempt with an AbortError, and closes the end when it fires later. */
  signal?: AbortSignal
}

export const socketEndKeys = ['receiveBuffer', 'sendBuffer', 'readableHighWaterMark', 'writableHighWaterMark', 'signal']

const LARGEST_BUFFER = 0x3fff_ffff
const DEFAULT_BUFFER = 4 * 1024 * 1024

export function checkSocketEnd(options: SocketEndOptions, name = 'options'): void {
  for (const key of ['receiveBuffer', 'sendBuffer'] as const) {
    if (options[key] !== undefined) checkInteger(options[key], `${name}.${key}`, 1, LARGEST_BUFFER)
  }
  for (const key of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[key] !== undefined) checkInteger(options[key], `${name}.${key}`, 1, 65_536)
  }
  checkSignal(options.signal, `${name}.signal`)
}

/** As much as is asked for, or as the kernel allows. */
export function setBuffers(fd: number, options: SocketEndOptions): void {
  const { SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF, SO_SNDBUFFORCE } = socketConstants
  const set = (forced: number, plain: number, size = DEFAULT_BUFFER) => {
    // The kernel doubles what it is told, for its own part (socket(7)).
    const value = encodeInt(Math.ceil(size / 2))
    if (native.setSocketOption(fd, SOL_SOCKET, forced, value) < 0) native.setSocketOption(fd, SOL_SOCKET, plain, value)
  }
  set(SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBuffer)
  set(SO_SNDBUFFORCE, SO_SNDBUF, options.sendBuffer)
}

/** Frames that the kernel dropped because they were not read in time. */
export function droppedOf(fd: number | undefined): number | undefined {
  if (fd === undefined) return undefined
  const { SO_MEMINFO, SK_MEMINFO_DROPS } = socketConstants
  const words = new Uint32Array(SK_MEMINFO_DROPS + 1)
  const length = native.getSocketOption(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(words.buffer))
  return length === words.byteLength ? words[SK_MEMINFO_DROPS] : undefined
}

/** A Unix socket, non-blocking, in a namespace (which matters to abstract addresses only). */
export async function openUnixSocket(namespace: Namespace, type: number): Promise<number> {
  const { descriptor, label } = handleOf(namespace)
  const fd = await native.openSocket(descriptor, unixConstants.AF_UNIX, type, 0)
  if (fd >= 0) return fd
  const hint = hintIfDenied(fd, () => capabilityHint(namespace, 'CAP_SYS_ADMIN'))
  throw systemError(fd, 'socket', `cannot open a Unix socket in ${label}`, { hint })
}

/** Closes an end when the signal fires, without keeping the end from being collected. */
export function closeOnAbort(end: PacketEnd, signal: AbortSignal | undefined): void {
  if (signal === undefined) return
  const held = new WeakRef(end)
  const aborted = () => {
    held.deref()?.destroy()
  }
  if (signal.aborted) {
    aborted()
    return
  }
  signal.addEventListener('abort', aborted, { once: true })
  end.once('close', () => signal.removeEventListener('abort', aborted))
}
