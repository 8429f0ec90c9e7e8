/** QEMU's `-netdev dgram`: one datagram, one Ethernet frame, over Unix sockets and UDP. */
import { throwIfAborted } from '../errors.js'
import { handleOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { checkHost } from '../namespace/resolve.js'
import { native } from '../native.js'
import { PacketDevice, type PacketStats } from '../packets/device.js'
import { PacketEnd } from '../packets/end.js'
import { takeOver } from '../packets/received.js'
import { checkUnixPath, encodeUnixAddress, shownPath, unixConstants, unixTypeOf } from '../packets/unix.js'
import { checkInteger, checkOptions, valueError } from '../validate.js'
import { datagramFlags } from './constants.js'
import { openUdp } from './datagram-batch.js'
import { checkEndpoint, type Endpoint } from './endpoint.js'
import {
  checkSocketEnd,
  closeOnAbort,
  droppedOf,
  openUnixSocket,
  type SocketEndOptions,
  setBuffers,
  socketEndKeys,
} from './setup.js'
import { bindUnixPath } from './unix-path.js'

/** Options of `openQemuDatagram`: either `path` and `remote`, or `local` and `remote`, or `fd`. */
export interface QemuDatagramOptions extends SocketEndOptions {
  /**
   * A Unix socket: the path that this end is bound to, QEMU's `remote.path`. One that begins with a zero byte is abstract. A socket
   * file that a process has left behind is replaced.
   */
  path?: string
  /** UDP: this end's address and port, QEMU's `remote.host` and `remote.port`. */
  local?: { address?: string; port: number }
  /**
   * QEMU's `local`: the path of its Unix socket, or its UDP address and port. It need not be there yet. Default: whoever was heard
   * last.
   */
  remote?: string | Endpoint
  /** A connected Unix datagram socket, QEMU's `local.type=fd` on the other side. The end takes it over, and closes it. */
  fd?: number
  /** Where a UDP socket, or one with an abstract address, is. Default: the process's own namespace. */
  namespace?: Namespace
}

function checkQemuDatagram(options: QemuDatagramOptions): void {
  checkOptions(options, 'options', ['path', 'local', 'remote', 'fd', 'namespace', ...socketEndKeys])
  const { path, local, remote, fd, namespace } = options
  if (namespace !== undefined) handleOf(namespace, 'options.namespace')
  checkSocketEnd(options)
  const given = [path, local, fd].filter((each) => each !== undefined).length
  if (given !== 1) throw valueError('options', options, 'give one of path, local and fd')
  if (fd !== undefined) {
    checkInteger(fd, 'options.fd', 0, 0x7fff_ffff)
    if (remote !== undefined) throw valueError('options.remote', remote, 'a descriptor is connected already')
  }
  if (path !== undefined) {
    checkUnixPath(path, 'options.path')
    if (remote !== undefined) checkUnixPath(remote, 'options.remote')
  }
  if (local !== undefined) {
    checkOptions(local, 'options.local', ['address', 'port'])
    if (local.address !== undefined) checkHost(local.address, 'options.local.address')
    checkInteger(local.port, 'options.local.port', 0, 65_535)
    if (remote !== undefined) checkEndpoint(remote, 'options.remote')
  }
}

/** How often a Unix socket that had to wait for its peer looks for the peer's successor, in milliseconds. */
const REFRESH = 200

/**
 * An end that speaks as QEMU's `-netdev dgram` does. While the peer is not there, what is written is dropped and counted; it goes
 * on when the peer appears, and when it has been started anew.
 *
 * A Unix socket takes net.unix.max_dgram_qlen frames (10 by default) for a peer that does not read; then it is full, and waits.
 */
export class QemuDatagram extends PacketEnd {
  /** @internal */
  constructor(device: PacketDevice, options: SocketEndOptions) {
    super({ ...options, device, mtu: 1500 })
  }

  /** What was carried, and what the kernel dropped because it was not read in time. */
  override stats(): PacketStats {
    const dropped = droppedOf(this.fds[0])
    return dropped === undefined ? super.stats() : { ...super.stats(), dropped }
  }
}

/**
 * Opens the other side of a QEMU `-netdev dgram`:
 *
 *     qemu-system-x86_64 -netdev dgram,id=n0,local.type=unix,local.path=/run/vm.sock,remote.type=unix,remote.path=/run/net.sock …
 *     await openQemuDatagram({ path: '/run/net.sock', remote: '/run/vm.sock' })
 *
 * Needs no privilege of its own. The socket file is removed when the end is closed.
 *
 * @throws NetkitError EADDRINUSE when a process listens on the path, or the file there is no socket; EACCES, ENOENT (bind); and as
 * `openDatagramBatch`
 */
export async function openQemuDatagram(options: QemuDatagramOptions): Promise<QemuDatagram> {
  checkQemuDatagram(options)
  throwIfAborted(options.signal, 'opening a datagram socket for QEMU')
  const end = await (options.local === undefined ? openUnix(options) : openOverUdp(options))
  closeOnAbort(end, options.signal)
  return end
}

async function openOverUdp(options: QemuDatagramOptions): Promise<QemuDatagram> {
  const { local, namespace, signal } = options
  const remote = options.remote as Endpoint | undefined
  const { device } = await openUdp({
    ...options,
    local: local as { port: number },
    ...(remote === undefined ? { learn: true } : { remote }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(signal === undefined ? {} : { signal }),
  } as Parameters<typeof openUdp>[0])
  return new QemuDatagram(device, options)
}

async function openUnix(options: QemuDatagramOptions): Promise<QemuDatagram> {
  const { path, fd: given, namespace = currentNamespace(), signal } = options
  const remote = options.remote as string | undefined
  const { SOCK_DGRAM } = unixConstants
  if (given !== undefined) {
    const type = unixTypeOf(given, 'options.fd')
    if (type === 'stream') throw valueError('options.fd', given, 'is a stream socket: see openQemuStream')
    takeOver(given, true)
    setBuffers(given, options)
    const end = native.createDatagramEnd(given, datagramFlags.unix | datagramFlags.connected)
    return new QemuDatagram(new PacketDevice({ end, fd: given, name: `unix:${given}` }), options)
  }
  const fd = await openUnixSocket(namespace, SOCK_DGRAM)
  try {
    throwIfAborted(signal, `binding to ${shownPath(path as string)}`)
    setBuffers(fd, options)
    const unlink = await bindUnixPath(fd, namespace, path as string, SOCK_DGRAM)
    const end = native.createDatagramEnd(fd, datagramFlags.unix | (remote === undefined ? datagramFlags.learn : 0))
    if (remote !== undefined) native.setDatagramRemote(end, encodeUnixAddress(remote))
    const name = `unix:${shownPath(path as string)}`
    const timer = setInterval(() => native.refreshDatagram(end), REFRESH)
    timer.unref()
    const closed = async (released: boolean) => {
      clearInterval(timer)
      if (!released) unlink()
    }
    return new QemuDatagram(new PacketDevice({ end, fd, name, closed }), options)
  } catch (error) {
    native.closeDescriptorNow(fd)
    throw error
  }
}
