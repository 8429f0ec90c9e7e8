/** netem: delay, loss, duplication, corruption, reordering (tc-netem(8); linux/pkt_sched.h, TCA_NETEM_…). */
import { type AttributeType, attributeU32, binary, structure } from '../../../netlink/attribute.js'
import { align4, LITTLE_ENDIAN } from '../../../netlink/bytes.js'
import { Struct, s32, s64, u32 } from '../../../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkBoolean, checkInteger, checkOptions, typeError, valueError } from '../../../validate.js'
import { qdiscKinds } from '../kinds.js'
import { bytesPerSecond, checkCount, checkPercent, checkTime, number64, percentOf, type Rate } from '../units.js'

export const netemParameters = new Struct('tc_netem_qopt', {
  latency: ['latency', u32],
  limit: ['limit', u32],
  loss: ['loss', u32],
  gap: ['gap', u32],
  duplicate: ['duplicate', u32],
  jitter: ['jitter', u32],
})

export const netemCorrelations = new Struct('tc_netem_corr', {
  delay: ['delay_corr', u32],
  loss: ['loss_corr', u32],
  duplicate: ['dup_corr', u32],
})

const chance = { probability: ['probability', u32], correlation: ['correlation', u32] } as const
export const netemReorder = new Struct('tc_netem_reorder', chance)
export const netemCorrupt = new Struct('tc_netem_corrupt', chance)

export const netemRate = new Struct('tc_netem_rate', {
  rate: ['rate', u32],
  packetOverhead: ['packet_overhead', s32],
  cellSize: ['cell_size', u32],
  cellOverhead: ['cell_overhead', s32],
})

export const netemSlot = new Struct('tc_netem_slot', {
  least: ['min_delay', s64],
  most: ['max_delay', s64],
  packets: ['max_packets', s32],
  bytes: ['max_bytes', s32],
  delay: ['dist_delay', s64],
  jitter: ['dist_jitter', s64],
})

export const netemStates = new Struct('tc_netem_gimodel', {
  p13: ['p13', u32],
  p31: ['p31', u32],
  p32: ['p32', u32],
  p14: ['p14', u32],
  p23: ['p23', u32],
})

export const netemGilbert = new Struct('tc_netem_gemodel', {
  p: ['p', u32],
  r: ['r', u32],
  h: ['h', u32],
  k1: ['k1', u32],
})

export const netemLossAttributes = attributes({
  states: [1, 'NETEM_LOSS_GI', structure(netemStates)],
  gilbert: [2, 'NETEM_LOSS_GE', structure(netemGilbert)],
})

const signed64: AttributeType<number> = {
  decode: (source, offset, length) => (length < 8 ? 0 : s64.read(source, offset)),
  encode: (writer, value, name) => s64.write(writer, writer.reserve(8), value, name),
}

export const netemAttributes = attributes({
  correlations: [1, 'TCA_NETEM_CORR', structure(netemCorrelations)],
  distribution: [2, 'TCA_NETEM_DELAY_DIST', binary],
  reorder: [3, 'TCA_NETEM_REORDER', structure(netemReorder)],
  corrupt: [4, 'TCA_NETEM_CORRUPT', structure(netemCorrupt)],
  loss: [5, 'TCA_NETEM_LOSS', nested(netemLossAttributes, { flag: true })],
  rate: [6, 'TCA_NETEM_RATE', structure(netemRate)],
  ecn: [7, 'TCA_NETEM_ECN', attributeU32],
  rate64: [8, 'TCA_NETEM_RATE64', number64],
  padding: [9, 'TCA_NETEM_PAD', binary],
  latency: [10, 'TCA_NETEM_LATENCY64', signed64],
  jitter: [11, 'TCA_NETEM_JITTER64', signed64],
  slot: [12, 'TCA_NETEM_SLOT', structure(netemSlot)],
  slotDistribution: [13, 'TCA_NETEM_SLOT_DIST', binary],
  seed: [14, 'TCA_NETEM_PRNG_SEED', number64],
})

/** How likely something is, in per cent (0 to 100), and how much it depends on what befell the packet before, in per cent. */
export interface Chance {
  probability: number
  correlation?: number
}

