/** What queueing disciplines, classes, filters and actions count (linux/gen_stats.h). */
import { binary, structure } from '../../netlink/attribute.js'
import { counter64, Struct, u32 } from '../../netlink/struct.js'
import { type AttributesOf, attributes } from '../../netlink/table.js'
import { number64 } from './units.js'

export const basicStatistics = new Struct('gnet_stats_basic', {
  bytes: ['bytes', counter64],
  packets: ['packets', u32],
})

export const queueStatistics = new Struct('gnet_stats_queue', {
  queueLength: ['qlen', u32],
  backlog: ['backlog', u32],
  drops: ['drops', u32],
  requeues: ['requeues', u32],
  overlimits: ['overlimits', u32],
})

export const rateStatistics = new Struct('gnet_stats_rate_est', {
  bytes: ['bps', u32],
  packets: ['pps', u32],
})

export const rateStatistics64 = new Struct('gnet_stats_rate_est64', {
  bytes: ['bps', counter64],
  packets: ['pps', counter64],
})

export const statisticsAttributes = attributes({
  basic: [1, 'TCA_STATS_BASIC', structure(basicStatistics)],
  rate: [2, 'TCA_STATS_RATE_EST', structure(rateStatistics)],
  queue: [3, 'TCA_STATS_QUEUE', structure(queueStatistics)],
  application: [4, 'TCA_STATS_APP', binary],
  rate64: [5, 'TCA_STATS_RATE_EST64', structure(rateStatistics64)],
  padding: [6, 'TCA_STATS_PAD', binary],
  hardware: [7, 'TCA_STATS_BASIC_HW', structure(basicStatistics)],
  packets64: [8, 'TCA_STATS_PKT64', number64],
})

/** Counters since the object was made. */
export interface TrafficStatistics {
  bytes: number
  packets: number
  /** Packets thrown away. */
  drops: number
  /** How often a limit was met. */
  overlimits: number
  /** Packets that the device gave back. */
  requeues: number
  /** Bytes in the queue. */
  backlog: number
  /** Packets in the queue. */
  queueLength: number
  /** Bits per second, of late; where the kernel was told to estimate. */
  rate?: number
  /** Packets per second, of late. */
  packetRate?: number
  /** What the kind counts of its own: a struct of its own in linux/pkt_sched.h, as it came. */
  application?: Uint8Array
}

export function readStatistics(own: AttributesOf<typeof statisticsAttributes>): TrafficStatistics {
  const { basic, queue, packets64, application } = own
  const statistics: TrafficStatistics = {
    bytes: basic?.bytes ?? 0,
    packets: packets64 ?? basic?.packets ?? 0,
    drops: queue?.drops ?? 0,
    overlimits: queue?.overlimits ?? 0,
    requeues: queue?.requeues ?? 0,
    backlog: queue?.backlog ?? 0,
    queueLength: queue?.queueLength ?? 0,
  }
  const rate = own.rate64 ?? own.rate
  if (rate !== undefined) {
    statistics.rate = rate.bytes * 8
    statistics.packetRate = rate.packets
  }
  if (application !== undefined) statistics.application = application
  return statistics
}
