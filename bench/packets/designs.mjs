// All designs, what each is compared with, and what is aimed at.
import * as peers from './peers.mjs'

const c = (...args) => ({ kind: 'c', start: (site) => site.c('pump', ...args.map(String)) })
const netkit = (flags) => ({ kind: 'netkit', start: (site) => site.netkit(site.name, flags) })
const peer = (start) => ({ kind: 'peer', start })
const proxy = (address, start) => ({ kind: 'peer', address, target: 'between', configured: true, start })
const kernel = (start) => ({ kind: 'kernel', start })

/** `drawn`: what it counts as in the plot, where that is another kind. */
export const designs = {
  'c-loop': { title: 'C: read, write, a frame at a time', ...c('loop', 64) },
  'c-64': { title: 'C: read 64, write 64', ...c('batch', 64) },
  'c-256': { title: 'C: read 256, write 256', ...c('batch', 256) },
  'c-offload': { title: 'C with offload', ...c('vnet', 64) },
  'c-tunnel': { title: 'C: tap, UDP, tap; 64 a call', ...c('tunnel', 64) },
  batches: { title: '`batches()`, each frame looked at', memory: 12, late: 1, ...netkit() },
  'batches-64': { title: '`batches({ max: 64 })`', late: 1, ...netkit() },
  'batches-offload': { title: '`batches({ max: 64 })` with offload', ...netkit() },
  pipe: { title: '`a.pipe(b)`', late: 1, ...netkit() },
  'pipe-offload': { title: '`a.pipe(b)` with offload', ...netkit() },
  'for-await': { title: '`for await`, `write()`', ...netkit() },
  worker: { title: "a worker's `pollBatch()`", ...netkit() },
  pump: { title: '`startPump()`', memory: 12, ...netkit() },
  'pump-offload': { title: '`startPump()` with offload', ...netkit() },
  'pump-busy': { title: '`startPump()`, `busyPoll: 0.05`', ...netkit() },
  'pump-busy-offload': { title: '`startPump()`, `busyPoll: 0.05`, with offload', ...netkit() },
  switch: { title: '`createSwitch()`, 4 ports', ...netkit() },
  'switch-offload': { title: '`createSwitch()` with offload', ...netkit() },
  'tunnel-dgram': { title: 'tunnel over `node:dgram`', drawn: 'peer', ...netkit() },
  'tunnel-plain': { title: 'tunnel, `batches()`, no GSO', ...netkit() },
  'tunnel-batches': { title: 'tunnel, `batches()`', ...netkit() },
  'tunnel-pump': { title: 'tunnel, `startPump()`', ...netkit() },
  'tunnel-batches-offload': { title: 'tunnel, `batches()`, with offload', ...netkit() },
  'tunnel-pump-offload': { title: 'tunnel, `startPump()`, with offload', ...netkit() },
  'fs-read': { title: '`fs.read`, `fs.write`', drawn: 'peer', ...netkit() },
  'fs-streams': { title: '`fs.createReadStream().pipe()`', drawn: 'peer', ...netkit() },
  socat: { title: 'socat', ...peer(peers.socat) },
  vde: { title: 'vde_switch', ...peer(peers.vde) },
  slirp4netns: { title: 'slirp4netns (a proxy)', ...proxy('10.0.2.2', peers.slirp4netns(1500)) },
  'slirp4netns-65520': { title: 'slirp4netns, MTU 65,520', ...proxy('10.0.2.2', peers.slirp4netns(65_520)) },
  pasta: { title: 'pasta of passt, MTU 65,520 (a proxy)', ...proxy('192.0.2.254', peers.pasta) },
  veth: { title: 'veth pair (no program)', ...kernel(peers.veth) },
  bridge: { title: 'kernel bridge (no program)', ...kernel(peers.bridge) },
}

for (const [name, design] of Object.entries(designs)) design.name = name

/**
 * What is measured: a design under a load, beside another. `aim`: the ratio to reach, or a value that will do instead; the ratio is
 * at most this for `rtt`, where less is better.
 */
export const comparisons = []

function compare(design, base, aims) {
  for (const [load, aim] of Object.entries(aims)) {
    comparisons.push({ design, base, load, aim: typeof aim === 'number' ? { ratio: aim } : aim })
  }
}

// The bench's own pumps beside each other.
compare('c-loop', 'c-256', { tcp: null, udp: null })
compare('c-64', 'c-256', { tcp: null, udp: null })
compare('c-256', 'c-loop', { rtt: null })
compare('c-offload', 'c-256', { tcp: null, udp: null })
// netkit beside the pump of its shape.
compare('batches', 'c-256', { tcp: 0.9, udp: 0.95 })
compare('batches-64', 'c-64', { tcp: 0.9, udp: 0.95 })
compare('batches', 'c-loop', { rtt: 1.5 })
compare('batches-offload', 'c-offload', { tcp: 0.9, udp: null })
compare('pipe', 'c-256', { tcp: 0.7, udp: 0.8 })
compare('pipe', 'c-loop', { rtt: null })
compare('pipe', 'fs-streams', { udp: 8 })
compare('pipe-offload', 'c-offload', { tcp: 0.75, udp: null })
compare('for-await', 'c-256', { tcp: null, udp: null })
compare('worker', 'c-loop', { rtt: 1.1 })
compare('pump', 'c-256', { tcp: 1, udp: 1 })
compare('pump', 'c-loop', { rtt: null })
compare('pump-offload', 'c-offload', { tcp: null, udp: null })
compare('pump-offload', 'bridge', { tcp: 0.95 })
compare('pump-busy', 'c-loop', { rtt: null })
compare('pump-busy-offload', 'bridge', { tcp: 0.95 })
compare('switch', 'pump', { tcp: 0.9, udp: 0.9 })
compare('switch-offload', 'pump-offload', { tcp: 0.9, udp: 0.9 })
compare('switch', 'c-loop', { rtt: null })
compare('switch', 'vde', { tcp: 1.5, udp: 1.5 })
compare('tunnel-plain', 'c-tunnel', { tcp: null, udp: null, rtt: null })
for (const name of ['tunnel-batches', 'tunnel-pump']) {
  compare(name, 'tunnel-dgram', { tcp: 3, udp: 3, rtt: null })
  compare(name, 'c-tunnel', { tcp: null, udp: null })
  compare(`${name}-offload`, 'c-offload', { tcp: { ratio: 0.5, value: 5e9 } })
  compare(`${name}-offload`, 'c-tunnel', { tcp: null, udp: null })
}
// Others.
for (const name of ['fs-read', 'fs-streams', 'socat', 'vde', 'bridge', 'veth']) {
  compare(name, 'c-256', { tcp: null, udp: null })
  compare(name, 'c-loop', { rtt: null })
}
compare('slirp4netns', 'c-256', { tcp: null })
for (const name of ['slirp4netns-65520', 'pasta']) compare(name, 'c-offload', { tcp: null })
compare('slirp4netns', 'c-loop', { rtt: null })