/** Loss by four states (tc-netem(8), "loss state"): the probabilities of changing from one to the other, in per cent. */
export interface LossStates {
  model: 'state'
  p13: number
  /** Default: 100 - p13. */
  p31?: number
  p32?: number
  p23?: number
  p14?: number
}

/** Loss by Gilbert and Elliott's model (tc-netem(8), "loss gemodel"), in per cent. */
export interface LossGilbert {
  model: 'gilbert'
  /** From good to bad. */
  p: number
  /** From bad to good. Default: 100 - p. */
  r?: number
  /** The loss in the bad state. Default: 100. */
  lossWhenBad?: number
  /** The loss in the good state. Default: 0. */
  lossWhenGood?: number
}

export interface NetemOptions {
  /** Milliseconds by which each packet is delayed. */
  delay?: number
  /** Milliseconds more or less. */
  jitter?: number
  /** How much one delay depends on the one before, in per cent. */
  delayCorrelation?: number
  /** The shape of the delays: up to 16,384 numbers, whose 8192 is one jitter (as in iproute2's *.dist). Only written. */
  distribution?: readonly number[]
  /** The loss of packets: per cent, or with a correlation, or by a model. */
  loss?: number | Chance | LossStates | LossGilbert
  /** Mark packets (ECN) in place of losing them, where they say that they can be. */
  ecn?: boolean
  /** Packets sent twice, in per cent. */
  duplicate?: number | Chance
  /** Packets with one bit changed, in per cent. */
  corrupt?: number | Chance
  /** Packets that are sent at once, before those that are being delayed, in per cent. Needs `delay`. */
  reorder?: number | Chance
  /** Each packet of this number is reordered. Default with `reorder`: 1. */
  gap?: number
  rate?: Rate
  /** Bytes that count for each packet in `rate`, beside its own; may be negative. */
  packetOverhead?: number
  /** With `rate`: packets are made of cells of this size, as ATM's. */
  cellSize?: number
  cellOverhead?: number
  /** Packets that may wait. Default: 1000. */
  limit?: number
  /** Packets are held, and sent in slots: milliseconds between two, and what one may hold. */
  slot?: { least: number; most?: number; packets?: number; bytes?: number }
  /** Makes the chances the same each time (since Linux 6.6). */
  seed?: number
}

type Wire = AttributesOf<typeof netemAttributes> & { parameters?: Partial<Record<string, number>> }

/** TCA_OPTIONS of netem: a struct, and attributes after it. */
const wire: AttributeType<Wire> = {
  decode(source, offset, length, { header }) {
    const first = Math.min(length, align4(netemParameters.size))
    const own = netemAttributes.decode(source, offset + first, offset + length, header)
    return { ...own, parameters: netemParameters.decode(source, offset, length) }
  },
  encode(writer, { parameters = {}, ...own }, _name, { header }) {
    netemParameters.encode(writer, parameters)
    netemAttributes.encode(writer, own as AttributesOf<typeof netemAttributes>, header)
  },
  nested: () => ({ table: netemAttributes as unknown as AnyTable, skip: netemParameters.size }),
}

function checkChance(
  value: number | Chance | undefined,
  name: string,
): { probability: number; correlation: number } | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'number') return { probability: checkPercent(value, name), correlation: 0 }
  checkOptions(value, name, ['probability', 'correlation'])
  return {
    probability: checkPercent(value.probability, `${name}.probability`),
    correlation: checkPercent(value.correlation ?? 0, `${name}.correlation`),
  }
}

/** The models of loss have attributes of their own; random loss is in the structs. */
function lossModel(loss: LossStates | LossGilbert, name: string): NonNullable<Wire['loss']> {
  const share = (value: number | undefined, key: string, usual: number) =>
    checkPercent(value ?? usual, `${name}.${key}`)
  if (loss.model === 'state') {
    checkOptions(loss, name, ['model', 'p13', 'p31', 'p32', 'p23', 'p14'])
    const { p13, p31, p32, p23, p14 } = loss
    return {
      states: {
        p13: checkPercent(p13, `${name}.p13`),
        p31: share(p31, 'p31', 100 - p13),
        p32: share(p32, 'p32', 0),
        p14: share(p14, 'p14', 0),
        p23: share(p23, 'p23', 100),
      },
    }
  }
  if (loss.model !== 'gilbert')
    throw valueError(`${name}.model`, (loss as Chance & { model: unknown }).model, "expected 'state' or 'gilbert'")
  checkOptions(loss, name, ['model', 'p', 'r', 'lossWhenBad', 'lossWhenGood'])
  const { p, r, lossWhenBad, lossWhenGood } = loss
  return {
    gilbert: {
      p: checkPercent(p, `${name}.p`),
      r: share(r, 'r', 100 - p),
      // The kernel takes the share that gets through the bad state.
      h: share(lossWhenBad === undefined ? undefined : 100 - lossWhenBad, 'lossWhenBad', 0),
      k1: share(lossWhenGood, 'lossWhenGood', 0),
    },
  }
}

