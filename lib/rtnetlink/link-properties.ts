/** What the kernel says of a link beyond what tells it from others: read from its attributes when someone looks. */

import type { AnyTable, AttributesOf } from '../netlink/table.js'
import {
  type Ipv4Parameters,
  type Ipv6Parameters,
  ipv4Parameters,
  ipv6Parameters,
  readParameters,
} from './device-configuration.js'
import type {
  inet6LinkAttributes,
  inetLinkAttributes,
  LinkAttributes,
  LinkMode,
  LinkStatistics,
} from './link-attributes.js'
import { readVirtualFunctions, type VirtualFunction } from './virtual-functions.js'
import { readXdp, type XdpState } from './xdp.js'

/** What a Link is made upon. */
export abstract class LinkProperties {
  abstract get attributes(): Readonly<LinkAttributes>
  /** The same without unknown ones, each read at its first use. */
  protected abstract get seen(): Readonly<LinkAttributes>

  /** More names, which may be longer than 15 bytes. */
  get alternativeNames(): readonly string[] {
    return this.seen.properties?.alternativeNames ?? []
  }

  get alias(): string | undefined {
    return this.seen.alias
  }

  get group(): number {
    return this.seen.group ?? 0
  }

  get txQueueLength(): number {
    return this.seen.txQueueLength ?? 0
  }

  /** How the interface's IPv6 addresses are made; undefined without IPv6. */
  get addressGeneration(): string | number | undefined {
    return this.#inet6?.addressGeneration
  }

  /** Counters since the link was made. */
  get stats(): Readonly<LinkStatistics> | undefined {
    return this.seen.statistics
  }

  /** The hardware address that frames for everybody have; empty when there is none. */
  get broadcast(): string {
    return this.seen.broadcast ?? ''
  }

  /** The hardware's own MAC address, whatever the link was given since; undefined for links without hardware. */
  get permanentMac(): string | undefined {
    return this.seen.permanentMac
  }

  /** Whether the lower layer works: a veth's other end is up, a tap is open. Undefined when the kernel does not say. */
  get carrier(): boolean | undefined {
    return this.seen.carrier
  }

  /** Where the kernel stops when the link comes up: 'dormant' waits for a program (`set({ operationalState: 'up' })`). */
  get linkMode(): LinkMode | number {
    return this.seen.linkMode ?? 'default'
  }

  /** Held down by a program, whatever the lower layer does. */
  get protocolDown(): boolean {
    return this.seen.protocolDown ?? false
  }

  /** Why it is held down: the numbers of the reasons that are set. */
  get protocolDownReasons(): number[] {
    const bits = this.seen.protocolDownReason?.value ?? 0
    return Array.from({ length: 32 }, (_, i) => i).filter((bit) => ((bits >>> bit) & 1) === 1)
  }

  /** How many want to see all frames: `promiscuous: true` counts as one, and so does each bridge and packet capture. */
  get promiscuity(): number {
    return this.seen.promiscuity ?? 0
  }

  /** How many want all multicast frames; `undefined` on kernels before 6.0, which do not say. */
  get allMulticastCount(): number | undefined {
    return this.seen.allMulticast
  }

  /** The id (`namespace.namespaceIds`) of the namespace that `parent` is in; undefined when that is the link's own. */
  get parentNamespaceId(): number | undefined {
    return this.seen.parentNamespaceId
  }

  /** The smallest MTU that the link takes, in bytes. */
  get minimumMtu(): number | undefined {
    return this.attributes.minimumMtu
  }

  /** The largest; 0 for no limit. */
  get maximumMtu(): number | undefined {
    return this.attributes.maximumMtu
  }

  /** Largest packet that the device can cut into segments by itself, in bytes: what `gsoMaxSize` may be raised to. */
  get tsoMaxSize(): number | undefined {
    return this.attributes.tsoMaxSize
  }

  /** Most segments of such a packet. */
  get tsoMaxSegments(): number | undefined {
    return this.attributes.tsoMaxSegments
  }

  /** Parameters of IPv4 for this link (net.ipv4.conf); `set({ ipv4 })` changes them. Undefined without IPv4. */
  get ipv4(): Readonly<Ipv4Parameters> | undefined {
    const inet = this.#family('inet') as AttributesOf<typeof inetLinkAttributes> | undefined
    return readParameters(ipv4Parameters as unknown as AnyTable, 1, inet?.configuration as Uint8Array | undefined)
  }

  /** Parameters of IPv6 for this link (net.ipv6.conf), to be read; `namespace.sysctl` changes them. Undefined without IPv6. */
  get ipv6(): Ipv6Parameters | undefined {
    return readParameters(ipv6Parameters as unknown as AnyTable, 0, this.#inet6?.configuration)
  }

  /** The XDP programs that are attached; undefined when there are none. */
  get xdp(): XdpState | undefined {
    return readXdp(this.seen.xdp)
  }

  /**
   * SR-IOV: the card's virtual functions; empty for other links. They are read only when asked for, by
   * `links.get('eth0', { virtualFunctions: true })` or `list`, and again by what takes a new snapshot of that Link.
   */
  get virtualFunctions(): VirtualFunction[] {
    return readVirtualFunctions(this.seen.virtualFunctions, this.seen.mac ?? '')
  }

  /** The lower half of the addresses that router advertisements lead to; undefined when there is none. */
  get ipv6Token(): string | undefined {
    const token = this.#inet6?.token
    return token === '::' ? undefined : token
  }

  get #inet6(): AttributesOf<typeof inet6LinkAttributes> | undefined {
    return this.#family('inet6') as AttributesOf<typeof inet6LinkAttributes> | undefined
  }

  #family(name: 'inet' | 'inet6'): unknown {
    const { families } = this.seen
    return families === undefined || families instanceof Uint8Array ? undefined : families[name]
  }
}
