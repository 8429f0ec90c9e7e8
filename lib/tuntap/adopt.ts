/** Taps and tuns made of descriptors that somebody else opened: inherited, received over a socket, or handed to a worker thread. */
import { fstatSync } from 'node:fs'
import { errnoName } from '../errno.js'
import { hasCode, systemError } from '../errors.js'
import { identityOf, ownIdentity, sameNamespace } from '../namespace/identity.js'
import { descriptorOf, handleOf, isNamespace } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace, openNamespace } from '../namespace/open.js'
import { native } from '../native.js'
import { OFFLOAD_HEADER_SIZE } from '../packets/constants.js'
import type { PacketDevice } from '../packets/device.js'
import { takeOver } from '../packets/received.js'
import { configureLink } from '../rtnetlink/configure.js'
import { checkInteger, checkOptions, typeError, valueError } from '../validate.js'
import { tunConstants } from './constants.js'
import type { OpenDevice, Place } from './interface.js'
import { type Kind, openError, setOffload } from './open.js'
import { tunDevice } from './queue.js'
import { Tap } from './tap.js'
import { Tun } from './tun.js'

/** Options of `adoptTap` and `adoptTun`. */
export interface AdoptOptions {
  /** The descriptor. This or `fds`. */
  fd?: number | undefined
  /** The descriptors of a multi-queue interface, one a queue: any number of them, the others being somebody else's. */
  fds?: readonly number[]
  /** Where the interface was made. Default: the kernel is asked (SIOCGSKNS), which takes CAP_NET_ADMIN there. */
  namespace?: Namespace
  /** How many frames the stream reads ahead. Default: 256. */
  readableHighWaterMark?: number
  /** How many frames may wait in the stream before `write` returns false. Default: 256. */
  writableHighWaterMark?: number
}

const { IFF_TAP, IFF_TUN, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR } = tunConstants

function checkAdopt(options: AdoptOptions): number[] {
  checkOptions(options, 'options', ['fd', 'fds', 'namespace', 'readableHighWaterMark', 'writableHighWaterMark'])
  const { fd, fds, namespace } = options
  if ((fd === undefined) === (fds === undefined)) throw valueError('options', options, 'expected one of fd and fds')
  if (fds !== undefined && !Array.isArray(fds)) throw typeError('options.fds', 'an array of descriptors', fds)
  const numbers = fd === undefined ? [...(fds as readonly number[])] : [fd]
  if (numbers.length === 0) throw valueError('options.fds', fds, 'is empty')
  for (const [i, number] of numbers.entries()) {
    const name = fd === undefined ? `options.fds[${i}]` : 'options.fd'
    checkInteger(number, name, 0, 0x7fffffff)
    if (numbers.indexOf(number) < i) throw valueError(name, number, 'stands there twice')
  }
  if (namespace !== undefined) {
    if (!isNamespace(namespace)) throw typeError('options.namespace', 'a Namespace', namespace)
    handleOf(namespace).check()
  }
  for (const mark of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[mark] !== undefined) checkInteger(options[mark], `options.${mark}`, 1, 65_536)
  }
  return numbers
}

interface Identity {
  name: string
  flags: number
}

/** What the kernel says of a descriptor. */
function identify(fd: number, kind: Kind): Identity {
  const found = native.identifyTun(fd)
  if (typeof found === 'number') {
    const hints: Readonly<Record<string, string>> = {
      ENOTTY: `it is open, but it is no ${kind}`,
      EINVAL: `it is open, but it is no ${kind}`,
      EBADFD: 'it belongs to no interface: that was deleted, or none was chosen yet',
    }
    throw systemError(found, 'TUNGETIFF', `cannot adopt descriptor ${fd}`, { hint: hints[errnoName(-found)] })
  }
  const wanted = kind === 'tap' ? IFF_TAP : IFF_TUN
  if ((found.flags & (IFF_TAP | IFF_TUN)) === wanted) return found
  throw valueError('fd', fd, `${found.name} is a ${kind === 'tap' ? 'tun: adoptTun' : 'tap: adoptTap'} takes it`)
}

/** Where the interface is, if this process may know. */
async function placeOf(fd: number, name: string, given: Namespace | undefined): Promise<Place> {
  let namespace = given
  try {
    namespace ??= await namespaceOf(fd, name)
    const link = await configureLink(namespace, name, {})
    return { namespace, link, ownNamespace: given === undefined }
  } catch (error) {
    if (given === undefined) await namespace?.close()
    if (!hasCode(error, 'EPERM', 'EACCES', 'ENODEV')) throw error
    return { unknown: error }
  }
}

