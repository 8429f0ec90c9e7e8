/** Queues without options or with one: pfifo, bfifo, pfifo_fast, prio, ingress, clsact, mq, noqueue (tc(8); linux/pkt_sched.h). */
import { type AttributeType, structure } from '../../../netlink/attribute.js'
import { headerConstants } from '../../../netlink/header-words.js'
import { octets, Struct, type StructOf, s32, u32 } from '../../../netlink/struct.js'
import { attributes, nested } from '../../../netlink/table.js'
import { typeError, valueError } from '../../../validate.js'
import { qdiscKinds } from '../kinds.js'
import { checkCount } from '../units.js'

const { TC_PRIO_MAX, TCQ_PRIO_BANDS, TCQ_MIN_PRIO_BANDS } = headerConstants({
  TC_PRIO_MAX: 15,
  TCQ_PRIO_BANDS: 16,
  TCQ_MIN_PRIO_BANDS: 2,
})

export const fifoParameters = new Struct('tc_fifo_qopt', { limit: ['limit', u32] })

export const priorityParameters = new Struct('tc_prio_qopt', {
  bands: ['bands', s32],
  priorityMap: ['priomap', octets(TC_PRIO_MAX + 1)],
})

export interface FifoOptions {
  /** How much may wait: packets for pfifo, bytes for bfifo. Default: the link's queue length, times its MTU for bfifo. */
  limit?: number
}

export interface PrioOptions {
  /** From 2 to 16; the first is sent from first. Default: 3. */
  bands?: number
  /** The band of each of the 16 priorities of packets (SO_PRIORITY). Default: 1,2,2,2,1,2,0,0,1,1,1,1,1,1,1,1. */
  priorityMap?: readonly number[]
}

/** A struct that may be missing. */
function optional<T extends object>(wire: AttributeType<T>): AttributeType<T | undefined> {
  return {
    decode: (source, offset, length, context) =>
      length === 0 ? undefined : wire.decode(source, offset, length, context),
    encode(writer, value, name, context) {
      if (value !== undefined) wire.encode(writer, value, name, context)
    },
  }
}

for (const kind of ['pfifo', 'bfifo'] as const) {
  qdiscKinds.define({
    kind,
    wire: optional(structure(fifoParameters)),
    keys: ['limit'],
    toWire: ({ limit }: FifoOptions, name) =>
      limit === undefined ? undefined : { limit: checkCount(limit, `${name}.limit`) },
    fromWire: (wire) => ({ limit: wire?.limit }),
  })
}

/** The kernel's own map, of pfifo_fast and prio (tc-prio(8)). */
const usualMap = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]

function toBands(
  { bands = 3, priorityMap = usualMap }: PrioOptions,
  name: string,
): StructOf<typeof priorityParameters> {
  checkCount(bands, `${name}.bands`, TCQ_MIN_PRIO_BANDS, TCQ_PRIO_BANDS)
  if (!Array.isArray(priorityMap)) throw typeError(`${name}.priorityMap`, 'an array', priorityMap)
  if (priorityMap.length !== TC_PRIO_MAX + 1) {
    throw valueError(`${name}.priorityMap`, priorityMap, `has ${priorityMap.length} bands for 16 priorities`)
  }
  // Where there are two bands, the usual map names a third.
  const map = priorityMap === usualMap ? usualMap.map((band) => Math.min(band, bands - 1)) : priorityMap
  map.forEach((band, i) => checkCount(band, `${name}.priorityMap[${i}]`, 0, bands - 1))
  return { bands, priorityMap: Uint8Array.from(map) }
}

const fromBands = (wire: StructOf<typeof priorityParameters> | undefined) => ({
  bands: wire?.bands,
  priorityMap: [...(wire?.priorityMap ?? [])],
})

qdiscKinds.define({
  kind: 'prio',
  wire: structure(priorityParameters),
  keys: ['bands', 'priorityMap'],
  toWire: toBands,
  fromWire: fromBands,
})

qdiscKinds.define({
  kind: 'pfifo_fast',
  wire: optional(structure(priorityParameters)),
  keys: [],
  toWire: () => undefined,
  fromWire: fromBands,
})

const nothing = attributes({})

for (const kind of ['ingress', 'clsact', 'mq', 'noqueue'] as const) {
  qdiscKinds.define({ kind, wire: nested(nothing), keys: [], toWire: () => undefined, fromWire: () => ({}) })
}

/** Nothing to say. */
export type NoOptions = Record<never, never>

declare module '../qdisc.js' {
  interface QdiscKinds {
    pfifo: FifoOptions
    bfifo: FifoOptions
    prio: PrioOptions
    pfifo_fast: NoOptions
    ingress: NoOptions
    clsact: NoOptions
    mq: NoOptions
    noqueue: NoOptions
  }
}
