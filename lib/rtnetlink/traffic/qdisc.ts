/** Queueing disciplines (qdiscs): what they are read as, and what a caller says of a new one. */
import type { Decoded } from '../../netlink/message.js'
import { formatHandle, formatParent } from './handles.js'
import { qdiscKinds, type RawOptions, rawKind } from './kinds.js'
import type { qdiscMessage, tcmsg } from './message.js'
import { readStatistics, type TrafficStatistics } from './statistics.js'

/** The options of each kind, for adding and replacing. Each kind's file adds its own. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface QdiscKinds {}

/** The options of a kind, by its name; of one without a file, its attributes by number. */
export type QdiscOptionsOf<K extends string> = K extends keyof QdiscKinds
  ? Partial<QdiscKinds[K]>
  : Record<string, unknown>

/** A queueing discipline, as read from the kernel. */
export interface Qdisc<K extends string = string> {
  /** The index of the link. */
  index: number
  kind: K
  /** '1:'; '0:' for those that the kernel puts in place of none. */
  handle: string
  /** 'root', 'ingress' (of ingress and clsact), or the class that it hangs in: '1:10'. */
  parent: string
  /** The options of its kind, by the names that adding takes, and what can only be read. */
  options: QdiscOptionsOf<K>
  statistics: TrafficStatistics
  /** Whether the device does the work. */
  offloaded?: boolean
  /** The shared blocks of filters (tc(8), "block"). */
  ingressBlock?: number
  egressBlock?: number
}

/** What every new one may be given. */
export interface QdiscPlace {
  /** Where it hangs: 'root', or a class such as '1:10'. Default: 'root'; 'ingress' and 'clsact' have a place of their own. */
  parent?: string
  /** Its name, as '1:'; hexadecimal. Default: the kernel chooses. */
  handle?: string
}

/** One of a kind that netkit has a file for. */
export type NewQdiscOfKind<K extends keyof QdiscKinds> = QdiscPlace & { kind: K } & QdiscKinds[K]

/** One of any other kind: `data` has its attributes by number (`{ '#1': bytes }`), or its options as they are. */
export interface NewRawQdisc extends QdiscPlace {
  kind: string
  data?: RawOptions
}

export type NewQdisc = { [K in keyof QdiscKinds]: NewQdiscOfKind<K> }[keyof QdiscKinds]

/** A kernel's message as a Qdisc. */
export function readQdisc({ header, attributes }: Decoded<typeof tcmsg, typeof qdiscMessage.table>): Qdisc {
  const { kind = '', options, statistics, offloaded, ingressBlock, egressBlock } = attributes
  const read: Qdisc = {
    index: header.index,
    kind,
    handle: formatHandle(header.handle),
    parent: formatParent(header.parent),
    options:
      options === undefined
        ? {}
        : ((qdiscKinds.of(kind) ?? rawKind).fromWire(options, header.handle) as Qdisc['options']),
    statistics: readStatistics(statistics ?? {}),
  }
  if (offloaded !== undefined) read.offloaded = offloaded !== 0
  if (ingressBlock !== undefined) read.ingressBlock = ingressBlock
  if (egressBlock !== undefined) read.egressBlock = egressBlock
  return read
}
