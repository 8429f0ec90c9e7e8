/** QEMU guests behind sockets: `-netdev dgram` and `-netdev stream`, by path and by descriptor, killed and started anew, on a switch. */
import { closeSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { createSocketPair } from '../dist/packets/unix.js'
import { type Pump, startPump } from '../dist/pump/pump.js'
import { createSwitch } from '../dist/pump/switch.js'
import { openQemuDatagram } from '../dist/sockets/qemu-datagram.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import { openQemuStream } from '../dist/sockets/qemu-stream.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { guestFiles, needsGuest, network, pings, startGuest, transfers } from './support/guest.js'
import { ip, scratch } from './support/scratch.js'

t.setTimeout(300_000)
const able = await needsGuest('ip', 'ping')

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-guest-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const tapIn = (namespace: Namespace, name: string, address: string) =>
  openTap({ namespace, name, addresses: [`${address}/24`], up: true })

test('four network devices: datagrams and streams, by path and by descriptor', able, async (t) => {
  const namespace = await scratch(t)
  const folder = folderOf(t)
  const [ours, theirs, listening] = ['netkit', 'qemu', 'stream'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  await guestFiles(t)
  await leavesNoDescriptor(t, 'a guest', async () => {
    const [datagram, datagramThere] = createSocketPair({ type: 'datagram' })
    const [stream, streamThere] = createSocketPair({ type: 'stream' })
    const ends = {
      'dgram by path': await openQemuDatagram({ path: ours, remote: theirs }),
      'dgram by descriptor': await openQemuDatagram({ fd: datagram }),
      'stream by path': await openQemuStream({ path: listening, server: true }),
      'stream by descriptor': await openQemuStream({ fd: stream }),
    }
    const devices = [
      `dgram,id=n0,local.type=unix,local.path=${theirs},remote.type=unix,remote.path=${ours}`,
      'dgram,id=n1,local.type=fd,local.str=4',
      `stream,id=n2,server=off,addr.type=unix,addr.path=${listening}`,
      'stream,id=n3,server=off,addr.type=fd,addr.str=5',
    ]
    // A pump for each, to a tap in the namespace, with or without offload.
    const taps = []
    const pumps: Record<string, Pump> = {}
    for (const [i, [name, end]] of Object.entries(ends).entries()) {
      const addresses = [`10.0.${i}.1/24`]
      const tap = await openTap({ namespace, name: `tap${i}`, addresses, up: true, offload: i % 2 === 1 })
      taps.push(tap)
      pumps[name] = startPump(end, tap)
    }
    const start = (which: readonly number[]) =>
      startGuest(t, {
        descriptors: which.length > 1 ? [datagramThere, streamThere] : [],
        network: which.flatMap((i) => network(devices[i] as string, `52:54:00:00:00:0${i + 1}`)),
      })
    const guest = await start([0, 1, 2, 3])
    for (const fd of [datagramThere, streamThere]) closeSync(fd)
    for (const [i, name] of Object.keys(ends).entries()) {
      await guest.configure(i, `10.0.${i}.2/24`)
      await pings(t, namespace, `10.0.${i}.2`)
      await transfers(t, namespace, guest, `10.0.${i}.2`)
      const { forward, backward } = (pumps[name] as Pump).stats()
      t.ok(
        forward.frames > 0 && backward.frames > 0,
        `${name}: ${forward.frames} frames there, ${backward.frames} back`,
      )
    }

    // In the middle of everything: only the stream without a successor ends, and says why.
    const flood = namespace.exec('ping', ['-f', '-c', '100000', '-w', '2', '10.0.2.2'])
    await new Promise((resolve) => setTimeout(resolve, 200))
    const lost = new Promise((resolve) => ends['stream by path'].once('disconnect', resolve))
    await guest.kill()
    t.match(await lost, { name: 'NetkitError', code: /^(EPIPE|ECONNRESET)$/ })
    t.match(await pumps['stream by descriptor']?.done, { reason: /^end-(gone|closed)$/, end: 'a' })
    t.match(ends['stream by descriptor'].reason, { code: /^(EPIPE|ECONNRESET)$/ })
    for (const name of ['dgram by path', 'stream by path'])
      t.ok(pumps[name]?.running, `${name} waits for another guest`)
    t.notOk(ends['stream by path'].connected)
    await flood

    rmSync(theirs, { force: true })
    for (const i of [0, 2]) {
      const again = await start([i])
      await again.configure(0, `10.0.${i}.2/24`)
      await pings(t, namespace, `10.0.${i}.2`)
      if (i === 2) t.ok(ends['stream by path'].connected)
      await again.kill()
    }

    await Promise.all(Object.values(ends).map((end) => end.close()))
    t.match(await pumps['dgram by path']?.done, { reason: 'end-closed', end: 'a' })
    await Promise.all(taps.map((tap) => tap.close()))
    t.notOk(existsSync(ours), 'the paths are gone')
    t.notOk(existsSync(listening))
  })
  t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1))
})

test('two guests and a tap on a switch', able, async (t) => {
  const namespace = await scratch(t)
  const path = join(folderOf(t), 'switch')
  await guestFiles(t)
  await leavesNoDescriptor(t, 'a switch', async () => {
    const lan = createSwitch()
    const tap = await tapIn(namespace, 'tap0', '10.0.7.1')
    lan.addPort(tap)
    let guests = 0
    const server = await serveQemuStream({ path }, (end) => {
      guests++
      lan.addPort(end)
    })
    const netdev = `stream,id=n0,server=off,addr.type=unix,addr.path=${path}`
    const [one, two] = await Promise.all(
      ['01', '02'].map((octet) => startGuest(t, { network: network(netdev, `52:54:00:00:00:${octet}`) })),
    )
    t.equal(guests, 2)
    await one?.configure(0, '10.0.7.2/24')
    await two?.configure(0, '10.0.7.3/24')
    await one?.run('ping -c 1 -W 10 10.0.7.3')
    const said = await one?.ask('ping -c 5 -i 0.2 -W 10 10.0.7.3')
    t.match(said, /5 packets transmitted, 5 packets received, 0% packet loss/)
    for (const address of ['10.0.7.2', '10.0.7.3']) await pings(t, namespace, address)
    if (one !== undefined) await transfers(t, namespace, one, '10.0.7.2')
    const known = (await lan.addresses()).map(({ mac }) => mac)
    t.ok(known.includes('52:54:00:00:00:01') && known.includes('52:54:00:00:00:02'), known.join())
    await one?.kill()
    t.ok(await eventually(() => lan.ports.length === 2), 'its port goes with it')
    await pings(t, namespace, '10.0.7.3')
    await two?.kill()
    await server.close()
    await lan.close()
    await tap.close()
  })
})
