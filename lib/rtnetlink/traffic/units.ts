/**
 * Quantities of traffic control: rates in bits per second, times in milliseconds, sizes in bytes, probabilities in per cent; and
 * the attributes that carry them (linux/pkt_sched.h).
 */
import { type AttributeType, attributeU32, attributeU64, mapped } from '../../netlink/attribute.js'
import { checkInteger, rangeError, typeError, valueError } from '../../validate.js'

/**
 * Bits per second: a number, or a number with a unit as text. The units are 'bit', 'kbit', 'mbit', 'gbit', 'tbit', each a
 * thousand times the one before, and 'kibit', 'mibit', 'gibit', 'tibit', each 1024 times: '100mbit', '1.5gbit', '512kibit'.
 * tc(8) has these words too; its 'bps', which are bytes per second there, are refused.
 *
 * The kernel counts whole bytes per second: at least 8 bit/s, and what is read is a multiple of 8.
 */
export type Rate = number | string

const rateUnits: Readonly<Record<string, number>> = {
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  tbit: 1e12,
  kibit: 2 ** 10,
  mibit: 2 ** 20,
  gibit: 2 ** 30,
  tibit: 2 ** 40,
}

/** The bits per second that a caller means. */
export function checkRate(value: unknown, name: string): number {
  const rate = typeof value === 'string' ? parseRate(value, name) : value
  if (typeof rate !== 'number' || Number.isNaN(rate)) {
    throw typeError(name, "a number of bits per second, or text such as '100mbit'", value)
  }
  if (rate < 8 || rate > Number.MAX_SAFE_INTEGER) throw rangeError(name, 8, Number.MAX_SAFE_INTEGER, value)
  return rate
}

function parseRate(text: string, name: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? []
  const factor = rateUnits[unit.toLowerCase()]
  if (digits !== undefined && factor !== undefined) return Number(digits) * factor
  if (/bps$/i.test(unit))
    throw valueError(name, text, "'bps' are bytes in tc and bits elsewhere: say it in 'kbit', 'mbit' …")
  throw valueError(name, text, `expected a number with one of ${Object.keys(rateUnits).join(', ')}, as in '100mbit'`)
}

/** The whole bytes per second of a rate. */
export function bytesPerSecond(value: unknown, name: string): number {
  return Math.round(checkRate(value, name) / 8)
}

/** A 32-bit attribute of bytes per second. ~0 is 'no limit'. */
export const rate32: AttributeType<Rate> = mapped(
  attributeU32,
  (bytes) => bytes * 8,
  (value, name) => {
    const bytes = bytesPerSecond(value, name)
    if (bytes > 0xffff_ffff) throw rangeError(name, 8, 0xffff_ffff * 8, value)
    return bytes
  },
)

/** A 64-bit attribute that is a number here. */
export const number64: AttributeType<number> = mapped(
  attributeU64,
  (value) => Number(value),
  (value, name) => {
    checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER)
    return BigInt(value)
  },
)

/** A time in milliseconds, from 0 to `most`. */
export function checkTime(value: unknown, name: string, most: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || Number.isNaN(value)) throw typeError(name, 'a number of milliseconds', value)
  if (value < 0 || value > most) throw rangeError(name, 0, most, value)
  return value
}

/** Milliseconds; on the wire a 32-bit number of microseconds (or of another part of them: `perMillisecond` to each). */
export function parts32(perMillisecond: number): AttributeType<number> {
  return mapped(
    attributeU32,
    (value) => value / perMillisecond,
    (value, name) => Math.round(checkTime(value, name, 0xffff_ffff / perMillisecond) * perMillisecond),
  )
}

export const microseconds32 = parts32(1e3)
export const nanoseconds32 = parts32(1e6)

/** A probability as the kernel has it, 0 to 2^32 - 1, from one in per cent. */
export function checkPercent(value: unknown, name: string): number {
  if (typeof value !== 'number' || Number.isNaN(value)) throw typeError(name, 'a number of per cent', value)
  if (value < 0 || value > 100) throw rangeError(name, 0, 100, value)
  return Math.round((value / 100) * 0xffff_ffff)
}

/** Per cent, to a millionth: the kernel's steps are smaller. */
export function percentOf(probability: number): number {
  return Math.round((probability / 0xffff_ffff) * 1e8) / 1e6
}

/** A size in bytes, or a number of packets. */
export function checkCount(value: unknown, name: string, least = 0, most = 0xffff_ffff): number {
  checkInteger(value, name, least, most)
  return value
}
