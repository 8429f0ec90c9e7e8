// Creating veth pairs with addresses: netkit against raw C, `ip -batch` and one `ip` process a step; and what it does to the
// event loop.
//
// Each run makes COUNT pairs (both ends up, an IPv4 address on each) in a new network namespace. The ways take turns, in a new
// random order each round, and a run counts as its ratio to the C run of its round; what is printed is the median of the ratios.
// Before each run the kernel is given the time to take the namespace before apart, which it does in the background.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createNamespace, createVeth } from '../dist/index.js'

const networkOf = (i) => `10.${i >> 8}.${i & 255}`
const ends = (i) => [
  { name: `a${i}`, addresses: [`${networkOf(i)}.1/24`], up: true },
  { name: `b${i}`, addresses: [`${networkOf(i)}.2/24`], up: true },
]

/** The steps of one pair, as words for `ip`. */
const steps = (i) => [
  `link add a${i} type veth peer name b${i}`,
  `link set a${i} up`,
  `link set b${i} up`,
  `address add ${networkOf(i)}.1/24 dev a${i}`,
  `address add ${networkOf(i)}.2/24 dev b${i}`,
]

function pairs(namespace, count) {
  return Promise.all(
    Array.from({ length: count }, (_, i) => createVeth(...ends(i).map((end) => ({ ...end, namespace })))),
  )
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]

async function timed(work) {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await work()
  const wall = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  return { wall, user: user / 1000, system: system / 1000 }
}

/** Waits until the kernel has nothing to take apart any more: five small changes in a row go quickly. */
async function settled() {
  const namespace = await createNamespace()
  const end = performance.now() + 60_000
  for (let quick = 0; quick < 5 && performance.now() < end; ) {
    const { wall } = await timed(() => createVeth({ namespace }))
    quick = wall < 10 ? quick + 1 : 0
    await sleep(100)
  }
  await namespace.delete()
  await sleep(500)
}

/** The ways, each a function of a namespace and a count that resolves to milliseconds. */
function waysOf(folder) {
  const program = join(folder, 'links')
  execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('c/links.c', import.meta.url))])
  const ways = {
    c: (namespace, count) => Number(namespace.run(() => execFileSync(program, [String(count)]))),
    netkit: async (namespace, count) => (await timed(() => pairs(namespace, count))).wall,
    'netkit, one after the other': async (namespace, count) => {
      const { wall } = await timed(async () => {
        for (let i = 0; i < count; i++) await createVeth(...ends(i).map((end) => ({ ...end, namespace })))
      })
      return wall
    },
  }
  try {
    execFileSync('ip', ['-V'], { stdio: 'ignore' })
  } catch {
    console.log('ip is not installed: left out (apt-get install iproute2)')
    return ways
  }
  ways['ip -batch'] = async (namespace, count) => {
    const file = join(folder, 'batch')
    writeFileSync(file, `${Array.from({ length: count }, (_, i) => steps(i).join('\n')).join('\n')}\n`)
    return (await timed(async () => namespace.run(() => execFileSync('ip', ['-batch', file])))).wall
  }
  // A tenth of the pairs, and ten times the time: this one takes seconds.
  ways['one ip process a step'] = async (namespace, count) => {
    const { wall } = await timed(async () => {
      for (let i = 0; i < count / 10; i++) {
        for (const words of steps(i)) namespace.run(() => execFileSync('ip', words.split(' ')))
      }
    })
    return wall * 10
  }
  return ways
}

/** How late the event loop's timers are while pairs are created, and while they are deleted one by one. */
async function eventLoop(count) {
  const namespace = await createNamespace()
  const delays = async (work) => {
    const histogram = monitorEventLoopDelay({ resolution: 1 })
    histogram.enable()
    const { wall } = await timed(work)
    histogram.disable()
    const inMilliseconds = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - 1)
    return {
      wall,
      p50: inMilliseconds(histogram.percentile(50)),
      p99: inMilliseconds(histogram.percentile(99)),
      max: inMilliseconds(histogram.max),
    }
  }
  // As a program that has other things to do would: a few at a time.
  const inTurns = async (work) => {
    for (let i = 0; i < count; i += 50)
      await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, j) => work(i + j)))
  }
  const made = []
  const creating = await delays(() =>
    inTurns(async (i) => {
      made[i] = await createVeth(...ends(i).map((end) => ({ ...end, namespace })))
    }),
  )
  const deleting = await delays(() => inTurns((i) => made[i][0].delete()))
  await namespace.delete()
  return { creating, deleting }
}

export async function run({ rounds = 9, count = 1000 }) {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-bench-'))
  try {
    const ways = waysOf(folder)
    const names = Object.keys(ways)
    const results = Object.fromEntries(names.map((name) => [name, { times: [], ratios: [] }]))
    // Once without counting: code is compiled and caches are filled.
    const once = async (name) => {
      const namespace = await createNamespace()
      try {
        return await ways[name](namespace, count)
      } finally {
        await namespace.delete()
        await settled()
      }
    }
    await once('netkit')
    for (let round = 0; round < rounds; round++) {
      const times = {}
      for (const name of names
        .map((name) => [Math.random(), name])
        .sort()
        .map(([, name]) => name))
        times[name] = await once(name)
      for (const name of names) {
        results[name].times.push(times[name])
        results[name].ratios.push(times[name] / times.c)
      }
      process.stdout.write(`round ${round + 1} of ${rounds}\r`)
    }
    console.log(`${count} veth pairs, both ends up, an address on each: medians of ${rounds} rounds`)
    for (const [name, { times, ratios }] of Object.entries(results)) {
      console.log(
        `  ${name.padEnd(30)} ${median(times).toFixed(0).padStart(6)} ms  ${median(ratios).toFixed(2).padStart(6)} × C`,
      )
    }
    const { creating, deleting } = await eventLoop(count)
    console.log(`the event loop's delay meanwhile, 50 at a time (milliseconds)`)
    for (const [name, { wall, p50, p99, max }] of Object.entries({ creating, deleting })) {
      console.log(
        `  ${name.padEnd(10)} p50 ${p50.toFixed(2)}  p99 ${p99.toFixed(2)}  max ${max.toFixed(2)}  in ${wall.toFixed(0)} ms`,
      )
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
