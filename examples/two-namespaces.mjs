// Two network namespaces joined by a veth pair, and a TCP connection from one to the other.
//
// Run as root, or as an ordinary user:
//   unshare --user --map-root-user --net node examples/two-namespaces.mjs
import { text } from 'node:stream/consumers'
import { createNamespace, createVeth } from 'netkit'

const red = await createNamespace()
const blue = await createNamespace()
try {
  // One request makes both ends, each where it belongs.
  const [left] = await createVeth(
    { name: 'veth1', namespace: red, addresses: ['10.0.1.1/24'], up: true },
    { name: 'veth2', namespace: blue, addresses: ['10.0.1.2/24'], up: true },
  )

  const server = await blue.listen({ port: 8080 }, (socket) => {
    socket.end(`Hello ${socket.remoteAddress?.replace('::ffff:', '')}, this is blue.`)
  })
  const socket = await red.connect({ host: '10.0.1.2', port: 8080 })
  console.log(await text(socket))
  server.close()

  await left.refresh()
  console.log(`${left.name} in red sent ${left.stats?.sentPackets} frames and received ${left.stats?.receivedPackets}.`)
} finally {
  // A namespace takes its links along.
  await Promise.all([red.delete(), blue.delete()])
}
