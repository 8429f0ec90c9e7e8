// How fast frames get from one network namespace to another through a program, beside the bench's own C programs of the same
// shape, other programs, and the kernel (bench/packets/designs.mjs).
//
// Every design is a process of its own with namespaces of its own, and all are up from beginning to end. A slice of load
// (bench/c/tcpload.c, blast.c, rtt.c) goes through one after the other, in a new random order each round, and between every two
// through what they are compared with. A slice counts as its ratio to the mean of the slices before and after it; what is
// printed is the median. A slice in which the pump or the load waited for a core for more than a tenth of the time is repeated.
// The pumps run on one core and the load on another, where there are two.
//
// Options: rounds, milliseconds (of a slice), only=DESIGN,… loads=tcp,udp,rtt, realtime=PRIORITY (chrt -r, on a busy machine),
// pause=MILLISECONDS between slices, json=FILE (a line for each slice), plot=1 (writes docs/packets.svg).
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { comparisons, designs } from './packets/designs.mjs'
import { measure } from './packets/measure.mjs'
import { pinning } from './packets/pins.mjs'
import { plot as drawn } from './packets/plot.mjs'
import { latenessTable, memoryTable } from './packets/process.mjs'
import { tables } from './packets/report.mjs'
import { Site } from './packets/site.mjs'

const source = (name) => fileURLToPath(new URL(`./c/${name}.c`, import.meta.url))

export function compile() {
  const programs = mkdtempSync(join(tmpdir(), 'netkit-bench-'))
  for (const name of ['pump', 'blast', 'tcpload', 'rtt']) {
    execFileSync('cc', ['-O2', '-o', join(programs, name), source(name)], { stdio: 'inherit' })
  }
  return programs
}

/** The comparisons of the designs and loads that are asked for. */
function chosen({ only, loads }) {
  const names = only?.split(',') ?? Object.keys(designs)
  const wrong = names.filter((name) => designs[name] === undefined)
  if (wrong.length > 0)
    throw new Error(`no such design: ${wrong.join(', ')} (there are ${Object.keys(designs).join(', ')})`)
  return comparisons.filter(
    ({ design, load }) => names.includes(design) && (loads === undefined || loads.split(',').includes(load)),
  )
}

export async function run(options = {}) {
  const { rounds = 9, milliseconds = 400, pause = 0, realtime = 0, json, plot } = options
  let wanted = chosen(options)
  const pins = pinning(realtime)
  const programs = compile()
  const context = { programs, pins }
  const sites = {}
  try {
    for (const name of new Set(wanted.flatMap(({ design, base }) => [base, design]))) {
      try {
        sites[name] = await Site.create(designs[name], context)
      } catch (error) {
        if (error.skip !== true) throw error
        console.log(`SKIPPED: ${error.message}`)
      }
    }
    wanted = wanted.filter(({ design, base }) => sites[design] !== undefined && sites[base] !== undefined)
    const record = (slice) => {
      if (json !== undefined) appendFileSync(json, `${JSON.stringify(slice)}\n`)
    }
    const { slices, disturbed } = await measure(sites, wanted, { rounds, milliseconds, pause, record })
    const how = pins.cores ? 'pump and load each on a core' : 'not pinned'
    console.log(
      `Medians of ${rounds} rounds of ${milliseconds} ms; ${how}${realtime > 0 ? `, chrt -r ${realtime}` : ''}.`,
    )
    console.log(tables(designs, wanted, slices, milliseconds))
    console.log(await memoryTable(sites, designs))
    console.log(await latenessTable(sites, designs, { rounds, milliseconds }))
    if (plot !== undefined) writeFileSync(new URL('../docs/packets.svg', import.meta.url), drawn(designs, slices))
    if (disturbed > 0) console.log(`\n${disturbed} slices were disturbed by other programs to the end.`)
    return { wanted, slices }
  } finally {
    for (const site of Object.values(sites)) await site.close()
    rmSync(programs, { recursive: true })
  }
}
