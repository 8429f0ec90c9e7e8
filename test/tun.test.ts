/** Tuns: interfaces of IP packets. What they share with taps is tested there. */
import { once } from 'node:events'
import { test } from 'tap'
import { openTap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { needs } from './support/needs.js'
import { answerPacket } from './support/packets.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')

test('a program answers ping', tun, async (t) => {
  const namespace = await scratch(t)
  const device = await openTun({ namespace, addresses: ['10.0.3.1/24'], up: true, mtu: 1400 })
  t.equal(device.name, 'tun0')
  t.match(device.link, { name: 'tun0', mtu: 1400, kind: 'tun' })
  const [shown] = await ip(namespace, 'link', 'show', 'dev', 'tun0')
  t.match(shown.linkinfo, { info_kind: 'tun', info_data: { type: 'tun', pi: false } })
  t.ok(shown.flags.includes('POINTOPOINT'))

  const answering = (async () => {
    for await (const packet of device) {
      const answer = answerPacket(packet)
      if (answer !== undefined) device.write(answer)
    }
  })()
  const { exitCode } = await namespace.exec('ping', ['-c3', '-i0.02', '-W2', '-s1372', '-Mdo', '10.0.3.7'])
  t.equal(exitCode, 0)
  await device.close()
  await answering
  t.equal((await ip(namespace, 'link')).length, 1)
})

test('two namespaces joined by packets, IPv6 as well', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  const a = await openTun({
    namespace: left,
    name: 'left%d',
    addresses: ['10.0.3.1/24', { address: 'fd00::1/64', noDad: true }],
    up: true,
  })
  const b = await openTun({
    namespace: right,
    name: 'right%d',
    addresses: ['10.0.3.2/24', { address: 'fd00::2/64', noDad: true }],
    up: true,
  })
  t.equal(a.name, 'left0')
  a.pipe(b)
  const back = (async () => {
    for await (const batch of b.batches()) a.writeBatch(batch)
  })()
  t.equal((await left.exec('ping', ['-c3', '-i0.02', '-W2', '10.0.3.2'])).exitCode, 0)
  t.equal((await right.exec('ping', ['-c3', '-i0.02', '-W2', 'fd00::1'])).exitCode, 0)
  await a.close()
  await b.close()
  await back
})

test('packet information tells the protocol', tun, async (t) => {
  const namespace = await scratch(t)
  const device = await openTun({ namespace, addresses: ['10.0.3.1/24'], up: true, packetInfo: true })
  device.on('data', (packet: Buffer) => {
    const answer = packet.readUInt16BE(2) === 0x0800 ? answerPacket(packet.subarray(4)) : undefined
    if (answer !== undefined) device.write(Buffer.concat([packet.subarray(0, 4), answer]))
  })
  t.equal((await namespace.exec('ping', ['-c3', '-i0.02', '-W2', '10.0.3.7'])).exitCode, 0)
  await device.close()
})

test('what is not an IP packet is refused', tun, async (t) => {
  const namespace = await scratch(t)
  const device = await openTun({ namespace, up: true })
  for (const packet of [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(20), Buffer.from([0xff, 0, 0, 0])]) {
    await new Promise((resolve) => device.write(packet, resolve))
  }
  t.match(device.stats(), { framesWritten: 0, refused: 4, lastRefusal: { code: 'EINVAL' } })
  const gone = { code: 'ENODEV', message: /^tun0 was deleted/ }
  const failed = once(device, 'error')
  device.resume()
  await ipDo(namespace, 'link', 'delete', 'tun0')
  t.match((await failed)[0], gone)
})

test('a tun and a tap do not share a name', tun, async (t) => {
  const namespace = await scratch(t)
  const kept = await openTun({ namespace, name: 'keep7', persist: true })
  await kept.close()
  await t.rejects(openTap({ namespace, name: 'keep7' }), { code: 'EINVAL', message: /is not a tap/ })
  const again = await openTun({ namespace, name: 'keep7' })
  await again.delete()
  t.equal((await ip(namespace, 'link')).length, 1)
})
