/** police: lets a rate pass, and does something else with what is more (tc-police(8); linux/pkt_cls.h, TCA_POLICE_…). */
import { attributeU32, binary, structure } from '../../../netlink/attribute.js'
import { member, Struct, s32, u32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { typeError, valueError } from '../../../validate.js'
import { checkVerdict, readVerdict, type Verdict } from '../action.js'
import { actionKinds } from '../kinds.js'
import { bytesOf, type PacketCost, rateSpec, rateTable, specOf, ticksOf, wide } from '../rate-spec.js'
import { bytesPerSecond, checkCount, number64, type Rate } from '../units.js'

export const policeParameters = new Struct('tc_police', {
  index: ['index', u32],
  action: ['action', s32],
  limit: ['limit', u32],
  burst: ['burst', u32],
  mtu: ['mtu', u32],
  rate: ['rate', member(rateSpec)],
  peakRate: ['peakrate', member(rateSpec)],
  references: ['refcnt', s32],
  bindings: ['bindcnt', s32],
  capabilities: ['capab', u32],
})

export const policeAttributes = attributes({
  parameters: [1, 'TCA_POLICE_TBF', structure(policeParameters)],
  rateTable: [2, 'TCA_POLICE_RATE', binary],
  peakRateTable: [3, 'TCA_POLICE_PEAKRATE', binary],
  averageRate: [4, 'TCA_POLICE_AVRATE', attributeU32],
  result: [5, 'TCA_POLICE_RESULT', attributeU32],
  times: [6, 'TCA_POLICE_TM', binary],
  padding: [7, 'TCA_POLICE_PAD', binary],
  rate64: [8, 'TCA_POLICE_RATE64', number64],
  peakRate64: [9, 'TCA_POLICE_PEAKRATE64', number64],
  packetRate: [10, 'TCA_POLICE_PKTRATE64', number64],
  packetBurst: [11, 'TCA_POLICE_PKTBURST64', number64],
})

export interface PoliceOptions extends PacketCost {
  /** This or `packetRate`. */
  rate?: Rate
  /**
   * With `rate`: bytes that may pass at once. What a link hands on may be as large as 64 KiB before it is cut into packets
   * (GSO): a burst below that lets none of these pass.
   */
  burst?: number
  /** Packets longer than this are over the rate, in bytes. Default: no limit, where tc(8) has 2,040. */
  mtu?: number
  peakRate?: Rate
  /** Packets per second (since Linux 5.13). */
  packetRate?: number
  /** With `packetRate`: packets that may pass at once. */
  packetBurst?: number
  /** What becomes of packets over the rate. Default: 'drop', where tc(8) has 'reclassify'. */
  exceed?: Verdict
  /** What becomes of the others. Default: 'pass'. */
  notExceed?: Verdict
}

const NO_LIMIT = 0x7fff_ffff

declare module '../action.js' {
  interface ActionKinds {
    police: PoliceOptions
  }
}

function toWire(options: PoliceOptions, name: string): AttributesOf<typeof policeAttributes> {
  const { burst, mtu = NO_LIMIT, packetRate, packetBurst, exceed = 'drop', notExceed = 'pass' } = options
  const rate = options.rate === undefined ? undefined : bytesPerSecond(options.rate, `${name}.rate`)
  const peak = options.peakRate === undefined ? undefined : bytesPerSecond(options.peakRate, `${name}.peakRate`)
  if (rate === undefined && packetRate === undefined)
    throw typeError(`${name}.rate`, 'a rate, or there is a packetRate', rate)
  if (rate !== undefined && packetRate !== undefined) {
    throw valueError(`${name}.packetRate`, packetRate, 'and a rate exclude each other')
  }
  if (rate === undefined && burst !== undefined) throw valueError(`${name}.burst`, burst, 'goes with rate')
  if (packetRate === undefined && packetBurst !== undefined) {
    throw valueError(`${name}.packetBurst`, packetBurst, 'goes with packetRate')
  }
  if (peak !== undefined && (rate === undefined || peak < rate)) {
    throw valueError(`${name}.peakRate`, options.peakRate, 'is less than the rate')
  }
  if (packetRate !== undefined) {
    checkCount(packetRate, `${name}.packetRate`, 1)
    checkCount(packetBurst, `${name}.packetBurst`, 1)
  }
  const result = checkVerdict(notExceed, `${name}.notExceed`)
  return {
    parameters: {
      index: 0,
      action: checkVerdict(exceed, `${name}.exceed`),
      limit: 0,
      burst: rate === undefined ? 0 : ticksOf(checkCount(burst, `${name}.burst`, 1), rate),
      mtu: checkCount(mtu, `${name}.mtu`, 1),
      rate: specOf(rate, options, name),
      peakRate: specOf(peak, options, name),
      references: 0,
      bindings: 0,
      capabilities: 0,
    },
    rateTable: rate === undefined ? undefined : rateTable(rate, options),
    peakRateTable: peak === undefined ? undefined : rateTable(peak, options),
    rate64: wide(rate),
    peakRate64: wide(peak),
    packetRate,
    // The time that they take.
    packetBurst: packetRate === undefined ? undefined : ticksOf(packetBurst ?? 0, packetRate),
    result: result < 0 ? 0xffff_ffff : result,
  }
}

function fromWire({
  parameters,
  rate64,
  peakRate64,
  packetRate,
  packetBurst,
  result,
}: AttributesOf<typeof policeAttributes>) {
  if (parameters === undefined) return {}
  const rate = rate64 ?? parameters.rate.rate
  const peak = peakRate64 ?? parameters.peakRate.rate
  const { overhead, minimumUnit } = parameters.rate
  return {
    index: parameters.index,
    ...(rate === 0 ? {} : { rate: rate * 8, burst: bytesOf(parameters.burst, rate) }),
    ...(parameters.mtu === NO_LIMIT || parameters.mtu === 0xffff_ffff ? {} : { mtu: parameters.mtu }),
    ...(peak === 0 ? {} : { peakRate: peak * 8 }),
    ...(packetRate === undefined ? {} : { packetRate, packetBurst: bytesOf(packetBurst ?? 0, packetRate) }),
    exceed: readVerdict(parameters.action),
    notExceed: readVerdict((result ?? 0) | 0),
    ...(overhead === 0 ? {} : { overhead }),
    ...(minimumUnit === 0 ? {} : { minimumUnit }),
  }
}

actionKinds.define({
  kind: 'police',
  wire: nested(policeAttributes),
  keys: [
    ...['rate', 'burst', 'mtu', 'peakRate', 'packetRate', 'packetBurst', 'exceed', 'notExceed'],
    ...['overhead', 'minimumUnit'],
  ],
  toWire,
  fromWire,
  rounded: { burst: 1, packetBurst: 1 },
})
