/**
 * How the kernel's shapers are told a rate: struct tc_ratespec, times in ticks of 64 ns (the second number of /proc/net/psched,
 * PSCHED_SHIFT in the kernel's include/net/pkt_sched.h), and the tables that policing still takes.
 */
import { LITTLE_ENDIAN } from '../../netlink/bytes.js'
import { headerWords } from '../../netlink/header-words.js'
import { Struct, type StructOf, s16, u8, u16, u32 } from '../../netlink/struct.js'
import { checkCount } from './units.js'

export const rateSpec = new Struct('tc_ratespec', {
  cellLog: ['cell_log', u8],
  linkLayer: ['linklayer', u8],
  overhead: ['overhead', u16],
  cellAlign: ['cell_align', s16],
  minimumUnit: ['mpu', u16],
  rate: ['rate', u32],
})

const linkLayers = headerWords('TC_LINKLAYER_', { unaware: 0, ethernet: 1, atm: 2 })

const TICK = 64e-9

/** The ticks that so many bytes take at a rate. */
export function ticksOf(bytes: number, bytesPerSecond: number): number {
  return Math.min(0xffff_ffff, Math.floor(bytes / bytesPerSecond / TICK + 1e-6))
}

/** The bytes that pass in so many ticks: the least number that takes as long. */
export function bytesOf(ticks: number, bytesPerSecond: number): number {
  return Math.ceil(ticks * TICK * bytesPerSecond - 1e-6)
}

/** What a packet costs beside its bytes. */
export interface PacketCost {
  /** Bytes that each packet counts more than it has. Default: 0. */
  overhead?: number
  /** The least bytes that a packet counts as. Default: 0. */
  minimumUnit?: number
}

/**
 * A struct tc_ratespec. A link layer that is said ('ethernet') lets the kernel compute each packet's time, and it wants no table
 * (since Linux 3.8).
 */
export function specOf(
  bytesPerSecond: number | undefined,
  { overhead = 0, minimumUnit = 0 }: PacketCost,
  name: string,
): StructOf<typeof rateSpec> {
  checkCount(overhead, `${name}.overhead`, 0, 0xffff)
  checkCount(minimumUnit, `${name}.minimumUnit`, 0, 0xffff)
  const none = bytesPerSecond === undefined
  return {
    cellLog: none ? 0 : CELL_LOG,
    linkLayer: none ? linkLayers.unaware : linkLayers.ethernet,
    overhead,
    cellAlign: none ? 0 : -1,
    minimumUnit,
    // A larger one is in an attribute of 64 bits beside it.
    rate: none ? 0 : Math.min(bytesPerSecond, 0xffff_ffff),
  }
}

/** The 64-bit attribute that goes with a rate of 2^32 bytes a second and more. */
export function wide(bytesPerSecond: number | undefined): number | undefined {
  return bytesPerSecond !== undefined && bytesPerSecond > 0xffff_fffe ? bytesPerSecond : undefined
}

/** Packets up to 2,047 bytes in 256 cells, as tc(8) has it. */
const CELL_LOG = 3
const CELLS = 256

/** The table of TC_RTAB_SIZE bytes: the ticks that a packet of each size takes. act_police insists on one. */
export function rateTable(bytesPerSecond: number, { minimumUnit = 0 }: PacketCost): Uint8Array {
  const table = new DataView(new ArrayBuffer(4 * CELLS))
  for (let cell = 0; cell < CELLS; cell++) {
    const size = Math.max(minimumUnit, (cell + 1) << CELL_LOG)
    table.setUint32(4 * cell, ticksOf(size, bytesPerSecond), LITTLE_ENDIAN)
  }
  return new Uint8Array(table.buffer)
}
