// Three network namespaces joined by a bridge; each one sends a datagram to each other one.
//
// Run as root, or as an ordinary user:
//   unshare --user --map-root-user --net node examples/bridge.mjs
import { once } from 'node:events'
import { createBridge, createNamespace, createVeth } from 'netkit'

// The bridge has a namespace of its own, so that the machine's stays as it is.
const middle = await createNamespace()
const boxes = await Promise.all([createNamespace(), createNamespace(), createNamespace()])
try {
  const br0 = await createBridge({ name: 'br0', namespace: middle, up: true })
  for (const [i, box] of boxes.entries()) {
    const [, port] = await createVeth(
      { name: 'eth0', namespace: box, addresses: [`10.0.2.${i + 1}/24`], up: true },
      { name: `port${i + 1}`, namespace: middle, master: br0, up: true },
    )
    // The kernel's events tell when frames can pass: no sleeping.
    await port.waitFor({ operationalState: 'up' })
  }

  const sockets = await Promise.all(boxes.map((box) => box.bindDatagram({ type: 'udp4', port: 5000 })))
  for (const [i, from] of sockets.entries()) {
    for (const [j, to] of sockets.entries()) {
      if (i === j) continue
      const received = once(to, 'message', { signal: AbortSignal.timeout(2000) })
      from.send(`from box ${i + 1} to box ${j + 1}`, 5000, `10.0.2.${j + 1}`)
      const [data, { address }] = await received
      console.log(`10.0.2.${j + 1} received '${data}' from ${address}`)
    }
  }
  for (const socket of sockets) socket.close()

  const ports = await middle.links.list({ master: br0 })
  console.log(`${br0.name} has the ports ${ports.map((port) => port.name).join(', ')}.`)
} finally {
  await Promise.all([middle, ...boxes].map((namespace) => namespace.delete()))
}
