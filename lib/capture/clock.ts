/** The time of day in nanoseconds. */

/** How far a clock may be from the time of day before it is set again: 5 ms, in nanoseconds. */
const PATIENCE = 5_000_000n
const MILLION = 1_000_000n

let offset: bigint | undefined

/**
 * Nanoseconds since 1970. `Date.now()` has milliseconds only; so the monotonic clock is asked, which begins at boot, and the
 * difference is taken anew when the time of day was set.
 */
export function nanosecondsNow(): bigint {
  const monotonic = process.hrtime.bigint()
  const milliseconds = BigInt(Date.now()) * MILLION
  if (offset === undefined) {
    // timeOrigin has microseconds.
    const micro = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000))
    offset = micro * 1000n - monotonic
  }
  const distance = monotonic + offset - milliseconds
  if (distance > PATIENCE || distance < -PATIENCE) offset = milliseconds - monotonic
  return monotonic + offset
}
