// The process of one design that is made of netkit: child.mjs DESIGN PUMP NEAR FAR BETWEEN, with paths of the bench's C pump
// and of the namespaces. It says when it runs, and then answers questions about itself.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { openNamespace } from '../../dist/index.js'
import { memory } from './memory.mjs'
import { starts } from './netkit.mjs'

const [design, pump, ...paths] = process.argv.slice(2)
const RESOLUTION = 1

let histogram
const answers = {
  memory,
  watch() {
    histogram = monitorEventLoopDelay({ resolution: RESOLUTION })
    histogram.enable()
    return {}
  },
  lateness() {
    histogram.disable()
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION)
    return { p50: late(histogram.percentile(50)), p99: late(histogram.percentile(99)), most: late(histogram.max) }
  },
}

try {
  const [near, far, between] = await Promise.all(paths.map((path) => openNamespace({ path })))
  const site = { near, far, between, pump, paths }
  const stats = await starts[design](site)
  // Not to be collected.
  answers.site = () => Object.keys(site)
  answers.stats = () => stats?.() ?? {}
  process.on('message', (question) => process.send(answers[question]()))
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  await delay(0)
  process.send({})
} catch (error) {
  process.send({ error: error.message })
}
