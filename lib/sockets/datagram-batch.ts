/** UDP sockets as packet ends: one datagram, one frame. */
import { systemError } from '../errors.js'
import { handleOf } from '../namespace/internal.js'
import { withLifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { checkHost, resolveHost } from '../namespace/resolve.js'
import { encodeSocketAddress, formatSocketAddress, type SocketAddress } from '../namespace/sockaddr.js'
import { IPV6_V6ONLY, RawSocket, SO_BINDTODEVICE, SOCK_DGRAM } from '../namespace/sockets.js'
import { type NativeEnd, native } from '../native.js'
import { encodeInt } from '../netlink/bytes.js'
import type { FrameBatch } from '../packets/batch.js'
import { PacketDevice, type PacketStats } from '../packets/device.js'
import { PacketEnd } from '../packets/end.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, valueError } from '../validate.js'
import { datagramFlags, socketConstants } from './constants.js'
import { checkEndpoint, decodeEndpoint, type Endpoint, encodeEndpoint, formatEndpoint } from './endpoint.js'
import { checkSocketEnd, closeOnAbort, droppedOf, type SocketEndOptions, setBuffers, socketEndKeys } from './setup.js'

/** Options of `openDatagramBatch`. */
export interface DatagramBatchOptions extends SocketEndOptions {
  /** Where the socket is. Default: the process's own namespace. */
  namespace?: Namespace
  /** The local address (default: all of the remote's family, or of IPv4) and port (default: 0, one that is free). */
  local?: { address?: string; port?: number }
  /**
   * The peer: an IP address or a name, and a port. The socket is connected to it, so that datagrams of others are not heard.
   * Without it, anybody is heard, and `remote` says where to send.
   */
  remote?: Endpoint
  /** What is carried: 'ethernet' frames or 'ip' packets. Default: 'ethernet'. */
  layer?: 'ethernet' | 'ip'
  /** Whether runs of equally long frames are given to the kernel as one (UDP_SEGMENT, udp(7)). Default: where the kernel can. */
  gso?: boolean
  /** Whether the kernel may hand several datagrams over as one (UDP_GRO, udp(7)). Default: where the kernel can. */
  gro?: boolean
  /** Without `remote`: whether frames go to whoever was heard last. Nothing proves who that is: for trusted networks only. Default: false. */
  learn?: boolean
  /** The name of the only interface to send and receive on (SO_BINDTODEVICE, socket(7)). Default: any. */
  device?: string
}

function checkDatagramBatch(options: DatagramBatchOptions): void {
  const keys = ['namespace', 'local', 'remote', 'layer', 'gso', 'gro', 'learn', 'device', ...socketEndKeys]
  checkOptions(options, 'options', keys)
  const { namespace, local, remote, layer, device } = options
  if (namespace !== undefined) handleOf(namespace, 'options.namespace')
  if (local !== undefined) {
    checkOptions(local, 'options.local', ['address', 'port'])
    if (local.address !== undefined) checkHost(local.address, 'options.local.address')
    if (local.port !== undefined) checkInteger(local.port, 'options.local.port', 0, 65_535)
  }
  if (remote !== undefined) checkEndpoint(remote, 'options.remote')
  if (layer !== undefined) checkOneOf(layer, 'options.layer', ['ethernet', 'ip'])
  for (const key of ['gso', 'gro', 'learn'] as const) {
    if (options[key] !== undefined) checkBoolean(options[key], `options.${key}`)
  }
  if (options.learn === true && remote !== undefined) {
    throw valueError('options.learn', true, 'a socket with a remote hears nobody else')
  }
  if (device !== undefined) checkString(device, 'options.device')
  checkSocketEnd(options)
}

/** What an open UDP socket is made of. */
export interface OpenDatagram {
  namespace: Namespace
  device: PacketDevice
  family: 4 | 6
  connected: Endpoint | undefined
  options: SocketEndOptions
}

/**
 * A UDP socket that carries frames or packets, each in a datagram. Many travel with one system call, and where the kernel can
 * (UDP_SEGMENT, UDP_GRO), equally long ones as one large datagram.
 *
 * A frame that does not fit the path's MTU with its IP and UDP headers is sent in IP fragments; better let the interfaces
 * of the tunnel have an MTU that fits. Datagrams without a byte are ignored.
 *
 * What ICMP says of the peer (port unreachable …) is counted in `stats().refused`, and ends nothing.
 */
export class DatagramBatch extends PacketEnd {
  /** The namespace that the socket was opened in. */
  readonly namespace: Namespace
  /** The socket's own address and port. */
  readonly local: Endpoint
  readonly #end: NativeEnd
  readonly #family: 4 | 6
  readonly #connected: Endpoint | undefined
  readonly #address = new Uint8Array(128)

  /** @internal */
  constructor(open: OpenDatagram) {
    super({ ...open.options, device: open.device, mtu: 9000 })
    this.namespace = open.namespace
    this.#end = open.device.end
    this.#family = open.family
    this.#connected = open.connected
    const length = native.socketName(open.device.fd, this.#address)
    this.local = this.#decoded(length) ?? { address: open.family === 4 ? '0.0.0.0' : '::', port: 0 }
  }

  #decoded(length: number): Endpoint | undefined {
    return length > 0 ? decodeEndpoint(this.#address.subarray(0, length)) : undefined
  }

  /** Where what is written goes; undefined: nowhere, it is refused (EDESTADDRREQ). */
  get remote(): Endpoint | undefined {
    return this.#connected ?? this.#decoded(native.datagramRemote(this.#end, this.#address))
  }

  /**
   * Sets the peer of a socket that was opened without one: an IP address, not a name, and a port.
   *
   * @throws Error ERR_INVALID_STATE when the socket was opened with a `remote`
   */
  set remote(remote: Endpoint | undefined) {
    this.#checkFree('remote')
    native.setDatagramRemote(
      this.#end,
      remote === undefined ? new Uint8Array(0) : encodeEndpoint(this.namespace, remote, 'remote', this.#family),
    )
  }

  #checkFree(what: string): void {
    if (this.#connected === undefined) return
    throw Object.assign(
      new Error(`${this.name} is connected: without options.remote, ${what} would be free to choose`),
      { code: 'ERR_INVALID_STATE' },
    )
  }

  /**
   * Where frame `i` of the latest batch came from; undefined on a socket that was opened with a `remote`. It is what the datagram
   * says: a VPN sets `remote` to it after the frame has proved to be the peer's.
   */
  source(i: number): Endpoint | undefined {
    checkInteger(i, 'i', 0, 4095)
    return this.#decoded(native.datagramSource(this.#end, i, this.#address))
  }

  /** As `writeBatch`, to another address than `remote`: an IP address and a port. */
  sendTo(batch: FrameBatch | readonly Uint8Array[], remote: Endpoint): number {
    this.#checkFree('the address')
    const address = encodeEndpoint(this.namespace, remote, 'remote', this.#family)
    const before = this.#address.slice(0, native.datagramRemote(this.#end, this.#address))
    native.setDatagramRemote(this.#end, address)
    try {
      return this.writeBatch(batch)
    } finally {
      native.setDatagramRemote(this.#end, before)
    }
  }

  /** What was carried, and what the kernel dropped because it was not read in time. */
  override stats(): PacketStats {
    const dropped = droppedOf(this.fds[0])
    return dropped === undefined ? super.stats() : { ...super.stats(), dropped }
  }
}

function supports(fd: number, option: number): boolean {
  return native.getSocketOption(fd, socketConstants.IPPROTO_UDP, option, new Uint8Array(4)) >= 0
}

/** Opens a UDP socket, binds and connects it. */
export async function openUdp(options: DatagramBatchOptions): Promise<OpenDatagram> {
  const {
    namespace = currentNamespace(),
    local,
    remote,
    layer,
    gso = true,
    gro = true,
    learn,
    device,
    signal,
  } = options
  const { label } = handleOf(namespace)
  handleOf(namespace).check()
  const what = `opening a UDP socket in ${label}`
  return withLifetime(namespace, { what, syscall: 'socket', signal }, async (lifetime) => {
    const resolved = async (host: string, port: number, family: 0 | 4 | 6) =>
      (await lifetime.until(resolveHost(namespace, host, port, family)))[0]
    let near: SocketAddress | undefined
    if (local?.address !== undefined) near = await resolved(local.address, local.port ?? 0, 0)
    const family = near === undefined ? 0 : near.octets.length === 4 ? 4 : 6
    const far = remote === undefined ? undefined : await resolved(remote.address, remote.port, family)
    if (near !== undefined && far !== undefined && near.octets.length !== far.octets.length) {
      throw valueError('options.remote.address', remote?.address, `is of another family than ${local?.address}`)
    }
    near ??= { octets: new Uint8Array(far?.octets.length ?? 4), port: local?.port ?? 0, scope: 0 }
    const raw = await RawSocket.open(namespace, SOCK_DGRAM, near)
    try {
      lifetime.check()
      if (device !== undefined) raw.set(SO_BINDTODEVICE, Buffer.from(`${device}\0`))
      if (near.octets.length === 16) raw.set(IPV6_V6ONLY, true)
      setBuffers(raw.fd, options)
      raw.bind(near)
      const result = far === undefined ? 0 : native.connectSocket(raw.fd, encodeSocketAddress(far))
      if (result < 0 && far !== undefined) {
        throw systemError(result, 'connect', `cannot connect to ${formatSocketAddress(far)} in ${label}`)
      }
      const { IPPROTO_UDP, UDP_GRO, UDP_SEGMENT } = socketConstants
      const receives = gro && native.setSocketOption(raw.fd, IPPROTO_UDP, UDP_GRO, encodeInt(1)) === 0
      const end = native.createDatagramEnd(
        raw.fd,
        (layer === 'ip' ? datagramFlags.layer3 : 0) |
          (far !== undefined ? datagramFlags.connected : 0) |
          (gso && supports(raw.fd, UDP_SEGMENT) ? datagramFlags.gso : 0) |
          (receives ? datagramFlags.gro : 0) |
          (learn === true ? datagramFlags.learn : 0),
      )
      const connected = far === undefined ? undefined : (decodeEndpoint(encodeSocketAddress(far)) as Endpoint)
      const address = new Uint8Array(128)
      const bound = decodeEndpoint(address.subarray(0, Math.max(0, native.socketName(raw.fd, address))))
      const name = `UDP ${formatEndpoint(bound ?? { address: '?', port: 0 })}`
      return {
        namespace,
        device: new PacketDevice({ end, fd: raw.fd, name, queued: receives, layer3: layer === 'ip' }),
        family: near.octets.length === 4 ? 4 : 6,
        connected,
        options,
      }
    } catch (error) {
      raw.close()
      throw error
    }
  })
}

/**
 * Opens a UDP socket as a packet end: for tunnels, and for whatever else sends frames in datagrams.
 *
 * Needs no privilege, but CAP_SYS_ADMIN for a namespace other than the process's own, CAP_NET_BIND_SERVICE for a port below
 * 1024, and CAP_NET_RAW for `device` (before Linux 5.7).
 *
 * @throws NetkitError EADDRINUSE, EADDRNOTAVAIL, EACCES (bind), ENETUNREACH (connect), EPERM; what resolving a name throws
 */
export async function openDatagramBatch(options: DatagramBatchOptions = {}): Promise<DatagramBatch> {
  checkDatagramBatch(options)
  const end = new DatagramBatch(await openUdp(options))
  closeOnAbort(end, options.signal)
  return end
}
