/** Opening a tap or tun: options, the device, its set-up, and the way back when one of these fails. */
import { statSync } from 'node:fs'
import { errnoName } from '../errno.js'
import { type NetkitError, systemError, throwIfAborted } from '../errors.js'
import { capabilityHint, descriptorOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { INITIAL_USER_NAMESPACE } from '../namespace/privileges.js'
import { native, type TunResult } from '../native.js'
import type { AddressInput } from '../rtnetlink/address-options.js'
import { configureLink } from '../rtnetlink/configure.js'
import { checkNewLink, type LinkReference } from '../rtnetlink/link-options.js'
import { checkBoolean, checkInteger, checkSignal } from '../validate.js'
import { tunConstants } from './constants.js'
import { TunDevice } from './device.js'
import type { OpenDevice } from './packet-stream.js'

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
  ...['readableHighWaterMark', 'writableHighWaterMark', 'signal'],
]

/** (uid_t)-1 and (gid_t)-1 stand for nobody in particular, and the kernel refuses them. */
const LARGEST_ID = 0xfffffffe

/** Everything that can be told without the kernel, so that nothing is made for options that are wrong. */
function checkOpenOptions(kind: Kind, options: DeviceOptions): void {
  checkNewLink(options, 'options', kind === 'tap' ? [...commonKeys, 'mac', 'master'] : commonKeys)
  for (const flag of ['persist', 'packetInfo', 'exclusive'] as const) {
    if (options[flag] !== undefined) checkBoolean(options[flag], `options.${flag}`)
  }
  for (const id of ['owner', 'group'] as const) {
    if (options[id] !== undefined) checkInteger(options[id], `options.${id}`, 0, LARGEST_ID)
  }
  for (const mark of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[mark] !== undefined) checkInteger(options[mark], `options.${mark}`, 1, 65_536)
  }
  checkSignal(options.signal, 'options.signal')
}

/** Opens the device and sets it up. When anything fails, a device that this made is gone again, and the first cause is thrown. */
export async function openDevice(kind: Kind, options: DeviceOptions): Promise<OpenDevice> {
  checkOpenOptions(kind, options)
  const { name = `${kind}%d`, namespace = currentNamespace(), packetInfo, exclusive, signal } = options
  const { owner, group, persist, addresses, up, mtu, mac, master } = options
  throwIfAborted(signal, `opening ${name}`)
  const flags =
    (kind === 'tap' ? tunConstants.IFF_TAP : tunConstants.IFF_TUN) |
    (packetInfo === true ? 0 : tunConstants.IFF_NO_PI) |
    (exclusive === true ? tunConstants.IFF_TUN_EXCL : 0)
  const controls: [request: 'TUNSETOWNER' | 'TUNSETGROUP', value: number][] = []
  if (owner !== undefined) controls.push(['TUNSETOWNER', owner])
  if (group !== undefined) controls.push(['TUNSETGROUP', group])
  const numbers = controls.flatMap(([request, value]) => [tunConstants[request], value])
  const descriptor = descriptorOf(namespace)
  const opened = await native.openTun(descriptor, name, flags, Uint32Array.from(numbers))
  if (opened.error < 0)
    throw openError(opened, kind, name, namespace, exclusive === true, controls[opened.control]?.[0])

  const device = new TunDevice(opened.fd, opened.name)
  try {
    throwIfAborted(signal, `opening ${name}`)
    const link = await configureLink(namespace, device.name, { addresses, up, mtu, mac, master })
    throwIfAborted(signal, `opening ${name}`)
    // Last, because until then closing the descriptor undoes everything.
    if (persist !== undefined) await device.setPersist(persist)
    return {
      device,
      link,
      namespace,
      readableHighWaterMark: options.readableHighWaterMark ?? 256,
      writableHighWaterMark: options.writableHighWaterMark ?? 256,
    }
  } catch (error) {
    await device.close()
    throw error
  }
}

function openError(
  result: TunResult,
  kind: Kind,
  name: string,
  namespace: Namespace,
  exclusive: boolean,
  control: string | undefined,
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
      control ?? syscall,
      `cannot set the ${control === 'TUNSETGROUP' ? 'group' : 'owner'} of ${name}`,
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
