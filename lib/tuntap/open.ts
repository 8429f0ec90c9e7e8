/** Opening a tap or tun: options, the device, its set-up, and the way back when one of these fails. */
import { statSync } from 'node:fs'
import { errnoName } from '../errno.js'
import { type NetkitError, systemError, throwIfAborted } from '../errors.js'
import { capabilityHint, descriptorOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { INITIAL_USER_NAMESPACE } from '../namespace/privileges.js'
import { native, type TunResult } from '../native.js'
import { OFFLOAD_HEADER_SIZE } from '../packets/constants.js'
import type { PacketDevice } from '../packets/device.js'
import type { AddressInput } from '../rtnetlink/address-options.js'
import { configureLink } from '../rtnetlink/configure.js'
import { checkNewLink, type LinkReference } from '../rtnetlink/link-options.js'
import { checkBoolean, checkInteger, checkSignal, valueError } from '../validate.js'
import { tunConstants } from './constants.js'
import type { OpenDevice } from './interface.js'
import { control, tunDevice } from './queue.js'

/** Options of both `openTap` and `openTun`. */
export interface OpenOptions {
  /**
   * The interface's name: up to 15 bytes without `/`, `:` and white space. `%d` stands for the lowest free number. Default:
   * 'tap%d' or 'tun%d'. A persistent interface of this name is attached to; otherwise one is made.
   */
  name?: string
  /** Where the interface is. Default: the process's own namespace. */
  namespace?: Namespace
  /** Addresses to add: '10.0.2.1/24', 'fd00::1/64', or objects with more (`label`, `peer`, `noDad` …). */
  addresses?: readonly AddressInput[]
  /** True brings the interface up. Default: it stays as it is, which for a new one is down. */
  up?: boolean
  /** The largest packet without its Ethernet header, in bytes: from 68 to 65,535 (65,521 for a tap). Default: 1,500. */
  mtu?: number
  /** True keeps the interface when its last descriptor is closed, false ends that. Default: as it is, which for a new one is false. */
  persist?: boolean
  /** The number of a user (not a name) who may attach to the interface without CAP_NET_ADMIN. */
  owner?: number
  /** The number of a group (not a name) that may attach to the interface without CAP_NET_ADMIN. */
  group?: number
  /**
   * True puts a struct tun_pi before every frame, in both directions: 2 bytes of flags (1: the frame was cut), and the Ethernet
   * protocol number in 2 bytes, in network order (linux/if_tun.h). Default: false.
   */
  packetInfo?: boolean
  /**
   * True lets frames come and go with an offload header (struct virtio_net_hdr): the kernel hands over TCP and UDP uncut, up to 64 KiB a
   * frame, and without checksums, and takes it so. It is several times faster. What is written to an end without offload is cut and
   * completed on the way. Default: false, whole frames with all checksums.
   */
  offload?: boolean
  /**
   * How many queues to open, from 1 to 256; each has a descriptor and is read on its own (`tap.queues`). With more than one, an
   * interface that exists must have been made so too. Default: 1.
   */
  queues?: number
  /** True fails with EBUSY when the interface exists, instead of attaching to it (IFF_TUN_EXCL). Default: false. */
  exclusive?: boolean
  /** How many frames the stream reads ahead. Default: 256. */
  readableHighWaterMark?: number
  /** How many frames may wait in the stream before `write` returns false. Default: 256. */
  writableHighWaterMark?: number
  /** Gives up opening, with an AbortError. An interface that was made meanwhile goes again. */
  signal?: AbortSignal
}

/** What a tap's options have beyond those of both. */
export interface DeviceOptions extends OpenOptions {
  mac?: string
  master?: LinkReference
}

export type Kind = 'tap' | 'tun'

const commonKeys = [
  ...['name', 'namespace', 'addresses', 'up', 'mtu', 'persist', 'owner', 'group', 'packetInfo', 'exclusive'],
  ...['offload', 'queues'],
  ...['readableHighWaterMark', 'writableHighWaterMark', 'signal'],
]

/** (uid_t)-1 and (gid_t)-1 stand for nobody in particular, and the kernel refuses them. */
const LARGEST_ID = 0xfffffffe

/** Everything that can be told without the kernel, so that nothing is made for options that are wrong. */
function checkOpenOptions(kind: Kind, options: DeviceOptions): void {
  checkNewLink(options, 'options', kind === 'tap' ? [...commonKeys, 'mac', 'master'] : commonKeys)
  for (const flag of ['persist', 'packetInfo', 'exclusive', 'offload'] as const) {
    if (options[flag] !== undefined) checkBoolean(options[flag], `options.${flag}`)
  }
  for (const id of ['owner', 'group'] as const) {
    if (options[id] !== undefined) checkInteger(options[id], `options.${id}`, 0, LARGEST_ID)
  }
  for (const mark of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[mark] !== undefined) checkInteger(options[mark], `options.${mark}`, 1, 65_536)
  }
  if (options.queues !== undefined) checkInteger(options.queues, 'options.queues', 1, 256)
  if (options.offload === true && options.packetInfo === true) {
    throw valueError('options.packetInfo', true, 'cannot be combined with offload: a frame has one header before it')
  }
  checkSignal(options.signal, 'options.signal')
}

const { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_USO4, TUN_F_USO6 } = tunConstants
const OLD_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN

/** Asks the kernel to leave undone what it can. Returns what it agreed to. */
export async function setOffload(fd: number, name: string): Promise<number> {
  // UDP since Linux 6.2.
  const all = OLD_OFFLOADS | TUN_F_USO4 | TUN_F_USO6
  let result = await native.controlTun(fd, tunConstants.TUNSETOFFLOAD, all)
  if (result >= 0) return all
  if (errnoName(-result) === 'EINVAL') result = await native.controlTun(fd, tunConstants.TUNSETOFFLOAD, OLD_OFFLOADS)
  if (result < 0) throw systemError(result, 'TUNSETOFFLOAD', `cannot set the offload of ${name}`)
  return OLD_OFFLOADS
}

/** Opens the device and sets it up. When anything fails, a device that this made is gone again, and the first cause is thrown. */
export async function openDevice(kind: Kind, options: DeviceOptions): Promise<OpenDevice> {
  checkOpenOptions(kind, options)
  const { name = `${kind}%d`, namespace = currentNamespace(), packetInfo, exclusive, signal } = options
  const { owner, group, persist, addresses, up, mtu, mac, master, queues = 1, offload = false } = options
  throwIfAborted(signal, `opening ${name}`)
  const flags =
    (kind === 'tap' ? tunConstants.IFF_TAP : tunConstants.IFF_TUN) |
    (packetInfo === true ? 0 : tunConstants.IFF_NO_PI) |
    (offload ? tunConstants.IFF_VNET_HDR : 0) |
    (queues > 1 ? tunConstants.IFF_MULTI_QUEUE : 0) |
    (exclusive === true ? tunConstants.IFF_TUN_EXCL : 0)
  const controls: [request: keyof typeof tunConstants, value: number][] = []
  // Both stay as an earlier holder of a persistent interface left them: frames without a header must come whole.
  if (offload) controls.push(['TUNSETVNETHDRSZ', OFFLOAD_HEADER_SIZE])
  else controls.push(['TUNSETOFFLOAD', 0])
  if (owner !== undefined) controls.push(['TUNSETOWNER', owner])
  if (group !== undefined) controls.push(['TUNSETGROUP', group])
  const numbers = controls.flatMap(([request, value]) => [tunConstants[request], value])
  const descriptor = descriptorOf(namespace)
  const opened = await native.openTun(descriptor, name, flags, Uint32Array.from(numbers))
  if (opened.error < 0)
    throw openError(opened, kind, name, namespace, exclusive === true, controls[opened.control]?.[0])

  const fds = [opened.fd]
  const openOne = async (): Promise<number> => {
    const more = await native.openTun(descriptor, opened.name, flags & ~tunConstants.IFF_TUN_EXCL, new Uint32Array())
    if (more.error < 0) throw openError(more, kind, `a queue of ${opened.name}`, namespace, false, undefined)
    return more.fd
  }
  try {
    throwIfAborted(signal, `opening ${name}`)
    const offloads = offload ? await setOffload(opened.fd, opened.name) : undefined
    while (fds.length < queues) fds.push(await openOne())
    throwIfAborted(signal, `opening ${name}`)
    const link = await configureLink(namespace, opened.name, { addresses, up, mtu, mac, master })
    throwIfAborted(signal, `opening ${name}`)
    const [device, ...others] = fds.map((fd) =>
      tunDevice({ fd, name: opened.name, layer3: kind === 'tun', offloads }),
    ) as [PacketDevice, ...PacketDevice[]]
    // Last, because until then closing the descriptors undoes everything.
    if (persist !== undefined) await control(device, 'TUNSETPERSIST', persist ? 1 : 0, 'make persistent or not')
    const layer3 = kind === 'tun'
    return {
      device,
      place: { link, namespace },
      queues: others,
      openQueue:
        queues > 1 ? async () => tunDevice({ fd: await openOne(), name: opened.name, layer3, offloads }) : undefined,
      offloads,
      readableHighWaterMark: options.readableHighWaterMark ?? 256,
      writableHighWaterMark: options.writableHighWaterMark ?? 256,
    }
  } catch (error) {
    await Promise.all(fds.map((fd) => native.closeDescriptor(fd)))
    throw error
  }
}