const nanoseconds = (value: unknown, name: string) => Math.round(checkTime(value, name, 1e9) * 1e6)

function checkDistribution(values: unknown, name: string): Uint8Array {
  if (!Array.isArray(values)) throw typeError(name, 'an array of numbers', values)
  if (values.length === 0 || values.length > 16_384) throw valueError(name, values, 'has not 1 to 16,384 numbers')
  const view = new DataView(new ArrayBuffer(2 * values.length))
  values.forEach((value, i) => {
    checkInteger(value, `${name}[${i}]`, -32_768, 32_767)
    view.setInt16(2 * i, value, LITTLE_ENDIAN)
  })
  return new Uint8Array(view.buffer)
}

function checkSlot(slot: NetemOptions['slot'], name: string): Wire['slot'] {
  if (slot === undefined) return undefined
  checkOptions(slot, name, ['least', 'most', 'packets', 'bytes'])
  const least = nanoseconds(slot.least, `${name}.least`)
  return {
    least,
    most: slot.most === undefined ? least : nanoseconds(slot.most, `${name}.most`),
    packets: checkCount(slot.packets ?? 0, `${name}.packets`, 0, 2 ** 31 - 1),
    bytes: checkCount(slot.bytes ?? 0, `${name}.bytes`, 0, 2 ** 31 - 1),
    delay: 0,
    jitter: 0,
  }
}

function toWire(options: NetemOptions, name: string): Wire {
  const { delay = 0, jitter = 0, delayCorrelation = 0, loss, gap, limit = 1000, rate, ecn } = options
  const isModel = typeof loss === 'object' && loss !== null && 'model' in loss
  const lost = isModel ? undefined : checkChance(loss, `${name}.loss`)
  const duplicate = checkChance(options.duplicate, `${name}.duplicate`)
  const reorder = checkChance(options.reorder, `${name}.reorder`)
  if (gap !== undefined) checkCount(gap, `${name}.gap`)
  if (jitter !== 0 && options.delay === undefined) throw valueError(`${name}.jitter`, jitter, 'goes with delay')
  if (options.reorder !== undefined && options.delay === undefined) {
    throw valueError(`${name}.reorder`, options.reorder, 'needs a delay')
  }
  if (ecn !== undefined) checkBoolean(ecn, `${name}.ecn`)
  if (ecn === true && loss === undefined) throw valueError(`${name}.ecn`, ecn, 'needs a loss')
  if (rate === undefined) {
    for (const key of ['packetOverhead', 'cellSize', 'cellOverhead'] as const) {
      if (options[key] !== undefined) throw valueError(`${name}.${key}`, options[key], 'goes with rate')
    }
  }
  const bytes = rate === undefined ? undefined : bytesPerSecond(rate, `${name}.rate`)
  if (options.seed !== undefined) checkInteger(options.seed, `${name}.seed`, 0, Number.MAX_SAFE_INTEGER)
  const { packetOverhead = 0, cellSize = 0, cellOverhead = 0 } = options
  checkInteger(packetOverhead, `${name}.packetOverhead`, -(2 ** 31), 2 ** 31 - 1)
  checkInteger(cellOverhead, `${name}.cellOverhead`, -(2 ** 31), 2 ** 31 - 1)
  return {
    parameters: {
      limit: checkCount(limit, `${name}.limit`),
      loss: lost?.probability ?? 0,
      gap: gap ?? (reorder === undefined ? 0 : 1),
      duplicate: duplicate?.probability ?? 0,
    },
    correlations: {
      delay: checkPercent(delayCorrelation, `${name}.delayCorrelation`),
      loss: lost?.correlation ?? 0,
      duplicate: duplicate?.correlation ?? 0,
    },
    // What is not said is set to nothing: the kernel would keep what was there when it changes a netem.
    latency: nanoseconds(delay, `${name}.delay`),
    jitter: nanoseconds(jitter, `${name}.jitter`),
    distribution:
      options.distribution === undefined ? undefined : checkDistribution(options.distribution, `${name}.distribution`),
    // A gap without it is one of 100 %.
    reorder: reorder ?? (gap === undefined ? { probability: 0, correlation: 0 } : undefined),
    corrupt: checkChance(options.corrupt, `${name}.corrupt`) ?? { probability: 0, correlation: 0 },
    loss: isModel ? lossModel(loss, `${name}.loss`) : undefined,
    ecn: ecn === undefined ? 0 : Number(ecn),
    rate64: bytes !== undefined && bytes > 0xffff_fffe ? bytes : undefined,
    rate: {
      rate: Math.min(bytes ?? 0, 0xffff_ffff),
      packetOverhead,
      cellSize: checkCount(cellSize, `${name}.cellSize`),
      cellOverhead,
    },
    slot: checkSlot(options.slot, `${name}.slot`),
    seed: options.seed,
  }
}

