// A VPN between two hosts, in JavaScript: what one's tun sends travels encrypted in UDP datagrams to the other's. The peers
// share a key, and follow each other to other addresses: whoever proves to have the key is the peer.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/vpn-over-udp.mjs
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { createNamespace, createVeth, openDatagramBatch, openTun } from 'netkit'

const OVERHEAD = 8 + 16 // the number of the packet, and what proves that it is the peer's

/** @param {bigint} number @param {number} side */
function nonce(number, side) {
  const bytes = Buffer.alloc(12, side)
  bytes.writeBigUInt64BE(number)
  return bytes
}

/**
 * @param {import('netkit').Namespace} namespace @param {string} address inside the tunnel
 * @param {{ key: Buffer, side: number, port: number, remote?: { address: string, port: number } }} options
 */
async function join(namespace, address, { key, side, port, remote }) {
  const tun = await openTun({ namespace, name: 'vpn0', addresses: [address], mtu: 1400, up: true })
  const socket = await openDatagramBatch({ namespace, local: { port }, layer: 'ip' })
  socket.remote = remote
  let sent = 0n
  let seen = 0n
  tun.onBatch((batch) => {
    const sealed = []
    for (let i = 0; i < batch.length; i++) {
      const cipher = createCipheriv('aes-256-gcm', key, nonce(++sent, side))
      const number = Buffer.alloc(8)
      number.writeBigUInt64BE(sent)
      sealed.push(Buffer.concat([number, cipher.update(batch.frame(i)), cipher.final(), cipher.getAuthTag()]))
    }
    socket.writeBatch(sealed)
  })
  socket.onBatch((batch) => {
    const opened = []
    for (let i = 0; i < batch.length; i++) {
      const packet = batch.frame(i)
      const number = packet.length > OVERHEAD ? packet.readBigUInt64BE() : 0n
      if (number <= seen) continue // heard before, or none of ours
      const decipher = createDecipheriv('aes-256-gcm', key, nonce(number, 1 - side)).setAuthTag(packet.subarray(-16))
      try {
        opened.push(Buffer.concat([decipher.update(packet.subarray(8, -16)), decipher.final()]))
      } catch {
        continue // somebody else's
      }
      seen = number
      socket.remote = socket.source(i)
    }
    tun.writeBatch(opened)
  })
  return { tun, socket, close: () => Promise.all([tun.close(), socket.close()]) }
}

const [home, office] = [await createNamespace(), await createNamespace()]
await createVeth(
  { name: 'wan', namespace: home, addresses: ['192.0.2.1/24'], up: true },
  { name: 'wan', namespace: office, addresses: ['192.0.2.2/24'], up: true },
)
const key = randomBytes(32)
const far = await join(office, '10.8.0.2/24', { key, side: 1, port: 5555 })
const near = await join(home, '10.8.0.1/24', { key, side: 0, port: 0, remote: { address: '192.0.2.2', port: 5555 } })

const server = await office.listen({ host: '10.8.0.2', port: 80 }, (socket) => socket.pipe(socket))
const socket = await home.connect({ host: '10.8.0.2', port: 80 })
socket.end(Buffer.alloc(1_000_000, 'secret'))
let bytes = 0
for await (const part of socket) bytes += part.length
console.log(`${bytes} bytes went through the tunnel and back.`)
console.log(`The office found its peer at ${far.socket.remote?.address}.`)
const { bytesWritten } = near.socket.stats()
console.log(
  `On the wire they were ${bytesWritten > 1_000_000 ? 'more' : 'fewer'}: a header and a seal for each packet.`,
)

server.close()
await Promise.all([near.close(), far.close()])
await Promise.all([home.delete(), office.delete()])
