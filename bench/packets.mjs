// Frames per second through a program that joins two taps, against a plain C read/write loop.
//
// Every design is a process of its own with two network namespaces of its own (packets-pump.mjs), and all of them are up from
// beginning to end. A C program sends UDP datagrams of 18 bytes (60-byte frames) from one namespace to the other for a slice of
// time, one design after the other, in a new random order each round, with the C loop between every two of them. A slice counts
// as its ratio to the mean of the C slices before and after it (and a C slice as its ratio to the one before it, which tells
// how quiet the machine is); what is printed is the median of these. A slice in which the pump waited for a processor for more
// than a tenth of the time is repeated.
// The pumps run on one core and the load on another, where there are two.
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const designs = {
  c: 'C: read, write, one frame at a time',
  batches: 'batches() and writeBatch()',
  pipe: 'pipe()',
  'for-await': 'for await (frame of tap), write()',
  'fs-read': 'fs.read and fs.write',
  'fs-streams': 'fs.createReadStream and createWriteStream',
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

/** Words before a command that keep it on one core; none where that cannot be had. */
function pinning() {
  const none = { pump: [], load: [] }
  if (availableParallelism() < 2) return none
  try {
    execFileSync('taskset', ['-c', '0,1', 'true'], { stdio: 'ignore' })
    return { pump: ['taskset', '-c', '1'], load: ['taskset', '-c', '0'] }
  } catch {
    return none
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function shuffled(values) {
  const left = [...values]
  const order = []
  while (left.length > 0) order.push(...left.splice(Math.floor(Math.random() * left.length), 1))
  return order
}

async function start(name, programs, pins) {
  const [file = process.execPath, ...words] = [...pins.pump, process.execPath]
  const child = fork(here('./packets-pump.mjs'), [name, programs, JSON.stringify(pins.load)], {
    execPath: file,
    execArgv: words,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const failed = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the pump '${name}' ended (${code})`)))
  failed.catch(() => {})
  const answer = async () => (await Promise.race([once(child, 'message'), failed]))[0]
  await answer()
  return {
    child,
    async slice(milliseconds) {
      child.send(milliseconds)
      return answer()
    },
  }
}

/**
 * @returns a design's `rates`, frames per second of every slice; its `costs`, microseconds of processor time a frame; its
 * `ratios` to the mean of the C slices before and after it; and how many slices other programs disturbed to the end
 */
async function measure(pumps, { rounds, milliseconds }) {
  const results = Object.fromEntries(Object.keys(pumps).map((name) => [name, { rates: [], costs: [], ratios: [] }]))
  let disturbed = 0
  const slice = async (name) => {
    let seen = await pumps[name].slice(milliseconds)
    // The threads of the fs designs wait for each other.
    const isDisturbed = () => !name.startsWith('fs-') && seen.waited > 0.1 * milliseconds
    for (let again = 0; again < 10 && isDisturbed(); again++) {
      await delay(500)
      seen = await pumps[name].slice(milliseconds)
    }
    if (isDisturbed()) disturbed++
    const { frames, busy } = seen
    const rate = (frames * 1000) / milliseconds
    results[name].rates.push(rate)
    results[name].costs.push((busy * 1000) / frames)
    return rate
  }
  let before = await slice('c')
  for (let round = 0; round < rounds; round++) {
    for (const name of shuffled(Object.keys(pumps).filter((name) => name !== 'c'))) {
      const rate = await slice(name)
      const after = await slice('c')
      results[name].ratios.push((2 * rate) / (before + after))
      results.c.ratios.push(after / before)
      before = after
    }
    if (process.stderr.isTTY) process.stderr.write(`\rround ${round + 1} of ${rounds}`)
  }
  if (process.stderr.isTTY) process.stderr.write('\n')
  return { results, disturbed }
}

function print(design, ...figures) {
  console.log(design.padEnd(44) + figures.map((figure) => figure.padStart(13)).join(''))
}

export async function run(options = {}) {
  const { rounds = 9, milliseconds = 400, names = Object.keys(designs) } = options
  const programs = mkdtempSync(join(tmpdir(), 'netkit-bench-'))
  const pumps = {}
  try {
    for (const program of ['frameloop', 'blast']) {
      execFileSync('cc', ['-O2', '-o', join(programs, program), here(`./c/${program}.c`)], { stdio: 'inherit' })
    }
    const pins = pinning()
    for (const name of new Set(['c', ...names])) pumps[name] = await start(name, programs, pins)
    const { results, disturbed } = await measure(pumps, { rounds, milliseconds })
    const pinned = pins.pump.length > 0 ? 'pump and load each on a core' : 'not pinned'
    console.log(`60-byte frames between two taps; medians of ${rounds} rounds of ${milliseconds} ms; ${pinned}\n`)
    print('design', 'kframes/s', 'CPU us/frame', 'x C', 'from', 'to')
    for (const [name, { rates, costs, ratios }] of Object.entries(results)) {
      const figures = [median(ratios), Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2))
      print(designs[name], (median(rates) / 1000).toFixed(0), median(costs).toFixed(2), ...figures)
    }
    if (disturbed > 0)
      console.log(`\n${disturbed} slices were disturbed by other programs: run it again on a quiet machine.`)
    return results
  } finally {
    for (const { child } of Object.values(pumps)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.disconnect()
      await once(child, 'exit')
    }
    rmSync(programs, { recursive: true })
  }
}
