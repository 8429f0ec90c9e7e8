// A tap whose other side is this program: it answers ARP for 10.0.3.2, and sends every UDP datagram back.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/tap-echo.mjs
import { once } from 'node:events'
import { arp, createNamespace, ethernet, ipv4, openTap, udp } from 'netkit'

const mac = '02:00:00:00:03:02'
const address = '10.0.3.2'

/** ARP (RFC 826): who asks for our address is told our MAC address. @param {Buffer} frame @param {number} at */
function answerArp(frame, at) {
  if (arp.operation(frame, at) !== arp.request || arp.targetIp(frame, at) !== address) return false
  arp.setTargetMac(frame, at, mac)
  arp.swap(frame, at)
  arp.setOperation(frame, at, arp.reply)
  return true
}

/** UDP over IPv4: addresses and ports change sides, and the checksums stay right. @param {Buffer} frame @param {number} at */
function echoUdp(frame, at) {
  if (ipv4.protocol(frame, at) !== 17 || ipv4.destination(frame, at) !== address) return false
  ipv4.swap(frame, at)
  udp.swapPorts(frame, at + ipv4.headerLength(frame, at))
  return true
}

const box = await createNamespace()
const tap = await openTap({ name: 'tap0', namespace: box, addresses: ['10.0.3.1/24'], up: true })
try {
  tap.on('data', (frame) => {
    const type = ethernet.type(frame)
    const answer = type === 0x0806 ? answerArp : type === 0x0800 ? echoUdp : undefined
    if (!answer?.(frame, ethernet.headerLength)) return
    ethernet.setDestination(frame, 0, ethernet.source(frame))
    ethernet.setSource(frame, 0, mac)
    tap.write(frame)
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
