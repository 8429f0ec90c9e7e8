/**
 * Checks of what callers pass in. They throw before anything is sent: TypeError with code ERR_INVALID_ARG_TYPE for the wrong
 * type, RangeError with ERR_INVALID_ARG_VALUE for a wrong value of the right type, RangeError with ERR_OUT_OF_RANGE for a
 * number that is too small or too large. `name` is the option's path as the caller wrote it.
 */
import { Stream } from 'node:stream'
import { inspect } from 'node:util'
import { optionHint } from './suggestions.js'

export type ArgumentErrorCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE'

function shown(value: unknown): string {
  if (value instanceof Stream && !(inspect.custom in value)) return `[${value.constructor.name}]`
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 64, maxArrayLength: 4 })
}

/** A TypeError: `mtu must be an integer, not 'abc'`, and why. */
export function typeError(
  name: string,
  expected: string,
  value: unknown,
  reason?: string,
): TypeError & { code: ArgumentErrorCode } {
  const why = reason === undefined ? '' : `: ${reason}`
  const error = new TypeError(`${name} must be ${expected}, not ${shown(value)}${why}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' as const })
}

/** A RangeError: `address '10.0.1/24': an IPv4 address has four parts`. */
export function valueError(name: string, value: unknown, reason: string): RangeError & { code: ArgumentErrorCode } {
  return Object.assign(new RangeError(`${name} ${shown(value)}: ${reason}`), { code: 'ERR_INVALID_ARG_VALUE' as const })
}

/** A RangeError: `mtu must be from 68 to 65535, not 70000`. */
export function rangeError(
  name: string,
  minimum: number | bigint,
  maximum: number | bigint,
  value: unknown,
): RangeError & { code: ArgumentErrorCode } {
  const error = new RangeError(`${name} must be from ${minimum} to ${maximum}, not ${shown(value)}`)
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' as const })
}

export function checkString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw typeError(name, 'a string', value)
}

export function checkBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw typeError(name, 'true or false', value)
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw typeError(name, 'a function', value)
}

/** An integer within bounds (both included). */
export function checkInteger(value: unknown, name: string, minimum: number, maximum: number): asserts value is number {
  if (typeof value !== 'number') throw typeError(name, 'an integer', value)
  if (!Number.isInteger(value)) throw typeError(name, 'an integer', value)
  if (value < minimum || value > maximum) throw rangeError(name, minimum, maximum, value)
}

/** One of a list of words. */
export function checkOneOf<T extends string>(value: unknown, name: string, words: readonly T[]): asserts value is T {
  checkWord(value, name, words, words.join(', '))
}

/** One of a list of words, or a number. */
export function checkOneOfOrNumber(
  value: unknown,
  name: string,
  words: readonly string[],
  minimum: number,
  maximum: number,
): void {
  if (typeof value === 'number') checkInteger(value, name, minimum, maximum)
  else checkWord(value, name, words, `${words.join(', ')}, or a number`)
}

function checkWord(value: unknown, name: string, words: readonly string[], shownWords: string): void {
  if (typeof value !== 'string') throw typeError(name, `one of ${shownWords}`, value)
  if (!words.includes(value)) throw valueError(name, value, `expected one of ${shownWords}`)
}

/** An options object, all of whose keys are known: a typo is an error, not a silence. */
export function checkOptions(value: unknown, name: string, keys: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw typeError(name, 'an object', value)
  for (const key of Object.keys(value)) {
    if (keys.includes(key)) continue
    throw valueError(name, key, `is not an option here; ${optionHint(key, keys)}`)
  }
}

export function checkSignal(value: unknown, name: string): asserts value is AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) throw typeError(name, 'an AbortSignal', value)
}
