/** Checks of a route's metrics. */
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  rangeError,
  typeError,
  valueError,
} from '../validate.js'
import type { RouteMetrics } from './route.js'
import { lockBits, metricAttributes, routeFeatures } from './route-attributes.js'

/** The kernel makes more than these out to be these, silently (ip_metrics_convert in net/ipv4/metrics.c). */
export const MOST_MTU = 65_520
const most: Partial<Record<keyof RouteMetrics, number>> = { mtu: MOST_MTU, advertisedMss: 65_495, hopLimit: 255 }

/** Parts of a millisecond that the kernel counts in. */
const parts: Partial<Record<keyof RouteMetrics, number>> = { rtt: 8, rttVariance: 4 }

export function checkMetrics(metrics: RouteMetrics, name: string): void {
  checkOptions(
    metrics,
    name,
    metricAttributes.attributes.map(({ key }) => key),
  )
  for (const [key, value] of Object.entries(metrics) as [keyof RouteMetrics, unknown][]) {
    const path = `${name}.${key}`
    if (value === undefined) continue
    if (key === 'lock') checkWords(value, path, Object.keys(lockBits))
    else if (key === 'features') checkWords(value, path, Object.keys(routeFeatures))
    else if (key === 'quickAck' || key === 'fastOpenNoCookie') checkBoolean(value, path)
    else if (key === 'congestionControl') checkString(value, path)
    else if (parts[key] !== undefined) checkMilliseconds(value, path, parts[key])
    else checkInteger(value, path, 1, most[key] ?? 0xffff_ffff)
  }
}

function checkWords(value: unknown, name: string, words: readonly string[]): void {
  if (!Array.isArray(value)) throw typeError(name, 'an array of words', value)
  value.forEach((word, i) => {
    checkOneOf(word, `${name}[${i}]`, words)
  })
}

function checkMilliseconds(value: unknown, name: string, fraction: number): void {
  if (typeof value !== 'number' || Number.isNaN(value)) throw typeError(name, 'a number of milliseconds', value)
  const longest = 0xffff_ffff / fraction
  if (value <= 0 || value > longest) throw rangeError(name, 1 / fraction, longest, value)
  if (!Number.isInteger(value * fraction)) {
    throw valueError(name, value, `must be a multiple of ${1 / fraction} milliseconds`)
  }
}
