// netkit beside other programs that speak rtnetlink (bench/netlink/programs.mjs), and beside a raw C program, the floor.
//
// Each piece of work is done by every program in turn, in a new random order each round, in network namespaces made for it; a run
// counts as its ratio to the C run of its round, and what is printed is the median of these: Markdown tables, to be pasted. Each
// program is a process of its own and measures itself, without its start. (iproute2 is measured from outside.)
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createNamespace, createVeth } from '../dist/index.js'
import { programsIn } from './netlink/programs.mjs'

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]

function shuffled(values) {
  const left = [...values]
  const order = []
  while (left.length > 0) order.push(...left.splice(Math.floor(Math.random() * left.length), 1))
  return order
}

/** Waits until the kernel, which takes namespaces apart in the background, has nothing to take apart any more. */
async function settled() {
  const namespace = await createNamespace()
  const end = performance.now() + 30_000
  for (let quick = 0; quick < 3 && performance.now() < end; ) {
    const start = performance.now()
    await createVeth({ namespace })
    quick = performance.now() - start < 10 ? quick + 1 : 0
    await sleep(50)
  }
  await namespace.delete()
  await sleep(200)
}

const works = ({ pairs, routes, events, asks }) => [
  {
    work: 'veth',
    title: `${count(pairs)} veth pairs, both ends up, an address on each`,
    count: pairs,
    aim: '≤ 1.10 × C',
  },
  {
    work: 'add-routes',
    title: `add ${count(routes)} routes`,
    count: routes,
    setup: 1,
    aim: '≤ 1.15 × C; 3 × faster than `ip -batch`',
  },
  {
    work: 'dump-routes',
    title: `list ${count(routes)} routes, and read every field`,
    count: 1,
    setup: 1,
    routes,
    aim: '≤ 2.0 × the raw receive; ahead of the others',
  },
  {
    work: 'dump-links',
    title: `list ${count(2 * pairs + 1)} links, and read their statistics`,
    count: 1,
    setup: pairs,
    aim: '≤ libnl',
  },
  {
    work: 'event',
    title: 'from a request to the event about it, p50',
    count: events,
    setup: 1,
    unit: 'µs',
    aim: '≤ C + 150 µs',
  },
  { work: 'one', title: 'one awaited request, p50', count: asks, setup: 1, unit: 'µs', aim: '≤ C + 60 µs' },
]

const count = (number) => number.toLocaleString('en')

/** The times of every program, by round. */
async function measure({ work, count: times, setup, routes }, programs, rounds) {
  const names = Object.keys(programs).filter((name) => programs[name].works.includes(work))
  const results = Object.fromEntries(names.map((name) => [name, []]))
  const prepare = async () => {
    const namespace = await createNamespace()
    if (setup !== undefined) programs.c.run(namespace, 'setup', setup)
    if (routes !== undefined) programs.c.run(namespace, 'add-routes', routes)
    return namespace
  }
  // What changes nothing can be done again and again in one namespace.
  const changes = work === 'veth' || work === 'add-routes'
  const shared = changes ? undefined : await prepare()
  try {
    for (let round = 0; round < rounds; round++) {
      for (const name of shuffled(names)) {
        if (changes) await settled()
        const namespace = shared ?? (await prepare())
        try {
          results[name].push(programs[name].run(namespace, work, times))
        } finally {
          if (namespace !== shared) await namespace.delete()
        }
      }
      if (process.stderr.isTTY) process.stderr.write(`\r${work}: round ${round + 1} of ${rounds} `)
    }
  } finally {
    await shared?.delete()
  }
  if (process.stderr.isTTY) process.stderr.write('\n')
  return results
}

function printTable({ title, unit = 'ms', aim }, results, programs) {
  const factor = unit === 'µs' ? 1000 : 1
  const digits = unit === 'µs' || Math.min(...results.netkit) < 100 ? 1 : 0
  console.log(`\n**${title}** (aim: ${aim})\n`)
  console.log(
    unit === 'µs' ? `| | ${unit} | more than C |\n| --- | --- | --- |` : `| | ${unit} | × C |\n| --- | --- | --- |`,
  )
  for (const [name, times] of Object.entries(results)) {
    const ratios = times.map((time, i) => (unit === 'µs' ? (time - results.c[i]) * factor : time / results.c[i]))
    const compared = unit === 'µs' ? `${median(ratios).toFixed(0)} µs` : median(ratios).toFixed(2)
    console.log(
      `| ${programs[name].title} | ${(median(times) * factor).toFixed(digits)} | ${name === 'c' ? '' : compared} |`,
    )
  }
}

async function loops(programs, pairs) {
  console.log(
    `\n**The event loop's delay while ${count(pairs)} veth pairs are made, and deleted one by one** (aim: p99 ≤ 2 ms, most ≤ 10 ms)\n`,
  )
  console.log('| | p50 | p99 | most | in |\n| --- | --- | --- | --- | --- |')
  for (const [work, words] of [
    ['loop', '50 at a time'],
    ['loop-at-once', 'all in one tick'],
  ]) {
    await settled()
    const namespace = await createNamespace()
    const seen = JSON.parse(programs.netkit.print(namespace, work, pairs))
    await namespace.delete()
    for (const [what, { wall, p50, p99, max }] of Object.entries(seen)) {
      const figures = [p50, p99, max].map((value) => `${value.toFixed(2)} ms`)
      console.log(`| ${what}, ${words} | ${figures.join(' | ')} | ${(wall / 1000).toFixed(1)} s |`)
    }
  }
}

/** Options: `rounds`, `pairs`, `routes`; `only=N` takes the Nth piece of work alone, from 1 on, 7 being the event loop's delay. */
export async function run({ rounds = 5, pairs = 1000, routes = 100_000, events = 200, asks = 2000, only }) {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-bench-'))
  try {
    const { programs, missing } = programsIn(folder)
    for (const [name, reason] of Object.entries(missing)) console.log(`SKIPPED: ${name}: ${reason}`)
    console.log(`Medians of ${rounds} rounds.`)
    for (const [i, each] of works({ pairs, routes, events, asks }).entries()) {
      if (only !== undefined && only !== i + 1) continue
      printTable(each, await measure(each, programs, rounds), programs)
    }
    if (only === undefined || only === 7) await loops(programs, pairs)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
