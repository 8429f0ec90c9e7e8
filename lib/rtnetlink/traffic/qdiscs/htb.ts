/** htb: classes that share a rate and lend what they do not use (tc-htb(8); linux/pkt_sched.h, TCA_HTB_…). */
import { attributeU32, binary, flag, structure } from '../../../netlink/attribute.js'
import { headerConstants } from '../../../netlink/header-words.js'
import { member, Struct, u32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkBoolean, valueError } from '../../../validate.js'
import { checkClassHandle, formatHandle, majorOf, makeHandle, minorOf } from '../handles.js'
import { classKinds, qdiscKinds } from '../kinds.js'
import { bytesOf, type PacketCost, rateSpec, specOf, ticksOf, wide } from '../rate-spec.js'
import { bytesPerSecond, checkCount, number64, type Rate } from '../units.js'

const { TC_HTB_PROTOVER, TC_HTB_NUMPRIO } = headerConstants({ TC_HTB_PROTOVER: 3, TC_HTB_NUMPRIO: 8 })

export const htbClassParameters = new Struct('tc_htb_opt', {
  rate: ['rate', member(rateSpec)],
  ceiling: ['ceil', member(rateSpec)],
  buffer: ['buffer', u32],
  ceilingBuffer: ['cbuffer', u32],
  quantum: ['quantum', u32],
  level: ['level', u32],
  priority: ['prio', u32],
})

export const htbParameters = new Struct('tc_htb_glob', {
  version: ['version', u32],
  rateToQuantum: ['rate2quantum', u32],
  defaultClass: ['defcls', u32],
  debug: ['debug', u32],
  directPackets: ['direct_pkts', u32],
})

export const htbAttributes = attributes({
  class: [1, 'TCA_HTB_PARMS', structure(htbClassParameters)],
  qdisc: [2, 'TCA_HTB_INIT', structure(htbParameters)],
  ceilingTable: [3, 'TCA_HTB_CTAB', binary],
  rateTable: [4, 'TCA_HTB_RTAB', binary],
  directQueueLength: [5, 'TCA_HTB_DIRECT_QLEN', attributeU32],
  rate64: [6, 'TCA_HTB_RATE64', number64],
  ceiling64: [7, 'TCA_HTB_CEIL64', number64],
  padding: [8, 'TCA_HTB_PAD', binary],
  offload: [9, 'TCA_HTB_OFFLOAD', flag],
})

type Wire = AttributesOf<typeof htbAttributes>

export interface HtbOptions {
  /** The class of packets that no filter gives one: '1:30'. Without it they pass unshaped. */
  defaultClass?: string
  /** A class's rate in bytes per second divided by this is its quantum. Default: 10. */
  rateToQuantum?: number
  /** How many packets without a class may wait. Default: the link's queue length. */
  directQueueLength?: number
  /** Leave the shaping to the device. */
  offload?: boolean
}

export interface HtbClassOptions extends PacketCost {
  /** What the class is sure of. */
  rate: Rate
  /** What it has when others lend. Default: `rate`. */
  ceiling?: Rate
  /** Bytes that may pass at once. Default: a packet's. */
  burst?: number
  /** The same at `ceiling`. */
  ceilingBurst?: number
  /** 0 to 7; the smaller is lent to first. Default: 0. */
  priority?: number
  /** Bytes that it sends before others of its priority have their turn. Default: the rate's share by `rateToQuantum`. */
  quantum?: number
  /** The longest packet in bytes, for the default bursts. Default: 1600. */
  mtu?: number
}

function qdiscToWire(options: HtbOptions, name: string): Wire {
  const { defaultClass, rateToQuantum = 10, directQueueLength, offload } = options
  if (offload !== undefined) checkBoolean(offload, `${name}.offload`)
  if (directQueueLength !== undefined) checkCount(directQueueLength, `${name}.directQueueLength`)
  return {
    qdisc: {
      version: TC_HTB_PROTOVER,
      rateToQuantum: checkCount(rateToQuantum, `${name}.rateToQuantum`, 1),
      defaultClass: defaultClass === undefined ? 0 : minorOf(checkClassHandle(defaultClass, `${name}.defaultClass`)),
      debug: 0,
      directPackets: 0,
    },
    directQueueLength,
    offload: offload === true ? true : undefined,
  }
}

function qdiscFromWire({ qdisc, directQueueLength, offload }: Wire, handle: number): object {
  const defaultClass = qdisc?.defaultClass ?? 0
  return {
    ...(defaultClass === 0 ? {} : { defaultClass: formatHandle(makeHandle(majorOf(handle), defaultClass)) }),
    rateToQuantum: qdisc?.rateToQuantum,
    directQueueLength,
    offload: offload === true,
    directPackets: qdisc?.directPackets,
  }
}

function classToWire(options: HtbClassOptions, name: string): Wire {
  const rate = bytesPerSecond(options.rate, `${name}.rate`)
  const ceiling = options.ceiling === undefined ? rate : bytesPerSecond(options.ceiling, `${name}.ceiling`)
  if (ceiling < rate) throw valueError(`${name}.ceiling`, options.ceiling, 'is less than the rate')
  const { mtu = 1600, burst = mtu, ceilingBurst = mtu, priority = 0, quantum = 0 } = options
  checkCount(mtu, `${name}.mtu`, 1)
  return {
    class: {
      rate: specOf(rate, options, name),
      ceiling: specOf(ceiling, options, name),
      buffer: ticksOf(checkCount(burst, `${name}.burst`, 1), rate),
      ceilingBuffer: ticksOf(checkCount(ceilingBurst, `${name}.ceilingBurst`, 1), ceiling),
      quantum: checkCount(quantum, `${name}.quantum`),
      level: 0,
      priority: checkCount(priority, `${name}.priority`, 0, TC_HTB_NUMPRIO - 1),
    },
    rate64: wide(rate),
    ceiling64: wide(ceiling),
  }
}

function classFromWire({ class: own, rate64, ceiling64 }: Wire): object {
  if (own === undefined) return {}
  const rate = rate64 ?? own.rate.rate
  const ceiling = ceiling64 ?? own.ceiling.rate
  const { overhead, minimumUnit } = own.rate
  return {
    rate: rate * 8,
    ceiling: ceiling * 8,
    burst: bytesOf(own.buffer, rate),
    ceilingBurst: bytesOf(own.ceilingBuffer, ceiling),
    priority: own.priority,
    quantum: own.quantum,
    level: own.level,
    ...(overhead === 0 ? {} : { overhead }),
    ...(minimumUnit === 0 ? {} : { minimumUnit }),
  }
}

declare module '../qdisc.js' {
  interface QdiscKinds {
    htb: HtbOptions
  }
}

declare module '../class.js' {
  interface ClassKinds {
    htb: HtbClassOptions
  }
}

qdiscKinds.define({
  kind: 'htb',
  wire: nested(htbAttributes),
  keys: ['defaultClass', 'rateToQuantum', 'directQueueLength', 'offload'],
  toWire: qdiscToWire,
  fromWire: qdiscFromWire,
})

classKinds.define({
  kind: 'htb',
  wire: nested(htbAttributes),
  keys: ['rate', 'ceiling', 'burst', 'ceilingBurst', 'priority', 'quantum', 'mtu', 'overhead', 'minimumUnit'],
  toWire: classToWire,
  fromWire: classFromWire,
  rounded: { burst: 1, ceilingBurst: 1 },
})
