/** Packet sockets: the frames of any link, raw (packet(7)). */
import { errnoName } from '../errno.js'
import { namedError, systemError, throwIfAborted } from '../errors.js'
import { capabilityHint, handleOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { native } from '../native.js'
import type { PacketStats } from '../packets/device.js'
import { PacketDevice } from '../packets/device.js'
import { deviceOf, PacketEnd } from '../packets/end.js'
import type { Link } from '../rtnetlink/link.js'
import { isLink } from '../rtnetlink/link-options.js'
import '../rtnetlink/links.js'
import { bindPacketSocket, openSocket, setUpPacketSocket, WRITTEN_OFFLOADS } from './packet-open.js'
import { checkPacketSocketOptions, type PacketSocketOptions } from './packet-options.js'

/** Bits of the native end's flags. */
const OFFLOAD = 1
const ALL_LINKS = 2
/** An Ethernet header and two VLAN tags. */
const HEADERS = 22
/** What frames of links that are not known usually have at most. */
const USUAL_MTU = 1500

interface OpenSocket {
  device: PacketDevice
  namespace: Namespace
  link: Link | undefined
  fanoutGroup: number | undefined
  options: PacketSocketOptions
}

/**
 * An open packet socket: a `stream.Duplex` in object mode, of the frames of one link. Reading gives what the link receives
 * (`direction`), before the kernel's own stack gets it; writing is sent by the link.
 *
 * While the link is down, nothing is read, and what is written is refused (ENETDOWN). When the link is deleted, or moved to another
 * namespace, the end fails with ENODEV. An open socket keeps its namespace, and the links in it, from going.
 */
export class PacketSocket extends PacketEnd {
  /** The namespace of the link. */
  readonly namespace: Namespace
  /** The link, as it was when the socket was opened; undefined with `allLinks`. */
  readonly link: Link | undefined
  /** The number of its fanout group; undefined without `fanout`. */
  readonly fanoutGroup: number | undefined

  /** @internal */
  constructor({ device, namespace, link, fanoutGroup, options }: OpenSocket) {
    super({
      device,
      mtu: link?.mtu ?? USUAL_MTU,
      readableHighWaterMark: options.readableHighWaterMark,
      writableHighWaterMark: options.writableHighWaterMark,
    })
    this.namespace = namespace
    this.link = link
    this.fanoutGroup = fanoutGroup
  }

  /**
   * What was carried since the opening. `dropped`: frames that passed the filter and had no room in the socket's buffer or ring, and
   * those that could not be cut. Refused is what the kernel did not send: link down (ENETDOWN), longer than the MTU (EMSGSIZE), no
   * room in the link's queue (ENOBUFS).
   */
  override stats(): PacketStats {
    return { ...super.stats(), dropped: native.packetDrops(deviceOf(this).end) }
  }
}

/**
 * Opens a packet socket on a link, or on all of a namespace. No frame of another link, and none that the filter does not pass, is
 * ever read.
 *
 * Needs CAP_NET_RAW in the user namespace that owns the network namespace, and CAP_SYS_ADMIN as well for a namespace other than the
 * process's own. `ring` may need more memory than the process may lock; `promiscuous` needs nothing else.
 *
 * @throws NetkitError ENODEV when there is no such link; EPERM; ENOMEM when there is no memory for the ring; EINVAL (PACKET_FANOUT)
 * when the group exists with other options or, before Linux 6.14, the link is down; ENOSPC when the group is full
 */
export async function openPacketSocket(options: PacketSocketOptions): Promise<PacketSocket> {
  const checked = checkPacketSocketOptions(options)
  const { link: reference, signal, offload = false } = options
  const namespace = options.namespace ?? (isLink(reference) ? reference.namespace : currentNamespace())
  const { descriptor, label } = handleOf(namespace)
  throwIfAborted(signal, 'opening a packet socket')
  const link =
    reference === undefined ? undefined : await namespace.links.get(isLink(reference) ? reference.index : reference)
  throwIfAborted(signal, 'opening a packet socket')
  const name = link?.name ?? `all links of ${label}`
  const socket = await openSocket(descriptor, name, () => {
    return capabilityHint(namespace, 'CAP_NET_RAW') ?? capabilityHint(namespace, 'CAP_SYS_ADMIN')
  })
  try {
    throwIfAborted(signal, 'opening a packet socket')
    setUpPacketSocket(socket, options, checked)
    const fanoutGroup = bindPacketSocket(socket, link?.index ?? 0, options, checked)
    const end = native.createPacketEnd(
      socket.fd,
      (offload ? OFFLOAD : 0) | (link === undefined ? ALL_LINKS : 0),
      WRITTEN_OFFLOADS,
      (link?.mtu ?? USUAL_MTU) + HEADERS,
      checked.ring?.blockSize ?? 0,
      checked.ring?.blocks ?? 0,
    )
    if (typeof end === 'number') throw systemError(end, 'mmap', `cannot map the ring of ${name}`)
    const device = new PacketDevice({
      end,
      fd: socket.fd,
      name,
      offload,
      layer3: native.isLayer3End(end),
      queued: true,
      lookAgain: () => native.lookAgain(end),
      explain(result, syscall) {
        return errnoName(-result) === 'ENODEV'
          ? namedError('ENODEV', syscall, `${name} was deleted, or moved to another namespace`)
          : systemError(result, syscall, `cannot ${syscall} ${name}`)
      },
      closing() {
        // What was dropped until now is still told afterwards.
        native.packetDrops(end)
        native.shutPacketEnd(end)
      },
    })
    return new PacketSocket({ device, namespace, link, fanoutGroup, options })
  } catch (error) {
    await native.closeDescriptor(socket.fd)
    throw error
  }
}
