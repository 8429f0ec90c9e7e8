// A tap whose other side is this program: it answers ARP for 10.0.3.2, and sends every UDP datagram back.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/tap-echo.mjs
import { once } from 'node:events'
import { createNamespace, openTap } from 'netkit'

const mac = Buffer.from('020000000302', 'hex')
const ip = Buffer.from([10, 0, 3, 2])

/** ARP (RFC 826): who asks for our address is told our MAC address. @param {Buffer} frame */
function answerArp(frame) {
  if (frame.readUInt16BE(20) !== 1 || !frame.subarray(38, 42).equals(ip)) return undefined
  const answer = Buffer.from(frame.subarray(0, 42))
  answer.set(frame.subarray(6, 12), 0)
  answer.set(mac, 6)
  answer.writeUInt16BE(2, 20)
  answer.set(mac, 22)
  answer.set(ip, 28)
  answer.set(frame.subarray(22, 32), 32)
  return answer
}

/** UDP over IPv4: addresses and ports change sides, and the checksums stay right. @param {Buffer} frame */
function echoUdp(frame) {
  if (frame.readUInt8(14) !== 0x45 || frame.readUInt8(23) !== 17 || !frame.subarray(30, 34).equals(ip)) return undefined
  const answer = Buffer.from(frame)
  /** @param {number} one @param {number} other @param {number} size */
  const exchange = (one, other, size) => {
    answer.set(frame.subarray(one, one + size), other)
    answer.set(frame.subarray(other, other + size), one)
  }
  exchange(0, 6, 6)
  exchange(26, 30, 4)
  exchange(34, 36, 2)
  return answer
}

const box = await createNamespace()
const tap = await openTap({ name: 'tap0', namespace: box, addresses: ['10.0.3.1/24'], up: true })
try {
  tap.on('data', (frame) => {
    const type = frame.readUInt16BE(12)
    const answer = type === 0x0806 ? answerArp(frame) : type === 0x0800 ? echoUdp(frame) : undefined
    if (answer !== undefined) tap.write(answer)
  })

  const socket = await box.bindDatagram({ type: 'udp4' })
  for (const word of ['one', 'two', 'three']) {
    const received = once(socket, 'message', { signal: AbortSignal.timeout(2000) })
    socket.send(word, 7, '10.0.3.2')
    const [data, { address, port }] = await received
    console.log(`${address} port ${port} sent '${data}' back.`)
  }
  socket.close()
  const { framesRead, framesWritten } = tap.stats()
  console.log(`The program read ${framesRead} frames and wrote ${framesWritten}.`)
} finally {
  await tap.close()
  await box.delete()
}