function readChance(probability: number | undefined, correlation: number | undefined): number | Chance | undefined {
  if (probability === undefined || probability === 0) return undefined
  if (correlation === undefined || correlation === 0) return percentOf(probability)
  return { probability: percentOf(probability), correlation: percentOf(correlation) }
}

function readLoss({ parameters, correlations, loss }: Wire): NetemOptions['loss'] {
  if (loss?.states !== undefined) {
    const { p13, p31, p32, p23, p14 } = loss.states
    const of = percentOf
    return { model: 'state', p13: of(p13), p31: of(p31), p32: of(p32), p23: of(p23), p14: of(p14) }
  }
  if (loss?.gilbert === undefined) return readChance(parameters?.loss, correlations?.loss)
  const { p, r, h, k1 } = loss.gilbert
  return {
    model: 'gilbert',
    p: percentOf(p),
    r: percentOf(r),
    lossWhenBad: percentOf(0xffff_ffff - h),
    lossWhenGood: percentOf(k1),
  }
}

function fromWire(own: Wire): NetemOptions {
  const { parameters = {}, correlations, reorder, corrupt, rate, rate64, slot } = own
  const bytes = rate64 ?? rate?.rate ?? 0
  const milliseconds = (nanos: number | undefined, ticks: number | undefined) => (nanos ?? (ticks ?? 0) * 64) / 1e6
  const read: NetemOptions = {
    delay: milliseconds(own.latency, parameters.latency) || undefined,
    jitter: milliseconds(own.jitter, parameters.jitter) || undefined,
    delayCorrelation: percentOf(correlations?.delay ?? 0) || undefined,
    loss: readLoss(own),
    ecn: own.ecn === 1 ? true : undefined,
    duplicate: readChance(parameters.duplicate, correlations?.duplicate),
    corrupt: readChance(corrupt?.probability, corrupt?.correlation),
    reorder: readChance(reorder?.probability, reorder?.correlation),
    gap: parameters.gap || undefined,
    rate: bytes === 0 ? undefined : bytes * 8,
    packetOverhead: rate?.packetOverhead || undefined,
    cellSize: rate?.cellSize || undefined,
    cellOverhead: rate?.cellOverhead || undefined,
    limit: parameters.limit,
    slot:
      slot === undefined
        ? undefined
        : { least: slot.least / 1e6, most: slot.most / 1e6, packets: slot.packets, bytes: slot.bytes },
    seed: own.seed,
  }
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined))
}

declare module '../qdisc.js' {
  interface QdiscKinds {
    netem: NetemOptions
  }
}

qdiscKinds.define({
  kind: 'netem',
  wire,
  keys: [
    ...['delay', 'jitter', 'delayCorrelation', 'distribution', 'loss', 'ecn', 'duplicate', 'corrupt', 'reorder', 'gap'],
    ...['rate', 'packetOverhead', 'cellSize', 'cellOverhead', 'limit', 'slot', 'seed'],
  ],
  toWire,
  fromWire,
})
