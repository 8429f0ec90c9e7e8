// The designs that are made of netkit, as a user would write them. Each gets the namespaces, opens `left` in `near` and `right`
// in `far`, and begins to carry frames between them. What it returns, if anything, is a function that tells the frames taken in,
// given out, and dropped.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { Worker } from 'node:worker_threads'
import { createSwitch, openTap, startPump } from '../../dist/index.js'
import { byBatches, byDgram, byPump } from './tunnels.mjs'

/** Held here, so that what only its descriptors are used of is not collected. */
const held = []

async function taps({ near, far }, options = {}) {
  const [left, right] = await Promise.all([
    openTap({ namespace: near, name: 'left', ...options }),
    openTap({ namespace: far, name: 'right', ...options }),
  ])
  held.push(left, right)
  return [left, right]
}

/** A design between two taps, the same for both directions. */
const both =
  (carry, options = {}) =>
  async (site) => {
    const [left, right] = await taps(site, options)
    carry(left, right)
    carry(right, left)
    return () => ({ taps: [left, right].map((tap) => tap.stats()), seen })
  }

/** The sum of what was looked at, so that looking is not optimized away. */
let seen = 0

/** Reads in batches of up to `max`, and looks into every frame: at the EtherType. */
const batches = (max) => async (from, to) => {
  for await (const batch of from.batches({ max })) {
    const { data, length } = batch
    for (let i = 0; i < length; i++) seen += data[batch.offset(i) + 12]
    to.writeBatch(batch)
  }
}

const pipe = (from, to) => void from.pipe(to)

async function forAwait(from, to) {
  for await (const frame of from) to.write(frame)
}

/** How packages do it that know only a descriptor: a blocking read on libuv's thread pool for every frame. */
const descriptors = (carry) => async (site) => {
  const [left, right] = await taps(site)
  execFileSync(site.pump, ['blocking'], { stdio: ['ignore', 'inherit', 'inherit', left.fds[0], right.fds[0]] })
  carry(left.fds[0], right.fds[0])
  carry(right.fds[0], left.fds[0])
}

function readAndWrite(source, target) {
  const buffer = Buffer.alloc(2048)
  const next = () =>
    fs.read(source, buffer, 0, buffer.length, null, (error, length) => {
      if (error !== null) throw error
      fs.write(target, buffer, 0, length, null, next)
    })
  next()
}

function streams(source, target) {
  fs.createReadStream('', { fd: source, highWaterMark: 2048 }).pipe(fs.createWriteStream('', { fd: target }))
}

async function fourPorts(site, options = {}) {
  const pair = await taps(site, options)
  const others = ['third', 'fourth'].map((name) => openTap({ namespace: site.between, name, up: true, ...options }))
  const bridge = createSwitch()
  held.push(bridge)
  for (const tap of [...pair, ...(await Promise.all(others))]) bridge.addPort(tap)
  return () => ({ taps: pair.map((tap) => tap.stats()) })
}

const pump = (options, settings) => async (site) => {
  const [left, right] = await taps(site, options)
  held.push(startPump(left, right, settings))
  return () => ({ taps: [left, right].map((tap) => tap.stats()) })
}

const tunnel = (make, options) => async (site) => {
  const pair = await taps(site, options)
  held.push(await make(site, pair))
}

const whole = { gso: false, gro: false }
const offload = { offload: true }

/** A worker thread that blocks in pollBatch(): worker.mjs. */
async function worker(site) {
  const thread = new Worker(new URL('./worker.mjs', import.meta.url), {
    workerData: { near: site.paths[0], far: site.paths[1] },
  })
  await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
}

export const starts = {
  batches: both(batches(256)),
  'batches-64': both(batches(64)),
  'batches-offload': both(batches(64), { offload: true }),
  pipe: both(pipe),
  'pipe-offload': both(pipe, { offload: true }),
  'for-await': both(forAwait),
  worker,
  pump: pump(),
  'pump-offload': pump(offload),
  'pump-busy': pump({}, { busyPoll: 0.05 }),
  'pump-busy-offload': pump(offload, { busyPoll: 0.05 }),
  switch: fourPorts,
  'switch-offload': (site) => fourPorts(site, offload),
  'tunnel-dgram': tunnel(byDgram),
  'tunnel-plain': tunnel(byBatches(whole)),
  'tunnel-batches': tunnel(byBatches()),
  'tunnel-pump': tunnel(byPump()),
  'tunnel-batches-offload': tunnel(byBatches(), offload),
  'tunnel-pump-offload': tunnel(byPump(), offload),
  'fs-read': descriptors(readAndWrite),
  'fs-streams': descriptors(streams),
}
