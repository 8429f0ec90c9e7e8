/** Classes: the parts that a classful queueing discipline divides a link into. What they are read as, and said as. */
import type { Decoded } from '../../netlink/message.js'
import { formatHandle, formatParent } from './handles.js'
import { classKinds, type RawOptions, rawKind } from './kinds.js'
import type { classMessage, tcmsg } from './message.js'
import { readStatistics, type TrafficStatistics } from './statistics.js'

/** The options of each kind, for adding and replacing. Each kind's file adds its own. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface ClassKinds {}

/** The options of a kind, by its name; of one without a file, its attributes by number. */
export type ClassOptionsOf<K extends string> = K extends keyof ClassKinds
  ? Partial<ClassKinds[K]>
  : Record<string, unknown>

/** A class, as read from the kernel. */
export interface TrafficClass<K extends string = string> {
  /** The index of the link. */
  index: number
  /** The kind of its queueing discipline. */
  kind: K
  /** '1:10'. */
  handle: string
  /** Its queueing discipline ('1:') or the class that it is a part of; 'root' for a class of the topmost level. */
  parent: string
  /** The handle of the queueing discipline that hangs in it. */
  leaf?: string
  options: ClassOptionsOf<K>
  statistics: TrafficStatistics
}

/** What every new one is given. */
export interface ClassPlace {
  /** Its queueing discipline ('1:'), or the class that it is a part of ('1:1'). */
  parent: string
  /** Its name: '1:10'; hexadecimal. */
  handle: string
}

/** One of a kind that netkit has a file for. */
export type NewClassOfKind<K extends keyof ClassKinds> = ClassPlace & { kind: K } & ClassKinds[K]

/** One of any other kind: `data` has its attributes by number (`{ '#1': bytes }`), or its options as they are. */
export interface NewRawClass extends ClassPlace {
  kind: string
  data?: RawOptions
}

export type NewClass = { [K in keyof ClassKinds]: NewClassOfKind<K> }[keyof ClassKinds]

/** A kernel's message as a TrafficClass. */
export function readClass({ header, attributes }: Decoded<typeof tcmsg, typeof classMessage.table>): TrafficClass {
  const { kind = '', options, statistics } = attributes
  const read: TrafficClass = {
    index: header.index,
    kind,
    handle: formatHandle(header.handle),
    parent: formatParent(header.parent),
    options:
      options === undefined
        ? {}
        : ((classKinds.of(kind) ?? rawKind).fromWire(options, header.handle) as TrafficClass['options']),
    statistics: readStatistics(statistics ?? {}),
  }
  if (header.info !== 0) read.leaf = formatHandle(header.info)
  return read
}
