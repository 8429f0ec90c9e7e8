/** Descriptors over any Unix socket: one of Node's, one of netkit's, one that is only a number, or one to connect to. */
import { once } from 'node:events'
import { Socket } from 'node:net'
import { namedError, systemError } from '../errors.js'
import { native } from '../native.js'
import { checkInteger, typeError } from '../validate.js'
import {
  connectDescriptorChannel,
  DescriptorChannel,
  openDescriptorChannel,
  type ReceiveOptions,
  type Sendable,
  type SendOptions,
} from './descriptor-channel.js'
import type { ReceivedDescriptors } from './received.js'
import { unixTypeOf } from './unix.js'

/**
 * A Unix socket: a channel, a `net.Socket`, the number of a descriptor (which stays the caller's), or the path of one to connect to,
 * for this one message.
 */
export type DescriptorSocket = DescriptorChannel | Socket | number | string

/** What Node has below a net.Socket. */
interface Handle {
  readonly fd?: number
  reading?: boolean
  readStop?(): unknown
}

/** Calls `use` with a channel on the socket. */
async function withChannel<T>(
  socket: DescriptorSocket,
  signal: AbortSignal | undefined,
  use: (channel: DescriptorChannel) => Promise<T>,
): Promise<T> {
  if (socket instanceof DescriptorChannel) return use(socket)
  if (typeof socket === 'string') {
    return useOnce(await connectDescriptorChannel({ path: socket, ...(signal === undefined ? {} : { signal }) }), use)
  }
  if (typeof socket === 'number') {
    checkInteger(socket, 'socket', 0, 0x7fffffff)
  } else if (!(socket instanceof Socket)) {
    throw typeError('socket', 'a DescriptorChannel, a net.Socket, a descriptor or a path', socket)
  }
  const fd = typeof socket === 'number' ? socket : fdOf(socket)
  unixTypeOf(fd, 'socket')
  // A duplicate, because libuv watches a number once only, and Node's is watched already.
  const copy = native.duplicateDescriptor(fd)
  if (copy < 0) throw systemError(copy, 'fcntl', `cannot use descriptor ${fd}`)
  native.disownDescriptor(copy)
  return useOnce(openDescriptorChannel({ fd: copy }), use)
}

async function useOnce<T>(channel: DescriptorChannel, use: (channel: DescriptorChannel) => Promise<T>): Promise<T> {
  try {
    return await use(channel)
  } finally {
    await channel.close()
  }
}

function handleOf(socket: Socket): Handle | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle ?? undefined
}

function fdOf(socket: Socket): number {
  const fd = handleOf(socket)?.fd
  if (fd === undefined || fd < 0) throw namedError('EBADF', 'sendmsg', 'the net.Socket is closed')
  return fd
}

/** What was written to the socket before goes first. */
async function flushed(socket: Socket): Promise<void> {
  if (socket.connecting) await once(socket, 'connect')
  while (socket.writableLength > 0) {
    await new Promise<void>((resolve, reject) => {
      socket.write('', (error) => (error ? reject(error) : resolve()))
    })
  }
}

/** Node must not read what is to come: it would throw the descriptors away. */
async function keepNodeFromReading(socket: Socket): Promise<void> {
  if (socket.connecting) await once(socket, 'connect')
  if (socket.bytesRead > 0 || socket.readableFlowing === true) {
    const error = new Error(
      'Node reads this net.Socket, and throws descriptors away that come with what it reads: receive before anything else does, ' +
        'on a server with `pauseOnConnect: true`, or use a DescriptorChannel',
    )
    throw Object.assign(error, { code: 'ERR_INVALID_STATE' })
  }
  const handle = handleOf(socket)
  handle?.readStop?.()
  if (handle !== undefined) handle.reading = false
}

/**
 * Sends descriptors to another process over a Unix socket: see `DescriptorChannel#send`. What was written to a `net.Socket` before
 * is sent before.
 *
 * @throws as `DescriptorChannel#send`, and as `connectDescriptorChannel` for a path; RangeError when it is not a Unix socket
 */
export async function sendDescriptors(
  socket: DescriptorSocket,
  descriptors: Sendable | readonly Sendable[],
  data?: string | Uint8Array,
  options: SendOptions = {},
): Promise<void> {
  if (socket instanceof Socket) await flushed(socket)
  await withChannel(socket, options.signal, (channel) => channel.send(descriptors, data, options))
}

/**
 * Waits for one message with descriptors on a Unix socket: see `DescriptorChannel#receive`.
 *
 * A `net.Socket` must not have been read before: Node begins to read as soon as a socket is connected, and the descriptors that come
 * then are lost. A server's socket is safe with `net.createServer({ pauseOnConnect: true })`; for all others there are channels.
 * Node does not read it afterwards until `socket.resume()`.
 *
 * @throws as `DescriptorChannel#receive`, and as `connectDescriptorChannel` for a path; ECONNRESET when the other side has closed;
 * ERR_INVALID_STATE when Node has read the socket
 */
export async function receiveDescriptors(
  socket: DescriptorSocket,
  options: ReceiveOptions = {},
): Promise<ReceivedDescriptors> {
  if (socket instanceof Socket) await keepNodeFromReading(socket)
  const received = await withChannel(socket, options.signal, (channel) => channel.receive(options))
  if (received !== undefined) return received
  throw namedError('ECONNRESET', 'recvmsg', 'the other side has closed before it sent descriptors')
}
