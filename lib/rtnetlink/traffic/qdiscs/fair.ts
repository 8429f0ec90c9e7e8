/** Queues that share fairly or keep delay short: fq, fq_codel, codel, sfq (tc-fq(8) and its like; linux/pkt_sched.h). */
import { attributeU8, attributeU32, boolean8, boolean32, structure } from '../../../netlink/attribute.js'
import { member, octets, Struct, s32, u8, u32 } from '../../../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { plainKind, qdiscKinds } from '../kinds.js'
import { checkCount, checkTime, microseconds32, nanoseconds32, rate32 } from '../units.js'

export const fqAttributes = attributes({
  limit: [1, 'TCA_FQ_PLIMIT', attributeU32],
  flowLimit: [2, 'TCA_FQ_FLOW_PLIMIT', attributeU32],
  quantum: [3, 'TCA_FQ_QUANTUM', attributeU32],
  initialQuantum: [4, 'TCA_FQ_INITIAL_QUANTUM', attributeU32],
  pacing: [5, 'TCA_FQ_RATE_ENABLE', boolean32],
  flowDefaultRate: [6, 'TCA_FQ_FLOW_DEFAULT_RATE', rate32],
  flowMaximumRate: [7, 'TCA_FQ_FLOW_MAX_RATE', rate32],
  bucketsLog: [8, 'TCA_FQ_BUCKETS_LOG', attributeU32],
  refillDelay: [9, 'TCA_FQ_FLOW_REFILL_DELAY', microseconds32],
  orphanMask: [10, 'TCA_FQ_ORPHAN_MASK', attributeU32],
  lowRateThreshold: [11, 'TCA_FQ_LOW_RATE_THRESHOLD', rate32],
  ceThreshold: [12, 'TCA_FQ_CE_THRESHOLD', microseconds32],
  timerSlack: [13, 'TCA_FQ_TIMER_SLACK', nanoseconds32],
  horizon: [14, 'TCA_FQ_HORIZON', microseconds32],
  horizonDrop: [15, 'TCA_FQ_HORIZON_DROP', boolean8],
})

/**
 * Options of fq: limits in packets, quanta in bytes, times in milliseconds, rates in bits per second. `pacing` is on unless it
 * is turned off; `flowMaximumRate` is unlimited by default.
 */
export type FqOptions = Omit<AttributesOf<typeof fqAttributes>, 'flowDefaultRate'>

export const fqCodelAttributes = attributes({
  target: [1, 'TCA_FQ_CODEL_TARGET', microseconds32],
  limit: [2, 'TCA_FQ_CODEL_LIMIT', attributeU32],
  interval: [3, 'TCA_FQ_CODEL_INTERVAL', microseconds32],
  ecn: [4, 'TCA_FQ_CODEL_ECN', boolean32],
  flows: [5, 'TCA_FQ_CODEL_FLOWS', attributeU32],
  quantum: [6, 'TCA_FQ_CODEL_QUANTUM', attributeU32],
  ceThreshold: [7, 'TCA_FQ_CODEL_CE_THRESHOLD', microseconds32],
  dropBatchSize: [8, 'TCA_FQ_CODEL_DROP_BATCH_SIZE', attributeU32],
  memoryLimit: [9, 'TCA_FQ_CODEL_MEMORY_LIMIT', attributeU32],
  ceThresholdSelector: [10, 'TCA_FQ_CODEL_CE_THRESHOLD_SELECTOR', attributeU8],
  ceThresholdMask: [11, 'TCA_FQ_CODEL_CE_THRESHOLD_MASK', attributeU8],
})

/** Options of fq_codel: times in milliseconds (target 5, interval 100), `limit` in packets, `quantum` and `memoryLimit` in bytes. */
export type FqCodelOptions = AttributesOf<typeof fqCodelAttributes>

