// How late the event loop's timers are while something is done, in milliseconds.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

export async function delays(work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  // The first timer counts from when it is set up: without this, the tick in which the work is asked for would not be seen.
  await sleep(20)
  histogram.reset()
  const start = performance.now()
  await work()
  await sleep(5)
  histogram.disable()
  const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - 1)
  return {
    wall: performance.now() - start,
    p50: late(histogram.percentile(50)),
    p99: late(histogram.percentile(99)),
    max: late(histogram.max),
  }
}
