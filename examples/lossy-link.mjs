// A poor link between two namespaces: 25 ms each way, 2 % of the packets lost, 8 Mbit/s. No kernel module is needed, as a native
// pump between two taps is the link. What it did to the packets is told at the end.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/lossy-link.mjs
import { once } from 'node:events'
import { createNamespace, openTap, startPump } from 'netkit'

const red = await createNamespace()
const blue = await createNamespace()
try {
  const left = await openTap({ namespace: red, addresses: ['10.0.3.1/24'], up: true, offload: true })
  const right = await openTap({ namespace: blue, addresses: ['10.0.3.2/24'], up: true, offload: true })
  const pump = startPump(left, right, { delay: 25, loss: 2, rate: '8mbit', seed: 1 })

  // A download of a quarter of a megabyte: TCP repairs the losses.
  const server = await blue.listen({ port: 80 }, (socket) => socket.end(Buffer.alloc(250_000)))
  const begin = performance.now()
  const socket = await red.connect({ host: '10.0.3.2', port: 80 })
  let bytes = 0
  socket.on('data', (part) => {
    bytes += part.length
  })
  await once(socket, 'end')
  const seconds = (performance.now() - begin) / 1000
  console.log(`${bytes} bytes in ${seconds.toFixed(1)} s: ${((bytes * 8) / seconds / 1e6).toFixed(1)} Mbit/s`)
  server.close()

  // It can be changed while it runs.
  pump.set({ loss: 0, rate: undefined })
  const { stdout } = await red.exec('ping', ['-c', '3', '-i', '0.1', '10.0.3.2'])
  console.log(stdout.split('\n').find((line) => line.includes('packet loss')))

  const { forward, backward } = pump.stats()
  console.log(`lost on the way: ${forward.lost} there, ${backward.lost} back`)
  await pump.close()
  await Promise.all([left.close(), right.close()])
} finally {
  await Promise.all([red.delete(), blue.delete()])
}
