/** Checks of what is to be written into capture files, and the blocks of it that are not frames. */

import {
  checkInteger,
  checkOneOf,
  checkOneOfOrNumber,
  checkOptions,
  rangeError,
  typeError,
  valueError,
} from '../validate.js'
import { checkMac } from '../values/mac.js'
import {
  BYTE_ORDER_MAGIC,
  blockTypes,
  commonOptions,
  directions,
  interfaceOptions,
  linkTypes,
  sectionOptions,
  statisticsOptions,
} from './constants.js'
import type { CaptureInterface, CaptureSection, CaptureStatistics, FrameDirection, LinkType } from './types.js'

/** The largest unsigned number of 64 bits. */
const MAX64 = 0xffff_ffff_ffff_ffffn
/** The longest value of an option: its length has 16 bits. */
const LONGEST_OPTION = 0xffff

/** An option of a block: its number and its value. */
export type BlockOption = readonly [code: number, value: Uint8Array]

const sectionKeys = ['hardware', 'os', 'application', 'comment'] as const
const interfaceKeys = [
  'name',
  'description',
  'linkType',
  'snapshotLength',
  'filter',
  'speed',
  'mac',
  'os',
  'hardware',
  'comment',
]
/** What a reader has beside these. */
const readKeys = ['index', 'section', 'statistics']

/** The bytes of a text that fits an option. */
export function textOf(value: unknown, name: string): Uint8Array {
  if (typeof value !== 'string') throw typeError(name, 'a string', value)
  const bytes = Buffer.from(value)
  if (bytes.length > LONGEST_OPTION) {
    throw valueError(
      name,
      value,
      `has ${bytes.length} bytes, and an option of a capture file may have ${LONGEST_OPTION}`,
    )
  }
  return bytes
}

/** An unsigned number of up to 64 bits. */
export function checkCount(value: unknown, name: string): bigint {
  if (typeof value === 'bigint') {
    if (value < 0n || value > MAX64) throw rangeError(name, 0, MAX64, value)
    return value
  }
  checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER)
  return BigInt(value)
}

/** Nanoseconds since 1970. */
export function checkTimestamp(value: unknown, name: string): bigint {
  if (typeof value !== 'bigint') throw typeError(name, 'a bigint of nanoseconds', value)
  if (value < 0n || value > MAX64) throw rangeError(name, 0, MAX64, value)
  return value
}

export function directionFlags(value: FrameDirection | undefined, name: string): number {
  if (value === undefined) return 0
  checkOneOf(value, name, Object.keys(directions) as FrameDirection[])
  return directions[value]
}

export function linkTypeNumber(value: LinkType, name: string): number {
  checkOneOfOrNumber(value, name, Object.keys(linkTypes), 0, 0xffff)
  return typeof value === 'number' ? value : linkTypes[value as keyof typeof linkTypes]
}

/** The number of bytes that are kept of a frame. 0 stands for all, as readers say it. */
export function checkSnapshotLength(value: unknown, name: string, minimum = 1): asserts value is number {
  checkInteger(value, name, minimum, 0xffff_ffff)
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}

/** A time as pcapng has it: the high 32 bits come first, whatever the byte order. */
function highAndLow(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(Number(value >> 32n))
  bytes.writeUInt32LE(Number(value & 0xffff_ffffn), 4)
  return bytes
}

/** How many bytes options take in a block, their end included. 0 when there are none. */
export function optionsSize(options: readonly BlockOption[]): number {
  if (options.length === 0) return 0
  return options.reduce((sum, [, value]) => sum + 4 + ((value.length + 3) & ~3), 4)
}

/** Writes options and their end. The room behind values is zero already. Returns the position behind them. */
export function writeOptions(out: Buffer, position: number, options: readonly BlockOption[]): number {
  if (options.length === 0) return position
  let at = position
  for (const [code, value] of options) {
    out.writeUInt16LE(code, at)
    out.writeUInt16LE(value.length, at + 2)
    out.set(value, at + 4)
    at += 4 + ((value.length + 3) & ~3)
  }
  out.writeUInt32LE(commonOptions.end, at)
  return at + 4
}

