/** Macvtaps: links with a MAC address of their own on another link, whose frames this process reads and writes. */
import { errnoName } from '../errno.js'
import { type NetkitError, namedError, systemError, throwIfAborted, undoOnFailure } from '../errors.js'
import { capabilityHint, descriptorOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { type MacvtapResult, native } from '../native.js'
import { OFFLOAD_HEADER_SIZE } from '../packets/constants.js'
import type { PacketDevice } from '../packets/device.js'
import { deviceOf, PacketEnd } from '../packets/end.js'
import { createLink } from '../rtnetlink/create-link.js'
import type { MacvlanOptions } from '../rtnetlink/kinds/macvlan.js'
import type { Link } from '../rtnetlink/link.js'
import { isLink, type LinkReference, type NewLink } from '../rtnetlink/link-options.js'
import '../rtnetlink/links.js'
import { checkBoolean, checkInteger, checkOptions, checkSignal, typeError, valueError } from '../validate.js'
import { tunConstants } from './constants.js'
import { setOffload } from './open.js'
import { TunQueue, tunDevice } from './queue.js'

/** What `openMacvtap` takes of an existing link and of a new one. */
export interface MacvtapSettings {
  /** True lets frames come and go with an offload header, as `offload` of `openTap`. Default: false. */
  offload?: boolean
  /** How many queues to open, from 1 to 256. Default: 1. */
  queues?: number
  /** How many frames the stream reads ahead. Default: 256. */
  readableHighWaterMark?: number
  /** How many frames may wait in the stream before `write` returns false. Default: 256. */
  writableHighWaterMark?: number
  /** Gives up opening, with an AbortError. A link that was made meanwhile goes again. */
  signal?: AbortSignal
}

/** Opens the device of a macvtap or ipvtap that exists. */
export interface ExistingMacvtap extends MacvtapSettings {
  /** A Link, a name or an index. */
  link: LinkReference
  /** The namespace of the link. Default: that of the Link, or the process's own. */
  namespace?: Namespace
}

/** Makes a macvtap, which goes when it is closed. `namespace`: that of a parent that is a Link by default, or the process's own. */
export interface NewMacvtap extends MacvtapSettings, NewLink, MacvlanOptions {
  /** The link that it stands on. */
  parent: LinkReference
}

/** Options of `openMacvtap`. */
export type MacvtapOptions = ExistingMacvtap | NewMacvtap

/** How often a macvtap is asked whether it is still there, in milliseconds: its descriptor does not tell. */
const PROBE = 500

const settings = ['offload', 'queues', 'readableHighWaterMark', 'writableHighWaterMark', 'signal'] as const

interface OpenMacvtap {
  device: PacketDevice
  queues: PacketDevice[]
  link: Link
  isOwn: boolean
  readableHighWaterMark: number
  writableHighWaterMark: number
}

/**
 * An open macvtap: a `stream.Duplex` in object mode, of Ethernet frames. Reading gives what comes in for the link's MAC address,
 * writing is sent by its parent.
 *
 * When the link is deleted, the end fails with ENODEV, within half a second or so: the kernel does not tell, and takes what is written
 * until then without a word.
 */
export class Macvtap extends PacketEnd {
  /** The macvtap's link, as it was after opening. */
  readonly link: Link
  readonly #queues: TunQueue[]
  readonly #isOwn: boolean
  readonly #probe: NodeJS.Timeout
  #released = false

  /** @internal */
  constructor(open: OpenMacvtap) {
    super({ ...open, mtu: open.link.mtu })
    this.link = open.link
    this.#isOwn = open.isOwn
    const { readableHighWaterMark, writableHighWaterMark } = open
    this.#queues = open.queues.map(
      (device) =>
        new TunQueue(device, open.link.mtu, readableHighWaterMark, writableHighWaterMark, (closed) => {
          const at = this.#queues.indexOf(closed)
          if (at >= 0) this.#queues.splice(at, 1)
        }),
    )
    this.#probe = probe(new WeakRef(this))
  }

  /** The namespace that the link was in when it was opened. */
  get namespace(): Namespace {
    return this.link.namespace
  }

  /** All queues: this object itself, and those that `queues` opened and that are not closed. */
  get queues(): readonly PacketEnd[] {
    return [this, ...this.#queues]
  }

  /** One descriptor a queue, for a hypervisor or any other child process. They are closed by `close()`; a child keeps its own. */
  override get fds(): readonly number[] {
    return [...super.fds, ...this.#queues.flatMap((queue) => queue.fds)]
  }

  /** @internal The link is gone: this and its queues fail. */
  fail(error: NetkitError): void {
    for (const end of this.queues) {
      const device = deviceOf(end)
      device.failure ??= error
      end.destroy(end.listenerCount('error') > 0 ? error : undefined)
    }
  }

  /**
   * Gives all descriptors away: netkit neither reads, writes nor closes them any more, and this object and its queues are closed. A link
   * that was made by opening stays, too, and is the caller's.
   *
   * @returns the descriptors, one a queue: whoever gets them closes them
   */
  override async release(): Promise<number[]> {
    if (!this.destroyed) this.#released = true
    const rest = this.#queues.map((queue) => queue.release())
    const own = await super.release()
    return [...own, ...(await Promise.all(rest)).flat()]
  }

  /**
   * Lets go of the descriptors, those of all queues, and deletes the link if opening made it. Resolves when that is done. Idempotent.
   */
  override async close(): Promise<void> {
    await Promise.all([...this.#queues.map((queue) => queue.close()), super.close()])
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#probe)
    super._destroy(error, (failure) => {
      const isLeft = !this.#isOwn || this.#released
      // What a namespace that is closed keeps is not this end's any more.
      const gone = isLeft ? Promise.resolve() : this.link.delete().catch(() => {})
      void gone.then(() => callback(failure))
    })
  }
}

/** Looks whether the link is still there, as long as the end is open and not forgotten. */
function probe(reference: WeakRef<Macvtap>): NodeJS.Timeout {
  const timer = setInterval(async () => {
    const macvtap = reference.deref()
    if (macvtap === undefined || macvtap.destroyed) {
      clearInterval(timer)
      return
    }
    const result = await native.probeTun(deviceOf(macvtap).fd)
    if (errnoName(-result) === 'ENOLINK' && !macvtap.destroyed) {
      macvtap.fail(namedError('ENODEV', 'read', `${macvtap.name} was deleted`))
    }
  }, PROBE)
  return timer.unref()
}

function checkMacvtapOptions(options: MacvtapOptions): void {
  if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
  const { parent, link } = options as Partial<NewMacvtap & ExistingMacvtap>
  if ((parent === undefined) === (link === undefined)) {
    throw valueError(
      'options',
      options,
      'expected either the `link` that is to be opened, or the `parent` of a new one',
    )
  }
  if (link !== undefined) checkOptions(options, 'options', ['link', 'namespace', ...settings])
  if (options.offload !== undefined) checkBoolean(options.offload, 'options.offload')
  if (options.queues !== undefined) checkInteger(options.queues, 'options.queues', 1, 256)
  for (const mark of ['readableHighWaterMark', 'writableHighWaterMark'] as const) {
    if (options[mark] !== undefined) checkInteger(options[mark], `options.${mark}`, 1, 65_536)
  }
  checkSignal(options.signal, 'options.signal')
}

/** The link that is to be opened, and whether it was made here. */
async function linkOf(options: MacvtapOptions): Promise<{ link: Link; isOwn: boolean }> {
  if ('parent' in options) {
    const rest: Record<string, unknown> = { ...options }
    for (const key of settings) delete rest[key]
    const { parent } = options
    if (options.namespace === undefined && isLink(parent)) rest.namespace = parent.namespace
    return { link: await createLink({ ...(rest as unknown as NewMacvtap), kind: 'macvtap' }), isOwn: true }
  }
  const { link } = options
  const namespace = options.namespace ?? (isLink(link) ? link.namespace : currentNamespace())
  const found = await namespace.links.get(isLink(link) ? link.index : link)
  if (found.kind !== 'macvtap' && found.kind !== 'ipvtap') {
    throw namedError('EINVAL', 'open', `cannot open ${found.name}: it is a ${found.kind ?? 'link'} and no macvtap`)
  }
  return { link: found, isOwn: false }
}

/**
 * Opens the character device of a macvtap or ipvtap, or makes a macvtap first. Works for links of any namespace, and whatever /dev and
 * /sys hold.
 *
 * Needs CAP_SYS_ADMIN in the user namespace that owns the network namespace, and CAP_MKNOD in the initial one. Without them, a file
 * /dev/tapINDEX is opened that is the link's, if the process may open it.
 *
 * @throws NetkitError EINVAL when the link is no macvtap; ENODEV when there is none; EPERM, EACCES; and what `createLink` throws
 */
export async function openMacvtap(options: MacvtapOptions): Promise<Macvtap> {
  checkMacvtapOptions(options)
  const { offload = false, queues = 1, signal } = options
  throwIfAborted(signal, 'opening a macvtap')
  const { link, isOwn } = await linkOf(options)
  const fds: number[] = []
  return undoOnFailure(
    async () => {
      throwIfAborted(signal, `opening ${link.name}`)
      const { IFF_TAP, IFF_NO_PI, IFF_VNET_HDR } = tunConstants
      const flags = IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0)
      while (fds.length < queues) {
        const opened = await native.openMacvtap(descriptorOf(link.namespace), link.name, link.index, flags)
        if (opened.error < 0) throw openError(opened, link)
        fds.push(opened.fd)
        if (offload) await control(opened.fd, 'TUNSETVNETHDRSZ', OFFLOAD_HEADER_SIZE, link)
      }
      throwIfAborted(signal, `opening ${link.name}`)
      const [first] = fds as [number]
      let offloads: number | undefined
      if (offload) offloads = await setOffload(first, link.name)
      // An earlier holder may have left it on: frames without a header must come whole.
      else await control(first, 'TUNSETOFFLOAD', 0, link)
      throwIfAborted(signal, `opening ${link.name}`)
      const [device, ...others] = fds.map((fd) => tunDevice({ fd, name: link.name, layer3: false, offloads }))
      return new Macvtap({
        device: device as PacketDevice,
        queues: others,
        link,
        isOwn,
        readableHighWaterMark: options.readableHighWaterMark ?? 256,
        writableHighWaterMark: options.writableHighWaterMark ?? 256,
      })
    },
    async () => {
      await Promise.all(fds.map((fd) => native.closeDescriptor(fd)))
      if (isOwn) await link.delete()
    },
  )
}

async function control(fd: number, request: 'TUNSETVNETHDRSZ' | 'TUNSETOFFLOAD', value: number, link: Link) {
  const result = await native.controlTun(fd, tunConstants[request], value)
  if (result < 0) throw systemError(result, request, `cannot set the offload of ${link.name}`)
}

function openError({ error, syscall }: MacvtapResult, link: Link): NetkitError {
  const { name, namespace } = link
  const hints: Record<MacvtapResult['syscall'], () => string | undefined> = {
    setns: () => capabilityHint(namespace, 'CAP_SYS_ADMIN'),
    sysfs: () =>
      capabilityHint(namespace, 'CAP_SYS_ADMIN') ??
      'it takes CAP_SYS_ADMIN in the user namespace of the mount namespace that this process is in, too',
    open: () =>
      `it takes CAP_MKNOD in the initial user namespace, or a file /dev/tap${link.index} that this process may open`,
    TUNGETIFF: () => undefined,
    TUNSETIFF: () => undefined,
  }
  const isDenied = errnoName(-error) === 'EPERM' || errnoName(-error) === 'EACCES'
  const what = syscall === 'sysfs' ? `cannot find the device of ${name}` : `cannot open the device of ${name}`
  return systemError(error, syscall, what, { hint: isDenied ? hints[syscall]() : undefined })
}