export const codelAttributes = attributes({
  target: [1, 'TCA_CODEL_TARGET', microseconds32],
  limit: [2, 'TCA_CODEL_LIMIT', attributeU32],
  interval: [3, 'TCA_CODEL_INTERVAL', microseconds32],
  ecn: [4, 'TCA_CODEL_ECN', boolean32],
  ceThreshold: [5, 'TCA_CODEL_CE_THRESHOLD', microseconds32],
})

/** Options of codel: times in milliseconds (target 5, interval 100), `limit` in packets. */
export type CodelOptions = AttributesOf<typeof codelAttributes>

const fq = plainKind('fq', nested(fqAttributes), fqAttributes as unknown as AnyTable, ['flowDefaultRate'])
// In jiffies.
qdiscKinds.define({ ...fq, rounded: { refillDelay: 10 } })
// The kernel counts in steps of 1024 ns.
const coarse = { rounded: { target: 0.0011, interval: 0.0011, ceThreshold: 0.0011 } }
const fqCodel = plainKind('fq_codel', nested(fqCodelAttributes), fqCodelAttributes as unknown as AnyTable)
qdiscKinds.define({ ...fqCodel, ...coarse })
const codel = plainKind('codel', nested(codelAttributes), codelAttributes as unknown as AnyTable)
qdiscKinds.define({ ...codel, ...coarse })

export const sfqBasics = new Struct('tc_sfq_qopt', {
  quantum: ['quantum', u32],
  perturbation: ['perturb_period', s32],
  limit: ['limit', u32],
  divisor: ['divisor', u32],
  flows: ['flows', u32],
})

export const sfqParameters = new Struct('tc_sfq_qopt_v1', {
  basics: ['v0', member(sfqBasics)],
  depth: ['depth', u32],
  headDrop: ['headdrop', u32],
  hardLimit: ['limit', u32],
  leastThreshold: ['qth_min', u32],
  mostThreshold: ['qth_max', u32],
  windowLog: ['Wlog', u8],
  probabilityLog: ['Plog', u8],
  cellLog: ['Scell_log', u8],
  flags: ['flags', u8],
  mostProbability: ['max_P', u32],
  statistics: ['stats', octets(24)],
})

export interface SfqOptions {
  /** Bytes that a flow sends in its turn. Default: the MTU. */
  quantum?: number
  /** Milliseconds after which the hash is another, in whole seconds. Default: 0, never. */
  perturbation?: number
  /** Packets that may wait. Default: 127. */
  limit?: number
  /** The size of the hash table, a power of two. Default: 1024. */
  divisor?: number
  /** Flows at most. Default: 127. */
  flows?: number
  /** Packets of one flow that may wait. Default: 127. */
  depth?: number
}

qdiscKinds.define({
  kind: 'sfq',
  wire: structure(sfqParameters),
  keys: ['quantum', 'perturbation', 'limit', 'divisor', 'flows', 'depth'],
  toWire(options: SfqOptions, name) {
    const { quantum = 0, perturbation = 0, limit = 0, divisor = 0, flows = 0, depth = 0 } = options
    checkCount(
      checkTime(perturbation, `${name}.perturbation`) / 1000,
      `${name}.perturbation (in seconds)`,
      0,
      2 ** 31 - 1,
    )
    return {
      basics: {
        quantum: checkCount(quantum, `${name}.quantum`),
        perturbation: perturbation / 1000,
        limit: checkCount(limit, `${name}.limit`),
        divisor: checkCount(divisor, `${name}.divisor`),
        flows: checkCount(flows, `${name}.flows`),
      },
      depth: checkCount(depth, `${name}.depth`),
    } as never
  },
  fromWire: ({ basics, depth }) => ({ ...basics, perturbation: basics.perturbation * 1000, depth }),
})

declare module '../qdisc.js' {
  interface QdiscKinds {
    fq: FqOptions
    fq_codel: FqCodelOptions
    codel: CodelOptions
    sfq: SfqOptions
  }
}
