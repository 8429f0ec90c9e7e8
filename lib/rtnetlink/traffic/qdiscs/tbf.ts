/** tbf: a token bucket, which lets a rate pass (tc-tbf(8); linux/pkt_sched.h, TCA_TBF_…). */
import { attributeU32, binary, structure } from '../../../netlink/attribute.js'
import { member, Struct, u32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { typeError, valueError } from '../../../validate.js'
import { qdiscKinds } from '../kinds.js'
import { bytesOf, type PacketCost, rateSpec, specOf, ticksOf, wide } from '../rate-spec.js'
import { bytesPerSecond, checkCount, checkTime, number64, type Rate } from '../units.js'

export const tbfParameters = new Struct('tc_tbf_qopt', {
  rate: ['rate', member(rateSpec)],
  peakRate: ['peakrate', member(rateSpec)],
  limit: ['limit', u32],
  buffer: ['buffer', u32],
  mtu: ['mtu', u32],
})

export const tbfAttributes = attributes({
  parameters: [1, 'TCA_TBF_PARMS', structure(tbfParameters)],
  rateTable: [2, 'TCA_TBF_RTAB', binary],
  peakRateTable: [3, 'TCA_TBF_PTAB', binary],
  rate64: [4, 'TCA_TBF_RATE64', number64],
  peakRate64: [5, 'TCA_TBF_PRATE64', number64],
  burst: [6, 'TCA_TBF_BURST', attributeU32],
  peakBurst: [7, 'TCA_TBF_PBURST', attributeU32],
  padding: [8, 'TCA_TBF_PAD', binary],
})

export interface TbfOptions extends PacketCost {
  rate: Rate
  /** Bytes that may pass at once; at least a packet's. The kernel keeps it as a time, to 64 ns. */
  burst: number
  /** The longest that a packet waits, in milliseconds. This or `limit`. */
  latency?: number
  /** Bytes that may wait. This or `latency`. */
  limit?: number
  /** The most that passes while the bucket is being emptied. Needs `mtu`. */
  peakRate?: Rate
  /** Bytes that may pass at once at `peakRate`: at least a packet's. */
  mtu?: number
}

function toWire(options: TbfOptions, name: string): AttributesOf<typeof tbfAttributes> {
  const { latency, limit, mtu } = options
  const rate = bytesPerSecond(options.rate, `${name}.rate`)
  const burst = checkCount(options.burst, `${name}.burst`, 1)
  const peak = options.peakRate === undefined ? undefined : bytesPerSecond(options.peakRate, `${name}.peakRate`)
  if (mtu !== undefined) checkCount(mtu, `${name}.mtu`, 1)
  if (peak !== undefined && peak <= rate) {
    throw valueError(`${name}.peakRate`, options.peakRate, 'must be more than the rate')
  }
  if (peak !== undefined && mtu === undefined) throw typeError(`${name}.mtu`, 'a number of bytes, with peakRate', mtu)
  if (peak === undefined && mtu !== undefined) throw valueError(`${name}.mtu`, mtu, 'goes with peakRate')
  if (latency !== undefined && limit !== undefined) {
    throw valueError(`${name}.latency`, latency, 'says the same as limit: give one of them')
  }
  if (latency === undefined && limit === undefined) {
    throw typeError(`${name}.latency`, 'a number of milliseconds, where there is no limit', latency)
  }
  return {
    parameters: {
      rate: specOf(rate, options, name),
      peakRate: specOf(peak, options, name),
      limit:
        limit === undefined
          ? waiting(checkTime(latency, `${name}.latency`), rate, burst, peak, mtu)
          : checkCount(limit, `${name}.limit`),
      buffer: ticksOf(burst, rate),
      mtu: peak === undefined ? 0 : ticksOf(mtu ?? 0, peak),
    },
    rate64: wide(rate),
    burst,
    peakRate64: wide(peak),
    peakBurst: mtu,
  }
}

/** The bytes that wait no longer than `latency`. */
function waiting(latency: number, rate: number, burst: number, peak?: number, mtu = 0): number {
  const limit = Math.floor((rate * latency) / 1000 + burst)
  const peakLimit = peak === undefined ? limit : Math.floor((peak * latency) / 1000 + mtu)
  return Math.min(limit, peakLimit, 0xffff_ffff)
}

function fromWire({ parameters, rate64, peakRate64 }: AttributesOf<typeof tbfAttributes>): Partial<TbfOptions> {
  if (parameters === undefined) return {}
  const rate = rate64 ?? parameters.rate.rate
  const peak = peakRate64 ?? parameters.peakRate.rate
  const burst = bytesOf(parameters.buffer, rate)
  const { limit } = parameters
  const wait = rate === 0 ? 0 : ((limit - burst) / rate) * 1000
  const mtu = bytesOf(parameters.mtu, peak)
  const peakWait = peak === 0 ? wait : ((limit - mtu) / peak) * 1000
  const { overhead, minimumUnit } = parameters.rate
  return {
    rate: rate * 8,
    burst,
    limit,
    latency: Math.round(Math.max(0, wait, peakWait) * 1000) / 1000,
    ...(peak === 0 ? {} : { peakRate: peak * 8, mtu }),
    ...(overhead === 0 ? {} : { overhead }),
    ...(minimumUnit === 0 ? {} : { minimumUnit }),
  }
}

declare module '../qdisc.js' {
  interface QdiscKinds {
    tbf: TbfOptions
  }
}

qdiscKinds.define({
  kind: 'tbf',
  wire: nested(tbfAttributes),
  keys: ['rate', 'burst', 'latency', 'limit', 'peakRate', 'mtu', 'overhead', 'minimumUnit'],
  toWire,
  fromWire,
  rounded: { burst: 1, latency: 0.01, mtu: 1, limit: 1 },
})