async function namespaceOf(fd: number, name: string): Promise<Namespace> {
  const descriptor = native.tunNamespace(fd)
  if (descriptor < 0) {
    const hint =
      errnoName(-descriptor) === 'EPERM' ? 'it takes CAP_NET_ADMIN there, or the option `namespace`' : undefined
    throw systemError(descriptor, 'SIOCGSKNS', `cannot tell the namespace of ${name}`, { hint })
  }
  try {
    if (sameNamespace(identityOf(fstatSync(descriptor)), ownIdentity)) return currentNamespace()
    return await openNamespace({ fd: descriptor })
  } finally {
    native.closeDescriptorNow(descriptor)
  }
}

/** Takes an interface over as it is. */
async function adoptDevice(kind: Kind, options: AdoptOptions): Promise<OpenDevice> {
  const fds = checkAdopt(options)
  const [{ name, flags }, ...others] = fds.map((fd) => identify(fd, kind)) as [Identity, ...Identity[]]
  for (const [i, other] of others.entries()) {
    if (other.name !== name)
      throw valueError(`options.fds[${i + 1}]`, fds[i + 1], `is of ${other.name}, not of ${name}`)
  }
  const taken: number[] = []
  try {
    for (const fd of fds) {
      takeOver(fd, true)
      taken.push(fd)
    }
    const place = await placeOf(fds[0] as number, name, options.namespace)
    const headers = (flags & IFF_VNET_HDR) !== 0
    const offloads = await setUp(fds[0] as number, name, headers)
    const layer3 = kind === 'tun'
    const make = (fd: number) => tunDevice({ fd, name, layer3, offloads })
    const [device, ...queues] = fds.map(make) as [PacketDevice, ...PacketDevice[]]
    const openOne = async (namespace: Namespace): Promise<PacketDevice> => {
      const wanted = flags & (IFF_TAP | IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
      const more = await native.openTun(descriptorOf(namespace), name, wanted, new Uint32Array())
      if (more.error < 0) throw openError(more, kind, `a queue of ${name}`, namespace, false, undefined)
      return make(more.fd)
    }
    return {
      device,
      place,
      queues,
      openQueue: 'namespace' in place && (flags & IFF_MULTI_QUEUE) !== 0 ? () => openOne(place.namespace) : undefined,
      offloads,
      readableHighWaterMark: options.readableHighWaterMark ?? 256,
      writableHighWaterMark: options.writableHighWaterMark ?? 256,
    }
  } catch (error) {
    await Promise.all(taken.map((fd) => native.closeDescriptor(fd)))
    throw error
  }
}

/** Frames as `openTap` would have them, whatever the one before (a hypervisor has headers of 12 bytes) has set. */
async function setUp(fd: number, name: string, headers: boolean): Promise<number | undefined> {
  const request = headers ? 'TUNSETVNETHDRSZ' : 'TUNSETOFFLOAD'
  const result = await native.controlTun(fd, tunConstants[request], headers ? OFFLOAD_HEADER_SIZE : 0)
  if (result < 0) throw systemError(result, request, `cannot set up ${name}`)
  return headers ? await setOffload(fd, name) : undefined
}

/**
 * Makes a Tap of a descriptor that somebody else has opened: one that this process inherited, that `receiveDescriptors` brought, or that
 * another thread has released. The tap owns it from here on, and closes it. Whether frames have offload headers is as it was opened
 * (IFF_VNET_HDR). Nobody else should read the same queue.
 *
 * It takes no privilege; without CAP_NET_ADMIN where the interface is, `tap.namespace` and `tap.link` throw.
 *
 * @throws NetkitError EBADF (not open), ENOTTY (not a tap), EBADFD (its interface was deleted): then the descriptor is the caller's
 * still; RangeError when it is a tun; ERR_INVALID_STATE when another object here holds it
 */
export async function adoptTap(options: AdoptOptions): Promise<Tap> {
  return new Tap(await adoptDevice('tap', options))
}

/** The same for a tun. */
export async function adoptTun(options: AdoptOptions): Promise<Tun> {
  return new Tun(await adoptDevice('tun', options))
}
