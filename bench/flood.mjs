// A long flood of small frames and of TCP through designs of netkit: memory must stay flat, and every frame must be accounted
// for. Options: minutes (10 by default, for each design), only=DESIGN,… (batches by default), realtime, json, as of `packets`.
import { appendFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { designs } from './packets/designs.mjs'
import { median } from './packets/measure.mjs'
import { pinning } from './packets/pins.mjs'
import { Site } from './packets/site.mjs'
import { compile } from './packets.mjs'

const MIB = 1024 * 1024
const SLICE = 5000
/** Frames beside the load's: questions for addresses. */
const FEW = 20

/** The counters of both sides, when everything on its way has arrived. */
async function counters(site) {
  await delay(200)
  const left = await site.near.links.get('left')
  const right = await site.far.links.get('right')
  const { taps } = await site.ask('stats')
  return {
    offered: left.stats.sentPackets + left.stats.sendDropped,
    dropped: left.stats.sendDropped,
    taken: left.stats.sentPackets,
    arrived: right.stats.receivedPackets,
    ...(taps && { read: taps[0].framesRead, written: taps[1].framesWritten, refused: taps[1].refused }),
  }
}

/** What does not add up between two readings of the counters. */
function missing(before, after, sent) {
  const grown = (key) => after[key] - before[key]
  const faults = []
  const offered = grown('offered') - sent
  if (offered < 0 || offered > FEW) faults.push(`${offered} of ${sent} frames between the sender and the interface`)
  if (grown('taken') !== grown('read'))
    faults.push(`${grown('taken') - grown('read')} frames between the interface and the reader`)
  const written = grown('written') + grown('refused')
  if (grown('read') !== written) faults.push(`${grown('read') - written} frames between the reader and the writer`)
  if (grown('written') !== grown('arrived'))
    faults.push(`${grown('written') - grown('arrived')} frames after the writer`)
  return faults
}

const third = (samples, i) =>
  samples.slice(Math.floor((samples.length * i) / 3), Math.ceil((samples.length * (i + 1)) / 3))

async function flood(site, minutes, record) {
  const samples = []
  const faults = []
  let frames = 0
  let dropped = 0
  const end = performance.now() + minutes * 60_000
  await site.slice('tcp', 200)
  while (performance.now() < end) {
    const before = await counters(site)
    const { sent, value } = await site.slice('udp', SLICE)
    const after = await counters(site)
    faults.push(...missing(before, after, sent))
    frames += after.arrived - before.arrived
    dropped += after.dropped - before.dropped
    await site.slice('tcp', SLICE / 5)
    const sample = await site.ask('memory')
    samples.push(sample)
    record({ design: site.name, value, ...sample })
  }
  return { samples, faults, frames, dropped }
}

export async function run({ minutes = 10, only = 'batches', realtime = 0, json } = {}) {
  const programs = compile()
  const record = (line) => {
    if (json !== undefined) appendFileSync(json, `${JSON.stringify(line)}\n`)
  }
  try {
    console.log(`${minutes} minutes each; memory of the process, medians of the first and the last third\n`)
    console.log(
      '| | frames through | dropped and counted | lost | resident | heap |\n| --- | --- | --- | --- | --- | --- |',
    )
    for (const name of only.split(',')) {
      const site = await Site.create(designs[name], { programs, pins: pinning(realtime) })
      try {
        const { samples, faults, frames, dropped } = await flood(site, minutes, record)
        const ends = (key) =>
          [0, 2].map((i) => (median(third(samples, i).map((sample) => sample[key])) / MIB).toFixed(1)).join(' → ')
        const counts = [frames, dropped].map((count) => count.toLocaleString('en')).join(' | ')
        const lost = faults.length === 0 ? 'none' : `${faults.length} times`
        console.log(`| ${designs[name].title} | ${counts} | ${lost} | ${ends('resident')} MiB | ${ends('heap')} MiB |`)
        for (const fault of faults.slice(0, 5)) console.log(`  ${fault}`)
        if (faults.length > 0) process.exitCode = 1
      } finally {
        await site.close()
      }
    }
  } finally {
    rmSync(programs, { recursive: true })
  }
}