/** A whole block of a body, whose length is a multiple of 4, and options. */
function block(type: number, body: Uint8Array, options: readonly BlockOption[]): Buffer {
  const size = 12 + body.length + optionsSize(options)
  const out = Buffer.alloc(size)
  out.writeUInt32LE(type)
  out.writeUInt32LE(size, 4)
  out.set(body, 8)
  writeOptions(out, 8 + body.length, options)
  out.writeUInt32LE(size, size - 4)
  return out
}

function texts(value: object, keys: Readonly<Record<string, number>>, name: string): BlockOption[] {
  const found: BlockOption[] = []
  for (const [key, code] of Object.entries(keys)) {
    const text = (value as Record<string, unknown>)[key]
    if (text !== undefined) found.push([code, textOf(text, `${name}.${key}`)])
  }
  return found
}

/** The section header block. */
export function sectionBlock(section: CaptureSection, name: string): Buffer {
  const body = Buffer.alloc(16)
  body.writeUInt32LE(BYTE_ORDER_MAGIC)
  body.writeUInt16LE(1, 4)
  // The length of the section: unknown.
  body.writeBigInt64LE(-1n, 8)
  return block(blockTypes.section, body, texts(section, { comment: commonOptions.comment, ...sectionOptions }, name))
}

/** The keys of options that sectionBlock() looks at. */
export const sectionOptionKeys: readonly string[] = sectionKeys

/** An interface as it is written: its block, and what its frames need. */
export interface WrittenInterface {
  block: Buffer
  snapshotLength: number
}

/** The interface description block; times are in nanoseconds. */
export function interfaceBlock(value: CaptureInterface, name: string, longest: number): WrittenInterface {
  checkOptions(value, name, 'section' in value ? [...interfaceKeys, ...readKeys] : interfaceKeys)
  const { linkType = 'ethernet', snapshotLength = longest, speed, mac, filter } = value
  const type = linkTypeNumber(linkType, `${name}.linkType`)
  checkSnapshotLength(snapshotLength, `${name}.snapshotLength`, 0)
  const body = Buffer.alloc(8)
  body.writeUInt16LE(type)
  body.writeUInt32LE(snapshotLength, 4)
  const { comment } = commonOptions
  const { name: named, description, os, hardware } = interfaceOptions
  const options = texts(value, { comment, name: named, description, os, hardware }, name)
  if (mac !== undefined) options.push([interfaceOptions.mac, checkMac(mac, `${name}.mac`)])
  if (speed !== undefined) options.push([interfaceOptions.speed, uint64(checkCount(speed, `${name}.speed`))])
  options.push([interfaceOptions.timestampResolution, Uint8Array.of(9)])
  if (filter !== undefined) {
    // One byte says that what follows is text.
    options.push([interfaceOptions.filter, Buffer.concat([Uint8Array.of(0), textOf(filter, `${name}.filter`)])])
  }
  return {
    block: block(blockTypes.interface, body, options),
    snapshotLength: snapshotLength === 0 ? 0xffff_ffff : snapshotLength,
  }
}

const counterKeys = {
  received: statisticsOptions.received,
  dropped: statisticsOptions.interfaceDropped,
  accepted: statisticsOptions.accepted,
  systemDropped: statisticsOptions.systemDropped,
  delivered: statisticsOptions.delivered,
} as const

/** The interface statistics block. */
export function statisticsBlock(index: number, value: CaptureStatistics, now: () => bigint): Buffer {
  checkOptions(value, 'statistics', ['timestamp', 'startTime', 'endTime', ...Object.keys(counterKeys)])
  const { timestamp = now(), startTime, endTime } = value
  const body = Buffer.alloc(12)
  body.writeUInt32LE(index)
  body.set(highAndLow(checkTimestamp(timestamp, 'statistics.timestamp')), 4)
  const options: BlockOption[] = []
  for (const [key, code] of [
    ['startTime', statisticsOptions.startTime],
    ['endTime', statisticsOptions.endTime],
  ] as const) {
    const time = key === 'startTime' ? startTime : endTime
    if (time !== undefined) options.push([code, highAndLow(checkTimestamp(time, `statistics.${key}`))])
  }
  for (const [key, code] of Object.entries(counterKeys)) {
    const count = value[key as keyof typeof counterKeys]
    if (count !== undefined) options.push([code, uint64(checkCount(count, `statistics.${key}`))])
  }
  return block(blockTypes.statistics, body, options)
}
