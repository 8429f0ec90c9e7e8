// Tunnels: from a tap to a UDP socket, through the loopback of the namespace between, to another socket and the other tap. Both ends
// of the tunnel are in one process.
import { coalesceFrames, openDatagramBatch, startPump } from '../../dist/index.js'

const HOST = '127.0.0.1'
const PORTS = [9100, 9101]
const BUFFER = 4 * 1024 * 1024

/** Two sockets that are each other's peer. */
function sockets(between, options) {
  return Promise.all(
    PORTS.map((port, i) =>
      openDatagramBatch({
        namespace: between,
        local: { address: HOST, port },
        remote: { address: HOST, port: PORTS[1 - i] },
        receiveBuffer: BUFFER,
        sendBuffer: BUFFER,
        ...options,
      }),
    ),
  )
}

async function carry(from, to, joins = false) {
  for await (const batch of from.batches()) to.writeBatch(joins ? coalesceFrames(batch) : batch)
}

/** By Node's own sockets: a call for each frame, and an event for each datagram. */
export async function byDgram({ between }, taps) {
  for (const [i, tap] of taps.entries()) {
    const socket = await between.bindDatagram({ type: 'udp4', address: HOST, port: PORTS[i] })
    socket.setRecvBufferSize(BUFFER)
    socket.setSendBufferSize(BUFFER)
    await new Promise((resolve) => socket.connect(PORTS[1 - i], HOST, resolve))
    socket.on('message', (frame) => tap.write(frame))
    tap.on('data', (frame) => socket.send(frame))
  }
}

/** In batches, which JavaScript sees. */
export const byBatches =
  (options) =>
  async ({ between }, taps) => {
    const ends = await sockets(between, options)
    for (const [i, tap] of taps.entries()) {
      void carry(tap, ends[i])
      // What the kernel cut for the tunnel is joined again for a tap with offload.
      void carry(ends[i], tap, tap.offload)
    }
    return ends
  }

/** By native pumps. */
export const byPump =
  (options) =>
  async ({ between }, taps) => {
    const ends = await sockets(between, options)
    return taps.map((tap, i) => startPump(tap, ends[i]))
  }
