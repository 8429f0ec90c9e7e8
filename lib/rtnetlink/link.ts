/** A link: a snapshot of what the kernel says of it, and what can be done with it. */
import { type InspectOptions, inspect } from 'node:util'
import { hasCode } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import { descriptorOf, isNamespace, labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { openNamespace } from '../namespace/open.js'
import { LITTLE_ENDIAN } from '../netlink/bytes.js'
import { valueError } from '../validate.js'
import { checkPrefix } from '../values/ip.js'
import { normalMac } from '../values/mac.js'
import type { Address } from './address.js'
import { type AddressTraits, checkAddressFilter, traitKeys } from './address-filter.js'
import { type AddressInput, type AddressOptions, checkAddressInput, checkAddressOptions } from './address-options.js'
import { addAddress, flushAddresses, removeAddress } from './addresses.js'
import { addAlternativeNames, removeAlternativeName } from './alternative-names.js'
import { orSayWhy } from './change-failure.js'
import { removeCompanion } from './companions.js'
import { flagNames, linkFlags } from './constants.js'
import { checkPortOptions, kindOptions, withIndexes } from './kind-options.js'
import { kindOf, type LinkKindStates, type LinkKinds } from './kinds/registry.js'
import { type LinkAttributes, linkMessage, wholePayload } from './link-attributes.js'
import { attachXdp, changeVirtualFunction, detachXdp } from './link-hardware.js'
import { fetchLink, removeLink } from './link-lookup.js'
import {
  changeKeys,
  checkSettings,
  checkTarget,
  flagBits,
  type LinkChanges,
  linkBrand,
  settingAttributes,
} from './link-options.js'
import { LinkProperties } from './link-properties.js'
import {
  conditionCheck,
  type LinkCondition,
  type OperationalState,
  type WaitOptions,
  waitForLink,
} from './link-wait.js'
import { checkAnyLinkName, checkLinkIndex, checkLinkName } from './names.js'
import { plain } from './plain.js'
import { masterFor, type PortOptions, type PortState } from './port-options.js'
import { change, requestThenRead } from './talk.js'
import type { VirtualFunctionSettings } from './virtual-functions.js'
import { wholeChange } from './whole-change.js'
import type { XdpDetachOptions, XdpOptions } from './xdp.js'

/** What is read of the options of a kind, by its name; of a kind without a table, whatever attributes there are. */
export type OptionsOf<K extends string> = K extends keyof LinkKindStates ? LinkKindStates[K] : WritableOptionsOf<K>

/** The options of a kind that can be given. */
export type WritableOptionsOf<K extends string> = K extends keyof LinkKinds ? LinkKinds[K] : Record<string, unknown>

export type LinkFlag = keyof typeof linkFlags

/**
 * A link of a namespace: an interface, as rtnetlink(7) has it. Its properties are a snapshot, taken when the object was made
 * and again by `refresh`, `set` and `waitFor`. Accepted wherever a link's name or index is.
 *
 * `delete` removes the link. `await using` removes it if netkit created it for this object, and leaves it when it was looked up.
 */
export class Link<K extends string = string> extends LinkProperties {
  readonly [linkBrand] = true
  #namespace: Namespace
  /** The payload of the RTM_NEWLINK; decoded when someone looks. */
  #payload: Uint8Array
  #attributes: LinkAttributes | undefined
  #seen: Readonly<LinkAttributes> | undefined
  readonly #created: boolean
  /** What is read of it beyond the usual (IFLA_EXT_MASK). */
  readonly #filterMask: number | undefined
  #deleted = false

  /** @internal Links come from `createLink`, `links.get` and their like. */
  constructor(namespace: Namespace, payload: Uint8Array, created: boolean, filterMask?: number) {
    super()
    this.#namespace = namespace
    this.#payload = payload
    this.#created = created
    this.#filterMask = filterMask
  }

  /** Everything the kernel said, by the names of netkit's table of attributes (linux/if_link.h); unknown ones by number. */
  get attributes(): Readonly<LinkAttributes> {
    this.#attributes ??= linkMessage.decode(wholePayload(this.#payload)).attributes
    return this.#attributes
  }

  protected get seen(): Readonly<LinkAttributes> {
    this.#seen ??= linkMessage.decodeLazily(wholePayload(this.#payload))
    return this.#seen
  }

  /** The namespace that the link is in. */
  get namespace(): Namespace {
    return this.#namespace
  }

  get index(): number {
    return new DataView(this.#payload.buffer, this.#payload.byteOffset).getInt32(4, LITTLE_ENDIAN)
  }

  get name(): string {
    return this.seen.name ?? ''
  }

  /** The kind: 'veth', 'bridge', 'tun' …; undefined for the loopback and most hardware. */
  get kind(): K | undefined {
    return this.seen.info?.kind as K | undefined
  }

  /** The options of its kind, by the names that creating takes; empty when it has none. */
  get options(): Readonly<OptionsOf<K>> {
    const data = this.seen.info?.data
    return (data === undefined || data instanceof Uint8Array ? {} : data) as OptionsOf<K>
  }

  /** The MAC address; an empty string when it has none. */
  get mac(): string {
    return this.seen.mac ?? ''
  }

  /** Maximum transmission unit in bytes. */
  get mtu(): number {
    return this.seen.mtu ?? 0
  }

  /** The flags that are set, by the names that `ip link` shows. */
  get flags(): readonly LinkFlag[] {
    return flagNames(linkFlags, this.#flagBits)
  }

  /** Set up by an administrator (IFF_UP). */
  get up(): boolean {
    return (this.#flagBits & linkFlags.UP) !== 0
  }

  /** Up, and the lower layer works (IFF_RUNNING). */
  get running(): boolean {
    return (this.#flagBits & linkFlags.RUNNING) !== 0
  }

  /** RFC 2863's state. Lags behind what sets it; `waitFor` waits for it. */
  get operationalState(): OperationalState | number {
    return this.seen.operationalState ?? 'unknown'
  }

  /** The index of the link that this one is a port of. */
  get master(): number | undefined {
    return this.seen.master
  }

  /**
   * What it is as a port of its master, by the names that the option `port` takes, with what can only be read; undefined when it
   * has no master, or one whose kind keeps nothing about its ports.
   */
  get port(): PortState | undefined {
    const data = this.seen.info?.portData
    return data === undefined || data instanceof Uint8Array ? undefined : (data as PortState)
  }

  /** The index of the link under this one, or of a veth's other end: in the namespace that `parentNamespaceId` tells. */
  get parent(): number | undefined {
    return this.seen.parent
  }

  get #flagBits(): number {
    return new DataView(this.#payload.buffer, this.#payload.byteOffset).getUint32(8, LITTLE_ENDIAN)
  }

  /**
   * Changes what is given, in one request (one more for `up: true` with `addressGeneration`, and one for `port` with anything
   * else), and takes a new snapshot, also when that fails: the kernel does not undo what it has done before the failure.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError ENODEV when the link is gone, EBUSY when it cannot be changed while
   * up, EPERM without CAP_NET_ADMIN
   */
  async set(changes: LinkChanges & Partial<Omit<WritableOptionsOf<K>, 'port'>>): Promise<this> {
    const elsewhere: unknown = changes?.namespace
    if (elsewhere !== undefined && !isNamespace(elsewhere)) {
      const opened = await openNamespace(checkTarget(elsewhere, 'changes.namespace'))
      try {
        return await this.set({ ...changes, namespace: opened })
      } finally {
        if (this.#namespace !== opened) await opened.close()
      }
    }
    const { common, own: given } = kindOptions(this.kind ?? '', changes, changeKeys, 'changes')
    const settings = common as LinkChanges
    checkSettings(settings, 'changes')
    if (settings.name !== undefined) checkLinkName(settings.name, 'changes.name')
    if (settings.index !== undefined) checkLinkIndex(settings.index, 'changes.index')
    if (settings.up === true && settings.addressGeneration !== undefined) {
      // The kernel brings the link up first, and that is when addresses are made.
      await this.set({ ...changes, up: undefined })
      return this.set({ up: true } as typeof changes)
    }
    if (settings.port !== undefined) return this.#setPort(settings.port, { ...changes, port: undefined })
    const target = (settings.namespace as Namespace | undefined) ?? this.#namespace
    descriptorOf(target) // throws when it is closed
    const moves = !sameNamespace(target, this.#namespace)
    if (settings.index !== undefined && !moves) {
      throw valueError('changes.index', settings.index, 'is for a link that moves to another namespace')
    }
    // It is found again by its name, which somebody may have changed.
    if (moves && settings.name === undefined) await this.#fetch()
    const name = settings.name ?? this.name
    const found = masterFor(target, settings, 'changes')
    const master = typeof found === 'object' ? await found : found
    const indexed = withIndexes(this.#namespace, kindOf(this.kind), given, 'changes')
    const own = indexed instanceof Promise ? await indexed : indexed
    const whole = own === undefined ? undefined : wholeChange(this, own, () => this.#fetch())
    const { data, sent } = whole instanceof Promise ? await whole : (whole ?? { data: undefined, sent() {} })
    const request = change(this.#namespace, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      header: { index: this.index, ...flagBits(settings) },
      attributes: {
        // When it moves, its name finds it there: the index may be taken.
        name: moves ? name : settings.name,
        namespaceFd: moves ? target.fd : undefined,
        newIndex: settings.index,
        ...settingAttributes(settings, master),
        info: data === undefined ? undefined : { kind: this.kind, data },
      },
      what: `cannot change ${this.name}`,
    })
    sent()
    const wish = { namespace: target, name: moves ? name : settings.name, index: settings.index }
    const asked = orSayWhy(request, this.kind, given, wish)
    if (!moves) {
      await requestThenRead(asked, this.#fetch())
      return this
    }
    try {
      await asked
    } catch (error) {
      await this.#follow(target, [this.name, name], settings.mac)
      throw error
    }
    await removeCompanion(this.#namespace, this.index)
    this.#namespace = target
    this.#take(await fetchLink(target, name, `cannot find ${name}, which was moved to ${labelOf(target)}`))
    return this
  }

  /** Changes what the link is as a port, after the other changes: the kernel asks the master that the link has by then. */
  async #setPort(port: PortOptions, changes: LinkChanges): Promise<this> {
    const { master } = changes
    if (master !== undefined) {
      const found = masterFor(
        (changes.namespace as Namespace | undefined) ?? this.#namespace,
        { master, port },
        'changes',
      )
      if (typeof found === 'object') await found
    } else if (this.master === undefined) await this.#fetch()
    if (master === undefined) {
      if (this.master === undefined) {
        throw valueError('changes.port', port, `is for a port, and ${this.name} has no master`)
      }
      checkPortOptions(port, this.seen.info?.portKind, 'changes.port')
    }
    if (Object.values(changes).some((value) => value !== undefined))
      await this.set(changes as Parameters<this['set']>[0])
    const portKind = this.seen.info?.portKind
    const given = checkPortOptions(port, portKind, 'changes.port')
    const indexed = withIndexes(this.#namespace, kindOf(portKind)?.port, given, 'changes.port')
    const portData = indexed instanceof Promise ? await indexed : indexed
    const asked = change(this.#namespace, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      header: { index: this.index },
      attributes: { info: { portKind, portData } },
      what: () => `cannot change ${this.name} as a port`,
    })
    await requestThenRead(asked, this.#fetch())
    return this
  }

  /** After a move that failed: the link may have moved before the failure, with its old name or the new one. */
  async #follow(target: Namespace, names: readonly string[], mac: string | undefined): Promise<void> {
    const macs = [this.mac, mac === undefined ? undefined : normalMac(mac)]
    try {
      await this.#fetch()
    } catch {
      for (const name of names) {
        const payload = await fetchLink(target, name, '').catch(() => undefined)
        if (payload === undefined) continue
        const found = new Link(target, payload, false)
        if (found.kind !== this.kind || !macs.includes(found.mac)) continue
        this.#namespace = target
        this.#take(payload)
        return
      }
    }
  }

  /** Takes a new snapshot. Rejects with ENODEV when the link is gone. */
  async refresh(): Promise<this> {
    await this.#fetch()
    return this
  }

  async #fetch(): Promise<void> {
    const filterMask = this.#filterMask
    this.#take(await fetchLink(this.#namespace, this.index, () => `cannot read ${this.name}`, { filterMask }))
  }

  #take(payload: Uint8Array): void {
    this.#payload = payload
    this.#attributes = this.#seen = undefined
  }

  /** Removes the link. Succeeds when it is gone already. */
  async delete(): Promise<void> {
    if (this.#deleted) return
    try {
      await removeLink(this.#namespace, this.index, () => `cannot delete ${this.name}`)
    } catch (error) {
      if (!hasCode(error, 'ENODEV')) throw error
    }
    this.#deleted = true
    await removeCompanion(this.#namespace, this.index)
  }

  /** Gives the link one more name, of up to 127 bytes, by which it is found too. Rejects with EEXIST when it is taken. */
  async addAlternativeName(name: string): Promise<this> {
    checkAnyLinkName(name, 'name')
    const asked = addAlternativeNames(this.#namespace, this.index, [name], () => this.name)
    await requestThenRead(asked, this.#fetch())
    return this
  }

  /** Takes an alternative name away. Rejects with ENOENT when the link does not have it. */
  async removeAlternativeName(name: string): Promise<this> {
    checkAnyLinkName(name, 'name')
    const asked = removeAlternativeName(this.#namespace, this.index, name, () => this.name)
    await requestThenRead(asked, this.#fetch())
    return this
  }

  /**
   * Attaches an XDP program, which sees the link's frames before the kernel does; `link.xdp` tells what is attached. It stays
   * until it is detached, replaced, or the link is gone.
   * @throws NetkitError EBADF or EINVAL for a descriptor that is no such program, EBUSY (`ifNoneAttached`, or a program in the
   * other mode), EEXIST (`replace`), EOPNOTSUPP when the driver has no such mode, EPERM without CAP_NET_ADMIN
   */
  async attachXdp(options: XdpOptions): Promise<this> {
    await attachXdp(this, options)
    return this
  }

  /** Detaches the XDP programs, or that of a mode. Succeeds when there is none. */
  async detachXdp(options: XdpDetachOptions = {}): Promise<this> {
    await detachXdp(this, options)
    return this
  }

  /**
   * SR-IOV: changes a virtual function of this card, by its number from 0. Takes a new snapshot.
   * @throws NetkitError EINVAL when there is no such function, EOPNOTSUPP when the card cannot do it
   */
  async setVirtualFunction(number: number, settings: VirtualFunctionSettings): Promise<this> {
    await changeVirtualFunction(this, number, settings)
    return this
  }

  /** Gives the link an address. Rejects with EEXIST when it has it. */
  async addAddress(address: string, options: AddressOptions = {}): Promise<void> {
    const prefix = checkPrefix(address, 'address')
    checkAddressOptions(options, prefix, 'options')
    await addAddress(this.#namespace, this.index, { ...prefix, text: address, options }, () => this.name)
  }

  /** Takes an address away; one with a peer is named with it. Rejects with ENOENT when the link does not have it. */
  async removeAddress(address: AddressInput): Promise<void> {
    await removeAddress(this.#namespace, this.index, checkAddressInput(address, 'address'), this.name)
  }

  /** Takes all addresses away, or those that the filter matches. Resolves to those that were removed. */
  async flushAddresses(filter: AddressTraits = {}): Promise<Address[]> {
    checkAddressFilter(filter, 'filter', traitKeys)
    return flushAddresses(this.#namespace, this.index, filter)
  }

  /**
   * Waits until the link is as asked, by the kernel's events. Takes a new snapshot. (The kernel tells nothing of changes to the
   * alias and the queue of a link that is down.)
   * @param condition properties and their values, or a function that looks at the link
   * @throws NetkitError ETIMEDOUT after `timeout`, ENODEV when the link is deleted (or leaves the namespace) meanwhile;
   * AbortError by `signal`, or when the namespace handle is closed; what the function throws
   */
  async waitFor(condition: LinkCondition | ((link: this) => boolean), options: WaitOptions = {}): Promise<this> {
    const holds = conditionCheck<this>(condition)
    await waitForLink(
      {
        namespace: this.#namespace,
        index: this.index,
        name: this.name,
        fetch: () => this.#fetch(),
        take: (payload) => this.#take(payload),
        holds: () => holds(this),
      },
      condition,
      options,
    )
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Without its namespace's handle nothing can be done, and what else went wrong is worth more than to hear of that.
    if (this.#created && !this.#namespace.closed) await this.delete()
  }

  /** Plain data: what `JSON.stringify` and `console.log` show. Raw attributes are hexadecimal text, bigints decimal text. */
  toJSON(): Record<string, unknown> {
    const { index, name, kind, mac, mtu, up, running, flags, operationalState, master, parent, alias, stats } = this
    const options = plain(this.options)
    const port = this.port === undefined ? undefined : plain(this.port)
    return {
      index,
      name,
      kind,
      mac,
      mtu,
      up,
      running,
      flags,
      operationalState,
      master,
      port,
      parent,
      alias,
      options,
      stats,
    }
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { stats: _, ...shown } = this.toJSON()
    return `Link ${inspect(JSON.parse(JSON.stringify(shown)), options)}`
  }
}
