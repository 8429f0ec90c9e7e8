// A learning Ethernet switch in JavaScript, between three network namespaces: batches, and no object for a frame.
// (createSwitch() does the same on a thread of its own, without JavaScript.)
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/learning-switch.mjs
import { once } from 'node:events'
import { createNamespace, openTap } from 'netkit'

/** Port by MAC address, which as a number makes no string a frame. @type {Map<number, import('netkit').Tap>} */
const known = new Map()
let flooded = 0
let forwarded = 0

/** @param {import('netkit').Tap} from @param {readonly import('netkit').Tap[]} ports */
function plugIn(from, ports) {
  const others = ports.filter((port) => port !== from)
  return from.onBatch((batch) => {
    /** Numbers of frames, by the port that they go to. @type {Map<import('netkit').Tap, number[]>} */
    const out = new Map()
    for (let i = 0; i < batch.length; i++) {
      const at = batch.offset(i)
      known.set(batch.data.readUIntBE(at + 6, 6), from)
      const to = known.get(batch.data.readUIntBE(at, 6))
      for (const port of to ? [to] : others) {
        if (port !== from) out.set(port, [...(out.get(port) ?? []), i])
      }
      to ? forwarded++ : flooded++
    }
    for (const [port, frames] of out) port.writeBatch(batch.select(frames))
  })
}

const spaces = await Promise.all([1, 2, 3].map(() => createNamespace()))
const ports = await Promise.all(
  spaces.map((namespace, i) =>
    openTap({ name: 'eth0', namespace, addresses: [`10.0.7.${i + 1}/24`], up: true, offload: true }),
  ),
)
for (const port of ports) plugIn(port, ports)

for (const [i, space] of spaces.entries()) {
  const target = ((i + 1) % 3) + 1
  const server = await /** @type {typeof space} */ (spaces[target - 1]).listen({ port: 80 }, (socket) =>
    socket.pipe(socket),
  )
  const socket = await space.connect({ host: `10.0.7.${target}`, port: 80 })
  socket.end(Buffer.alloc(1_000_000))
  let bytes = 0
  for await (const part of socket) bytes += part.length
  console.log(`box ${i + 1} sent a megabyte to box ${target}, and got ${bytes} bytes back.`)
  server.close()
  await once(server, 'close')
}
console.log(`${known.size} addresses known; ${flooded} frames flooded, ${forwarded} sent to one port.`)

await Promise.all(ports.map((port) => port.close()))
await Promise.all(spaces.map((space) => space.delete()))