const controlled: Record<string, string | undefined> = {
  TUNSETOWNER: 'owner',
  TUNSETGROUP: 'group',
  TUNSETOFFLOAD: 'offload',
  TUNSETVNETHDRSZ: "offload header's length",
}

export function openError(
  result: TunResult,
  kind: Kind,
  name: string,
  namespace: Namespace,
  exclusive: boolean,
  request: string | undefined,
): NetkitError {
  const { error, syscall } = result
  const code = errnoName(-error)
  const privileges = () => capabilityHint(namespace, 'CAP_NET_ADMIN')
  if (syscall === 'setns') {
    return systemError(error, syscall, `cannot open ${name}: cannot enter its namespace`, {
      hint: capabilityHint(namespace, 'CAP_SYS_ADMIN'),
    })
  }
  if (syscall === 'open') return systemError(error, syscall, 'cannot open /dev/net/tun', { hint: openHint(code) })
  if (syscall === 'ioctl') {
    return systemError(
      error,
      request ?? syscall,
      `cannot set the ${controlled[request ?? ''] ?? 'options'} of ${name}`,
      {
        hint: code === 'EPERM' ? privileges() : undefined,
      },
    )
  }
  const hints: Record<string, string | undefined> = {
    EPERM: privileges() ?? `${name} has an owner or a group, and this process has neither`,
    EBUSY: exclusive
      ? 'it exists already, which `exclusive` forbids'
      : 'it is open elsewhere, or it was made with several queues: close it there, or take another name',
    EINVAL: `an interface of this name exists and is not a ${kind}, or was made with other flags: take another name`,
    ENFILE: 'no number is left for it',
  }
  return systemError(error, syscall, `cannot open ${kind} ${name}`, { hint: hints[code] })
}

function openHint(code: string): string | undefined {
  switch (code) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return 'load the tun module (modprobe tun), or pass the device into the container (--device /dev/net/tun)'
    case 'EACCES':
    case 'EPERM':
      return (
        `this process (${user()}) may not open it: it needs permission to read and write it (mode 0666 is usual), ` +
        'and in a container the device must be allowed (--device /dev/net/tun)'
      )
    default:
      return undefined
  }
}

/** Root of a user namespace is somebody else outside of it, and to the owner of /dev/net/tun. */
function user(): string {
  const id = process.geteuid?.()
  const initial = statSync('/proc/thread-self/ns/user', { throwIfNoEntry: false })?.ino === INITIAL_USER_NAMESPACE
  return initial || id === undefined
    ? `user ${id}`
    : `user ${id} of a user namespace, which is another user outside of it`
}
